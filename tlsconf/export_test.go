package tlsconf

// Parsers, exported for fuzz tests.
var (
	ParseCertificates = parseCertificates
	ParseDenied       = parseDenied
	ParseCRLs         = parseCRLs
)
