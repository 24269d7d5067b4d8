package tlsconf

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"userinfo/internal/certchain"
)

// ServerFiles is the listener's part of the configuration.
type ServerFiles struct {
	// Certificate is a PEM file with the server's certificate chain, leaf first. Required.
	Certificate string `yaml:"certificate"`
	// Key is a PEM file with the certificate's unencrypted private key. Required.
	Key string `yaml:"key"`
	// ClientCA is a PEM bundle of CAs that sign client certificates. Its name is DefaultClientCA. Without ClientCA and
	// ClientCAs, the server asks for no client certificate.
	ClientCA string `yaml:"client_ca"`
	// ClientCAs are further CA bundles, each with a name of its own.
	ClientCAs []ClientCA `yaml:"client_cas"`
	// CRLs are files with revocation lists of the client CAs: PEM, or a single list in DER.
	CRLs []string `yaml:"crls"`
	// Denied is a text file that lists revoked client certificates, one per line:
	//
	//	serial=4F1A…                    a serial number in hexadecimal; applies to every client CA
	//	sha256 Fingerprint=AB:CD:…      the SHA-256 of the certificate in hexadecimal
	//
	// The lines are what `openssl x509 -noout -serial` and `-noout -fingerprint -sha256` print. Empty lines and text after
	// a # are ignored.
	Denied string `yaml:"denied_certificates"`
	// MinVersion is the lowest TLS version: "1.3" (the default) or "1.2".
	MinVersion string `yaml:"min_version"`
	// HTTP2 offers HTTP/2 in addition to HTTP/1.1. Nil means true.
	HTTP2 *bool `yaml:"http2"`
	// TicketKey is a file with a TicketKey, which must be as secret as Key. Instances with the same key resume each other's
	// sessions. Without it, an instance resumes only its own sessions.
	TicketKey string `yaml:"session_ticket_key"`
}

// ClientCA is a named bundle of CAs that sign client certificates.
type ClientCA struct {
	Name string `yaml:"name"` // the name used in certificates: ca:
	File string `yaml:"file"` // PEM bundle
	// VerifiesCN says that the CA signs only common names that belong to the holder of the certificate. Many CAs verify
	// alternative names only. The key patterns of a client with an alternative name need it for {cn}. Default: false.
	VerifiesCN bool `yaml:"verifies_cn"`
}

// DefaultClientCA is the name of the bundle in ServerFiles.ClientCA.
const DefaultClientCA = "client_ca"

// Server is the loaded TLS state of the listener. It never changes and is safe for concurrent use.
type Server struct {
	now       func() time.Time
	files     files // without contents
	digest    [sha256.Size]byte
	base      *tls.Config // what does not come from a file
	tls13     *tls.Config // for clients that offer TLS 1.3
	tls12     *tls.Config // for older clients
	ticketKey *TicketKey  // nil if there is no ticket key file
	trust     *clientTrust
	expiries  []Expiry
}

// LoadServer reads and checks the files. Certificates are checked against the time that now returns, here and in the
// methods of the Server. Every error is a *FieldError.
func LoadServer(f ServerFiles, now func() time.Time) (*Server, error) {
	s := &Server{now: now}
	var err error
	if s.base, err = f.baseConfig(now); err != nil {
		return nil, err
	}
	if s.files, err = f.list(); err != nil {
		return nil, err
	}
	contents, err := s.files.read()
	if err != nil {
		return nil, err
	}
	defer contents.clearSecrets()
	s.digest = contents.digest()
	if err := s.load(contents, f.clientCANames()); err != nil {
		return nil, err
	}
	return s, nil
}

// baseConfig returns the settings that come from no file.
func (f ServerFiles) baseConfig(now func() time.Time) (*tls.Config, error) {
	minVersion, err := parseVersion(f.MinVersion)
	if err != nil {
		return nil, err
	}
	protocols := []string{"h2", "http/1.1"}
	if f.HTTP2 != nil && !*f.HTTP2 {
		protocols = []string{"http/1.1"}
	}
	return &tls.Config{
		Time:         now,
		MinVersion:   minVersion,
		CipherSuites: aeadSuites(),
		NextProtos:   protocols,
		// Every client has one of these groups. P-384, P-521 and ML-KEM-1024 cost up to ten times as much.
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
		// Send a response of a few KB as one record, and so with one system call, also on a new connection.
		DynamicRecordSizingDisabled: true,
	}, nil
}

func parseVersion(text string) (uint16, error) {
	switch text {
	case "", "1.3":
		return tls.VersionTLS13, nil
	case "1.2":
		return tls.VersionTLS12, nil
	}
	return 0, &FieldError{Field: "min_version", Err: fmt.Errorf(`%q is not supported; write "1.3" or "1.2"`, text)}
}

// list returns the files that f names. It checks the fields, not the contents.
func (f ServerFiles) list() (files, error) {
	if f.Certificate == "" {
		return files{}, &FieldError{Field: "certificate", Err: errors.New("missing; name a PEM file with the server's certificate")}
	}
	if f.Key == "" {
		return files{}, &FieldError{Field: "key", Err: fmt.Errorf("missing; name the PEM file with the private key of the certificate in %s", f.Certificate)}
	}
	all := files{
		certificate: file{field: "certificate", path: f.Certificate},
		key:         file{field: "key", path: f.Key, secret: true},
		denied:      file{field: "denied_certificates", path: f.Denied},
		ticketKey:   file{field: "session_ticket_key", path: f.TicketKey, secret: true, hidePath: true},
	}
	if err := f.checkClientCAs(); err != nil {
		return files{}, err
	}
	if f.ClientCA != "" {
		all.cas = append(all.cas, file{field: "client_ca", path: f.ClientCA})
	}
	for i, ca := range f.ClientCAs {
		all.cas = append(all.cas, file{field: fmt.Sprintf("client_cas[%d].file", i), path: ca.File})
	}
	for i, path := range f.CRLs {
		all.crls = append(all.crls, file{field: fmt.Sprintf("crls[%d]", i), path: path})
	}
	return all, nil
}

// clientCANames returns the names of the client CA bundles, in the order of files.cas.
func (f ServerFiles) clientCANames() []string {
	var names []string
	if f.ClientCA != "" {
		names = append(names, DefaultClientCA)
	}
	for _, ca := range f.ClientCAs {
		names = append(names, ca.Name)
	}
	return names
}

// checkClientCAs checks that every bundle has a file and a unique name.
func (f ServerFiles) checkClientCAs() error {
	names := f.clientCANames()
	first := len(names) - len(f.ClientCAs)
	for i, ca := range f.ClientCAs {
		at := fmt.Sprintf("client_cas[%d]", i)
		switch {
		case ca.Name == "":
			return &FieldError{Field: at + ".name", Err: errors.New("missing; choose a name that the certificates of clients refer to")}
		case slices.Contains(names[:first+i], ca.Name):
			return &FieldError{Field: at + ".name", Err: fmt.Errorf("%q is already the name of another CA; choose another name", ca.Name)}
		case ca.File == "":
			return &FieldError{Field: at + ".file", Err: errors.New("missing; name a PEM file with the certificate of the CA")}
		}
	}
	if len(names) == 0 && (len(f.CRLs) > 0 || f.Denied != "") {
		return &FieldError{Field: "client_ca", Err: errors.New("missing; crls and denied_certificates have no effect without a client CA")}
	}
	return nil
}

// load checks the contents and fills in the rest of s.
func (s *Server) load(f files, clientCANames []string) error {
	pair, notAfter, err := f.keyPair(x509.ExtKeyUsageServerAuth, s.now())
	if err != nil {
		return err
	}
	s.tls13 = s.base.Clone()
	s.tls13.Certificates = []tls.Certificate{pair}
	s.expiries = []Expiry{{File: "server", NotAfter: notAfter}}
	if len(f.cas) > 0 {
		var expiries []Expiry
		if s.trust, expiries, err = loadTrust(f, clientCANames, s.now()); err != nil {
			return err
		}
		s.tls13.ClientAuth = tls.RequestClientCert // forConn verifies it
		s.tls13.ClientCAs = s.trust.clients.Pool()
		s.expiries = append(s.expiries, expiries...)
	}
	// A TLS 1.2 ticket contains the keys of the connection: with the ticket key, a recorded connection could be decrypted.
	s.tls12 = s.tls13.Clone()
	s.tls12.SessionTicketsDisabled = true
	if f.ticketKey.path != "" {
		key, err := ParseTicketKey(f.ticketKey.data)
		if err != nil {
			return f.ticketKey.fail(err)
		}
		s.ticketKey = &key
	}
	return nil
}

// Changed reads the files again and reports whether their contents differ from what s was loaded from. It does not check
// the new contents; LoadServer does. An unchanged file is not reported even if its certificate has expired since.
// Every error is a *FieldError.
func (s *Server) Changed() (bool, error) { return s.files.changed(s.digest) }

// Files returns the paths of the files that s was loaded from.
func (s *Server) Files() []string { return s.files.paths() }

// Expiries returns when the server's certificate, the client CAs and the revocation lists expire.
func (s *Server) Expiries() []Expiry { return slices.Clone(s.expiries) }

// Certificate returns the server's certificate. It must not be changed.
func (s *Server) Certificate() *x509.Certificate { return s.tls13.Certificates[0].Leaf }

// ClientVerifier returns the Verifier of the client CAs, or nil if there are none. It never changes.
func (s *Server) ClientVerifier() *certchain.Verifier {
	if s.trust == nil {
		return nil
	}
	return s.trust.clients
}
