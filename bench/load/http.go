package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// HTTPConfig describes how to reach an HTTP session store. Only URL is required.
type HTTPConfig struct {
	URL         string // of the collection, ending in a slash; the key is appended
	Socket      string // path of a Unix socket to connect to instead of the URL's host
	CA          string // file of CA certificates, PEM; default: the system's
	Certificate string // file of the client's certificate, PEM, with Key
	Key         string
	Header      string // file of header lines to send with each request, as curl -H @FILE reads it
	Set         string // method of a set: PUT (default) or POST
	Fresh       bool   // open a new connection for each request, as PHP does by default
	Resume      bool   // with Fresh: resume the previous connection's TLS session
	HTTP2       bool
}

// httpDialer is a checked HTTPConfig.
type httpDialer struct {
	HTTPConfig
	tls    *tls.Config // nil for http://
	header http.Header
}

// NewHTTP reads the files of a configuration and checks it. It does not connect. An error names a file, never its content.
func NewHTTP(c HTTPConfig) (Dialer, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("the URL of a session store: %w", err)
	}
	d := &httpDialer{HTTPConfig: c}
	if d.header, err = readHeader(c.Header); err != nil {
		return nil, err
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, fmt.Errorf("the URL %s must begin with https://host/ or http://host/", u.Redacted())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasSuffix(u.EscapedPath(), "/"):
		return nil, fmt.Errorf("the URL %s must end in a slash, and have no user, query or fragment", u.Redacted())
	case u.Scheme == "http" && (c.CA != "" || c.Certificate != "" || c.HTTP2):
		return nil, errors.New("ca=, certificate= and HTTP/2 need https://")
	case u.Scheme == "http" && len(d.header) > 0 && c.Socket == "" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("header= may hold a token, which http:// would send in the clear to %s: use https:// or a loopback address", u.Redacted())
	case c.Set != "" && c.Set != http.MethodPut && c.Set != http.MethodPost:
		return nil, fmt.Errorf("the method of a set is PUT or POST, not %q", c.Set)
	case c.Resume && !c.Fresh:
		return nil, errors.New("only new connections can resume a TLS session")
	}
	if d.Set == "" {
		d.Set = http.MethodPut
	}
	if u.Scheme == "https" {
		d.tls, err = c.TLS()
	}
	return d, err
}

// isLoopback does not resolve names: their address may be another one when it is dialled.
func isLoopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

func readHeader(file string) (http.Header, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading header=: %w", err)
	}
	header := make(http.Header)
	for n, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("%s:%d is not a header line (Name: value)", file, n+1)
		}
		header.Add(name, strings.TrimSpace(value))
	}
	return header, nil
}

// TLS returns the client's TLS configuration. It offers the key exchanges of PHP's libcurl with OpenSSL 3.0, X25519 and P-256. Go would prefer the hybrid with
// ML-KEM, which costs both sides more.
func (c HTTPConfig) TLS() (*tls.Config, error) {
	t := &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}}
	if c.CA != "" {
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("reading ca=: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no PEM certificate", c.CA)
		}
	}
	if (c.Certificate == "") != (c.Key == "") {
		return nil, errors.New("give both certificate= and key=, or neither")
	}
	if c.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, fmt.Errorf("reading certificate=%s and key=%s: %w", c.Certificate, c.Key, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// Dial returns a client with a connection of its own, which its first request opens.
func (d *httpDialer) Dial(context.Context) (Conn, error) {
	c := &httpConn{dialer: d}
	if d.tls != nil {
		c.tls = d.tls.Clone()
		if d.Resume {
			c.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
	}
	c.renew()
	return c, nil
}

// Close does nothing.
func (d *httpDialer) Close() error { return nil }

// httpConn is an HTTP client that has at most one connection.
type httpConn struct {
	dialer *httpDialer
	tls    *tls.Config
	client *http.Client
	conn   atomic.Pointer[net.Conn] // the newest connection, which the transport opens in a goroutine of its own
}

// renew makes a client for a new connection, and closes the previous connection.
func (c *httpConn) renew() {
	if c.client != nil {
		c.client.CloseIdleConnections()
	}
	if old := c.conn.Swap(nil); old != nil {
		(*old).Close() // with HTTP/2, the client may not take it for idle yet
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!c.dialer.HTTP2)
	protocols.SetHTTP2(c.dialer.HTTP2)
	c.client = &http.Client{
		Timeout:       Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Protocols: protocols, TLSClientConfig: c.tls, DisableCompression: true, MaxConnsPerHost: 1,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if c.dialer.Socket != "" {
					network, address = "unix", c.dialer.Socket
				}
				conn, err := (&net.Dialer{Timeout: Patience, KeepAlive: -1}).DialContext(ctx, network, address)
				if err == nil {
					c.conn.Store(&conn)
				}
				return conn, err
			},
		},
	}
}

// Do sends a request and reads the whole answer. Like every client on net/http, it sends a request again on a new
// connection if the server has closed the idle one.
func (c *httpConn) Do(ctx context.Context, r *Request) error {
	request, err := c.request(ctx, r)
	if err != nil {
		return err
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return err
	}
	length, err := io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	if err != nil {
		return err
	}
	if c.dialer.Fresh {
		c.renew()
	}
	return checkStatus(r, answer.StatusCode, int(length))
}

func (c *httpConn) request(ctx context.Context, r *Request) (*http.Request, error) {
	var body io.Reader
	if r.Method == Set {
		body = bytes.NewReader(r.Value)
	}
	method := [...]string{Get: http.MethodGet, Set: c.dialer.Set, Touch: http.MethodPatch, Delete: http.MethodDelete}[r.Method]
	request, err := http.NewRequestWithContext(ctx, method, c.dialer.URL+escape(r.Key), body)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	for name, values := range c.dialer.header {
		request.Header[name] = values
	}
	if r.TTL > 0 && (r.Method == Set || r.Method == Touch) {
		request.Header.Set("TTL", strconv.Itoa(r.TTL))
	}
	return request, nil
}

// escape encodes a key as PHP's rawurlencode does: everything but RFC 3986's unreserved characters.
func escape(key string) string { return strings.ReplaceAll(url.QueryEscape(key), "+", "%20") }

// checkStatus returns nil if a status is the expected answer.
func checkStatus(r *Request, status, length int) error {
	ok := false
	switch r.Method {
	case Get:
		if status == http.StatusOK || status == http.StatusNotFound {
			return CheckGet(r, status == http.StatusOK, length)
		}
	case Set:
		ok = status == http.StatusOK || status == http.StatusCreated || status == http.StatusNoContent
	case Touch:
		ok = status == http.StatusOK || status == http.StatusNoContent
	case Delete: // MediaWiki's list
		switch status {
		case http.StatusOK, http.StatusNoContent, http.StatusResetContent, http.StatusNotFound, http.StatusGone:
			ok = true
		}
	}
	if ok {
		return nil
	}
	return Failure(strconv.Itoa(status))
}

// Close closes the connection.
func (c *httpConn) Close() error {
	c.renew()
	return nil
}
