package tlsconf

// ParseRevocations reads text as either kind of file.
func ParseRevocations(text []byte) {
	_, _ = parseDenied(text)
	_, _ = parseCRLs(text)
}
