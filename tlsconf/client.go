package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ClientFiles say where the TLS settings for connections to Cassandra are.
type ClientFiles struct {
	CA          string `yaml:"ca"`          // PEM bundle; required
	Certificate string `yaml:"certificate"` // PEM chain, leaf first, for nodes that ask for one; empty: none
	Key         string `yaml:"key"`         // PEM, unencrypted; together with Certificate
	ServerName  string `yaml:"server_name"` // in every node's certificate; empty: each has its own address there
}

// Client is the TLS of connections to Cassandra. Its methods are safe for concurrent use.
type Client struct {
	now        func() time.Time
	serverName string
	live       live
}

// NewClient reads the files. An error is a *FieldError.
func NewClient(f ClientFiles, now func() time.Time) (*Client, error) {
	if f.CA == "" {
		return nil, &FieldError{Field: "ca", Err: errors.New("must name a PEM file with the CA of Cassandra's nodes: they are always verified")}
	}
	if f.Certificate == "" && f.Key != "" {
		return nil, &FieldError{Field: "certificate", Err: fmt.Errorf("must name the certificate of the key in %s, or leave out both", f.Key)}
	}
	if f.Certificate != "" && f.Key == "" {
		return nil, &FieldError{Field: "key", Err: fmt.Errorf("must name the private key of the certificate in %s, or leave out both", f.Certificate)}
	}
	c := &Client{now: now, serverName: f.ServerName}
	c.live.files = files{
		certificate: file{field: "certificate", path: f.Certificate},
		key:         file{field: "key", path: f.Key},
		cas:         []file{{field: "ca", path: f.CA}},
	}
	c.live.build = c.build
	if _, err := c.live.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Config is the state in force, as a copy of the caller's own: take one for each connection. Where it has no
// ServerName the caller sets the node's address, or crypto/tls refuses to connect. TLS is 1.3, or 1.2 with AEAD suites
// for nodes whose accepted_protocols stop there. Sessions are not resumed, so that every connection is verified
// against the CAs in force.
func (c *Client) Config() *tls.Config {
	return c.live.current.Load().config.Clone()
}

// Reload reads all files again and, where any has changed, puts them in force together for new connections. On an
// error, a *FieldError, the old state stays. Unchanged contents are (false, nil), even where they have expired since.
func (c *Client) Reload() (changed bool, err error) {
	return c.live.load()
}

// Expiries are those of the state in force.
func (c *Client) Expiries() []Expiry {
	return c.live.current.Load().expiries
}

func (c *Client) build(f files) (*state, error) {
	cas, notAfter, err := f.cas[0].bundle(c.now())
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, ca := range cas {
		pool.AddCert(ca)
	}
	config := &tls.Config{
		Time:         c.now,
		RootCAs:      pool,
		ServerName:   c.serverName,
		MinVersion:   tls.VersionTLS12,
		CipherSuites: aeadSuites(),
	}
	expiries := []Expiry{{File: "cassandra_ca", NotAfter: notAfter}}
	if f.certificate.path != "" {
		pair, notAfter, err := f.pair(x509.ExtKeyUsageClientAuth, c.now())
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
		expiries = append(expiries, Expiry{File: "cassandra_client", NotAfter: notAfter})
	}
	return &state{config: config, expiries: expiries}, nil
}
