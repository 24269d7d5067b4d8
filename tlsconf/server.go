package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ServerFiles say where the listener's TLS settings are.
type ServerFiles struct {
	Certificate string `yaml:"certificate"` // PEM chain, leaf first
	Key         string `yaml:"key"`         // PEM, unencrypted
	// ClientCA is a PEM bundle, named client_ca. Without it and ClientCAs no client certificates are asked for.
	ClientCA string `yaml:"client_ca"`
	// ClientCAs are bundles of other meanings.
	ClientCAs []ClientCA `yaml:"client_cas"`
	// CRLs are files of revocation lists (PEM, or one in DER) of those CAs.
	CRLs []string `yaml:"crls"`
	// Denied is a file with a line for each certificate that is not to be believed; see parseDenied.
	Denied     string `yaml:"denied_certificates"`
	MinVersion string `yaml:"min_version"` // "1.3" (also when empty) or "1.2"
	// HTTP2 is offered beside HTTP/1.1; also when nil.
	HTTP2 *bool `yaml:"http2"`
	// TicketKey is a file with a TicketKey, which its owner alone can read. Instances that have the same resume each
	// other's sessions. Without it each resumes its own.
	TicketKey string `yaml:"session_ticket_key"`
}

// ClientCA is a bundle of CAs that sign one kind of client.
type ClientCA struct {
	Name string `yaml:"name"` // by which clients' certificates say whose they are
	File string `yaml:"file"` // PEM bundle
}

// DefaultClientCA is the name of ClientCA.
const DefaultClientCA = "client_ca"

// Server is the listener's TLS. Its methods are safe for concurrent use, beside handshakes too.
type Server struct {
	now         func() time.Time
	minVersion  uint16
	protocols   []string // of ALPN
	authorities []string // by bundle
	live        live
}

// NewServer reads the files. An error is a *FieldError.
func NewServer(f ServerFiles, now func() time.Time) (*Server, error) {
	minVersion, err := parseVersion(f.MinVersion)
	if err != nil {
		return nil, err
	}
	if f.Certificate == "" {
		return nil, &FieldError{Field: "certificate", Err: errors.New("must name a PEM file: the service speaks TLS only")}
	}
	if f.Key == "" {
		return nil, &FieldError{Field: "key", Err: fmt.Errorf("must name the private key of the certificate in %s", f.Certificate)}
	}
	s := &Server{now: now, minVersion: minVersion, protocols: []string{"h2", "http/1.1"}}
	if f.HTTP2 != nil && !*f.HTTP2 {
		s.protocols = []string{"http/1.1"}
	}
	s.live.files = files{
		certificate: file{field: "certificate", path: f.Certificate},
		key:         file{field: "key", path: f.Key},
		denied:      file{field: "denied_certificates", path: f.Denied},
		ticketKey:   file{field: "session_ticket_key", path: f.TicketKey, secret: true},
	}
	if err := s.addTrust(f); err != nil {
		return nil, err
	}
	s.live.build = s.build
	if _, err := s.live.load(); err != nil {
		return nil, err
	}
	return s, nil
}

func parseVersion(text string) (uint16, error) {
	switch text {
	case "", "1.3":
		return tls.VersionTLS13, nil
	case "1.2":
		return tls.VersionTLS12, nil
	}
	return 0, &FieldError{Field: "min_version", Err: fmt.Errorf(`%q is not offered: write "1.3" or "1.2"`, text)}
}

// Config is for one listener, and the caller's own. Every handshake takes the state in force when it begins.
//
// Session tickets are encrypted by keys that are derived from the TicketKey in force, or, without one, by keys of this
// configuration, not of the state; so they outlive a reload. On
// resumption crypto/tls itself asks again for a client certificate within its dates and for a chain that ends in a CA
// now in the bundle; otherwise there is a full handshake. Over TLS 1.2 there are none.
func (s *Server) Config() *tls.Config {
	config := s.settings()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		return s.live.current.Load().configFor(hello, s.now()), nil
	}
	return config
}

// settings are those that no file says. net/http wants to see them in the outer configuration too.
func (s *Server) settings() *tls.Config {
	return &tls.Config{
		Time:         s.now,
		MinVersion:   s.minVersion,
		CipherSuites: aeadSuites(),
		NextProtos:   s.protocols,
		// An answer of a few KB is one record, and so one system call, on a new connection, too.
		DynamicRecordSizingDisabled: true,
	}
}

// Reload reads all files again and, where any has changed, puts them in force together for new connections. On an
// error, a *FieldError, the old state stays. Unchanged contents are (false, nil), even where they have expired since.
func (s *Server) Reload() (changed bool, err error) {
	return s.live.load()
}

// Expiries are those of the state in force.
func (s *Server) Expiries() []Expiry {
	return s.live.current.Load().expiries
}

func (s *Server) build(f files) (*state, error) {
	pair, notAfter, err := f.pair(x509.ExtKeyUsageServerAuth, s.now())
	if err != nil {
		return nil, err
	}
	config := s.settings()
	config.Certificates = []tls.Certificate{pair}
	expiries := []Expiry{{File: "server", NotAfter: notAfter}}
	next := &state{config: config, expiries: expiries}
	if len(f.cas) > 0 {
		trust, more, err := s.trust(f)
		if err != nil {
			return nil, err
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
		config.ClientCAs = trust.pool
		next.trust, next.expiries = trust, append(expiries, more...)
	}
	next.old = withoutTickets(config)
	if f.ticketKey.path != "" {
		key, err := ParseTicketKey(f.ticketKey.data)
		if err != nil {
			return nil, f.ticketKey.fail(err)
		}
		next.tickets.key, next.tickets.config = &key, config
	}
	return next, nil
}
