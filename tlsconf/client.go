package tlsconf

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ClientFiles is the part of the configuration about TLS connections to Cassandra.
type ClientFiles struct {
	// CA is a PEM bundle of the CAs that sign the nodes' certificates. Required.
	CA string `yaml:"ca"`
	// Certificate is a PEM file with the service's certificate chain, leaf first, for nodes that require one. Optional.
	Certificate string `yaml:"certificate"`
	// Key is a PEM file with the unencrypted private key of Certificate. Required together with Certificate.
	Key string `yaml:"key"`
	// ServerName is a name that every node's certificate contains. Without it and Names, each certificate must contain the
	// node's own address.
	ServerName string `yaml:"server_name"`
	// Names are host names, or wildcards for one label. Every node's certificate must contain at least one of them.
	Names []string `yaml:"names"`
}

// Client is the loaded TLS state of connections to Cassandra. It never changes and is safe for concurrent use.
type Client struct {
	files    files // without contents
	digest   [sha256.Size]byte
	config   *tls.Config
	expiries []Expiry
}

// LoadClient reads and checks the files. Certificates are checked against the time that now returns, here and in every
// handshake. Every error is a *FieldError.
func LoadClient(f ClientFiles, now func() time.Time) (*Client, error) {
	c := new(Client)
	var err error
	if c.files, err = f.list(); err != nil {
		return nil, err
	}
	names, err := newNodeNames(f.Names, f.ServerName)
	if err != nil {
		return nil, err
	}
	contents, err := c.files.read()
	if err != nil {
		return nil, err
	}
	defer contents.clearSecrets()
	c.digest = contents.digest()
	if err := c.load(contents, f.ServerName, now); err != nil {
		return nil, err
	}
	if len(names) > 0 {
		// crypto/tls can compare a certificate with one name only, which must be known before the handshake.
		c.config.InsecureSkipVerify = true
		c.config.VerifyConnection = names.verifier(c.config.RootCAs, f.ServerName, now)
	}
	return c, nil
}

// list returns the files that f names. It checks the fields, not the contents.
func (f ClientFiles) list() (files, error) {
	if f.CA == "" {
		return files{}, &FieldError{Field: "ca", Err: errors.New("missing; name a PEM file with the CA of Cassandra's nodes, whose certificates are always verified")}
	}
	if f.Certificate == "" && f.Key != "" {
		return files{}, &FieldError{Field: "certificate", Err: fmt.Errorf("missing; name the certificate of the key in %s, or leave out both", f.Key)}
	}
	if f.Certificate != "" && f.Key == "" {
		return files{}, &FieldError{Field: "key", Err: fmt.Errorf("missing; name the private key of the certificate in %s, or leave out both", f.Certificate)}
	}
	return files{
		certificate: file{field: "certificate", path: f.Certificate},
		key:         file{field: "key", path: f.Key, secret: true},
		cas:         []file{{field: "ca", path: f.CA}},
	}, nil
}

// load checks the contents and fills in the rest of c.
func (c *Client) load(f files, serverName string, now func() time.Time) error {
	cas, notAfter, err := f.cas[0].caBundle(now())
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for _, ca := range cas {
		pool.AddCert(ca)
	}
	c.config = &tls.Config{
		Time:         now,
		RootCAs:      pool,
		ServerName:   serverName,
		MinVersion:   tls.VersionTLS12,
		CipherSuites: aeadSuites(),
	}
	c.expiries = []Expiry{{File: "cassandra_ca", NotAfter: notAfter}}
	if f.certificate.path != "" {
		pair, notAfter, err := f.keyPair(x509.ExtKeyUsageClientAuth, now())
		if err != nil {
			return err
		}
		c.config.Certificates = []tls.Certificate{pair}
		c.expiries = append(c.expiries, Expiry{File: "cassandra_client", NotAfter: notAfter})
	}
	return nil
}

// Config returns a new copy of the configuration, which the caller may change. Take one for each connection. If its
// ServerName is empty, the caller must set the node's address; otherwise crypto/tls refuses to connect.
//
// With ClientFiles.Names, VerifyConnection verifies the node's certificate, and InsecureSkipVerify is set: the caller must not
// change either.
//
// The version is TLS 1.3, or TLS 1.2 with AEAD cipher suites for nodes that do not offer 1.3. Sessions are not resumed,
// so every connection is verified against the CAs of c.
func (c *Client) Config() *tls.Config { return c.config.Clone() }

// Changed reads the files again and reports whether their contents differ from what c was loaded from. It does not check
// the new contents; LoadClient does. An unchanged file is not reported even if its certificate has expired since.
// Every error is a *FieldError.
func (c *Client) Changed() (bool, error) { return c.files.changed(c.digest) }

// Files returns the paths of the files that c was loaded from.
func (c *Client) Files() []string { return c.files.paths() }

// Expiries returns when Cassandra's CA and the service's own certificate expire.
func (c *Client) Expiries() []Expiry { return slices.Clone(c.expiries) }
