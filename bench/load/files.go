package load

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
)

// KindHTTPS is the kind of target whose settings are HTTPSFiles.
const KindHTTPS = "https"

// HTTPSFiles is HTTPSConfig as a process is told it: with the paths of files in place of what they hold.
type HTTPSFiles struct {
	URL         string
	Socket      string `json:",omitempty"`
	CA          string `json:",omitempty"` // certificates, PEM; the system's where it is empty
	Certificate string `json:",omitempty"` // the client's, PEM, with Key; none where both are empty
	Key         string `json:",omitempty"`
	Header      string `json:",omitempty"` // lines to send with each request, as curl -H @FILE reads them
	Set         string `json:",omitempty"`
	Fresh       bool   `json:",omitempty"`
	Resume      bool   `json:",omitempty"`
	HTTP2       bool   `json:",omitempty"`
}

// Dialer reads the files. An error names a file, and nothing that is in it.
func (f HTTPSFiles) Dialer() (Dialer, error) {
	c := HTTPSConfig{URL: f.URL, Socket: f.Socket, Set: f.Set, Fresh: f.Fresh, Resume: f.Resume, HTTP2: f.HTTP2}
	if f.CA != "" || f.Certificate != "" || f.Key != "" {
		c.TLS = new(tls.Config)
	}
	if f.CA != "" {
		text, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("the CA's certificate: %w", err)
		}
		c.TLS.RootCAs = x509.NewCertPool()
		if !c.TLS.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate in PEM", f.CA)
		}
	}
	if (f.Certificate == "") != (f.Key == "") {
		return nil, errors.New("a client's certificate and its key go together: give both files, or none")
	}
	if f.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
		if err != nil {
			return nil, fmt.Errorf("the client's certificate %s with the key %s: %w", f.Certificate, f.Key, err)
		}
		c.TLS.Certificates = []tls.Certificate{pair}
	}
	if f.Header != "" {
		text, err := os.ReadFile(f.Header)
		if err != nil {
			return nil, fmt.Errorf("the headers: %w", err)
		}
		for n, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
			if !ok {
				return nil, fmt.Errorf("%s:%d is no header line (Name: value)", f.Header, n+1)
			}
			c.Header = append(c.Header, [2]string{name, strings.TrimSpace(value)})
		}
	}
	return NewHTTPS(c)
}
