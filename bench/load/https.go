package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// HTTPSConfig says how an HTTP session store is asked. URL alone is needed.
type HTTPSConfig struct {
	URL    string      // what keys are appended to, ending in a slash: https://host:port/sessions/v1/, or http:// to a sidecar
	Socket string      // path of a unix socket to connect to in place of the URL's host
	TLS    *tls.Config // of https; nil trusts the system's roots. Its Certificates make TLS mutual
	Header [][2]string // sent with each request: {"Authorization", "Bearer …"}
	Set    string      // the method of a set, PUT or POST; PUT where it is empty
	Fresh  bool        // a new connection for each request, as stock PHP makes them
	Resume bool        // with Fresh: a Conn resumes the TLS session of its last connection
	HTTP2  bool        // HTTP/2, by net/http's client, which takes more CPU than the hand-written one
}

// httpsDialer makes what HTTPSConfig says. It is not changed once made.
type httpsDialer struct {
	HTTPSConfig
	network, address string
	heads            [Delete + 1]head
	path             string // of the URL
}

// head is a request's first bytes, before and after the key.
type head struct{ before, after string }

// NewHTTPS refuses what no request could be made of. It does not connect.
func NewHTTPS(c HTTPSConfig) (Dialer, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("the URL of a session store: %w", err)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, fmt.Errorf("the URL %s of a session store must begin with https://host/ or http://host/", u.Redacted())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasSuffix(u.EscapedPath(), "/"):
		return nil, fmt.Errorf("the URL %s of a session store must end in a slash, which a key is appended to, and have no user, query or fragment", u.Redacted())
	case u.Scheme == "http" && (c.TLS != nil || c.HTTP2):
		return nil, errors.New("http:// has neither TLS nor HTTP/2: use https://, or leave both out")
	case u.Scheme == "http" && len(c.Header) > 0 && c.Socket == "" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("headers, a token perhaps, would cross the network in the clear to %s: use https://, or a loopback address, or leave them out", u.Redacted())
	case c.Resume && !c.Fresh:
		return nil, errors.New("resumption is for fresh connections: a kept one has nothing to resume")
	}
	switch c.Set {
	case "":
		c.Set = http.MethodPut
	case http.MethodPut, http.MethodPost:
	default:
		return nil, fmt.Errorf("a set is PUT or POST, not %q", c.Set)
	}
	for _, h := range c.Header {
		if h[0] == "" || strings.ContainsAny(h[0], ": \t\r\n") || strings.ContainsAny(h[1], "\r\n\x00") {
			return nil, errors.New("a header to be sent has no proper name, or a value of several lines")
		}
	}
	d := &httpsDialer{HTTPSConfig: c, network: "tcp", address: u.Host, path: u.EscapedPath()}
	if u.Port() == "" {
		d.address = net.JoinHostPort(u.Hostname(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
	}
	if c.Socket != "" {
		d.network, d.address = "unix", c.Socket
	}
	if u.Scheme == "https" {
		d.TLS = clientTLS(c.TLS, u.Hostname(), c.HTTP2)
	}
	d.makeHeads(u.Host)
	return d, nil
}

// isLoopback looks no name up: what one resolves to may be another address by the time it is dialled.
func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// clientTLS offers what PHP's libcurl does with OpenSSL 3.0: its key exchange is X25519 or P-256, not yet the hybrid with
// ML-KEM that Go prefers, which is several times the bytes and more work for both sides.
func clientTLS(given *tls.Config, host string, h2 bool) *tls.Config {
	c := given.Clone()
	if c == nil {
		c = new(tls.Config)
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	if c.CurvePreferences == nil {
		c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
	}
	c.NextProtos = []string{"http/1.1"}
	if h2 {
		c.NextProtos = []string{"h2"}
	}
	c.ClientSessionCache = nil
	return c
}

func (d *httpsDialer) makeHeads(host string) {
	var fixed strings.Builder
	fmt.Fprintf(&fixed, " HTTP/1.1\r\nHost: %s\r\n", host)
	for _, h := range d.Header {
		fmt.Fprintf(&fixed, "%s: %s\r\n", h[0], h[1])
	}
	for m := range d.heads {
		d.heads[m] = head{before: d.verb(Method(m)) + " " + d.path, after: fixed.String()}
	}
}

func (d *httpsDialer) verb(m Method) string {
	switch m {
	case Set:
		return d.Set
	case Touch:
		return http.MethodPatch
	case Delete:
		return http.MethodDelete
	default:
		return http.MethodGet
	}
}

// Dial connects, but for fresh connections, which Do makes.
func (d *httpsDialer) Dial(ctx context.Context) (Conn, error) {
	if d.HTTP2 {
		return newHTTP2(d), nil
	}
	c := newHTTPConn(d)
	if d.Fresh {
		return c, nil
	}
	return c, c.connect(ctx)
}

// Close has nothing to give back.
func (d *httpsDialer) Close() error { return nil }

// verdict is what a status means, with a body of so many bytes: nil, or the Failure.
func verdict(op *Op, status int, length int64) error {
	switch {
	case op.Method == Get && op.Absent && status == http.StatusOK:
		return Found
	case op.Method == Get && status == http.StatusOK && op.Length > 0 && length != int64(op.Length):
		return OtherLength
	case op.Method == Get && (status == http.StatusOK || op.Absent && status == http.StatusNotFound):
		return nil
	case op.Method == Set && (status == http.StatusOK || status == http.StatusCreated || status == http.StatusNoContent):
		return nil
	case op.Method == Touch && (status == http.StatusOK || status == http.StatusNoContent):
		return nil
	case op.Method == Delete:
		switch status { // MediaWiki's list
		case http.StatusOK, http.StatusNoContent, http.StatusResetContent, http.StatusNotFound, http.StatusGone:
			return nil
		}
	}
	return Failure(fmt.Sprint(status))
}

// appendEscaped encodes a key as PHP's rawurlencode does: all but RFC 3986's unreserved characters.
func appendEscaped(dst []byte, key string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
