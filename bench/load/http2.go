package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
)

// http2Conn asks by HTTP/2 on one connection, or with Fresh on one for each request. It is net/http's client: what it
// costs the server can be compared, what it costs itself can not.
type http2Conn struct {
	d              *httpsDialer
	tls            *tls.Config
	client         *http.Client // of one connection
	conn           net.Conn     // that connection, once there is one; written before client.Do returns
	sent, received atomic.Int64 // net/http writes and reads in goroutines of its own
}

func newHTTP2(d *httpsDialer) *http2Conn {
	c := &http2Conn{d: d, tls: d.TLS.Clone()}
	if d.Resume {
		c.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	c.renew()
	return c
}

// renew makes the client of another connection. The one before is closed hard: net/http closes only what it has found
// to be idle by then.
func (c *http2Conn) renew() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true) // alone: a server without it is an error, not HTTP/1.1
	c.client = &http.Client{
		Timeout:       Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Protocols:          protocols,
			TLSClientConfig:    c.tls,
			DisableCompression: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				dialer := net.Dialer{KeepAlive: -1}
				conn, err := dialer.DialContext(ctx, c.d.network, c.d.address)
				if err != nil {
					return nil, err
				}
				c.conn = &sharedWire{conn, c}
				return c.conn, nil
			},
		},
	}
}

// Do sends op and reads the answer whole.
func (c *http2Conn) Do(ctx context.Context, op *Op) error {
	var body io.Reader
	if op.Method == Set {
		body = bytes.NewReader(op.Value)
	}
	url := c.d.URL + string(appendEscaped(nil, op.Key))
	r, err := http.NewRequestWithContext(ctx, c.d.verb(op.Method), url, body)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	for _, h := range c.d.Header {
		r.Header.Set(h[0], h[1])
	}
	if op.TTL > 0 && (op.Method == Set || op.Method == Touch) {
		r.Header.Set("TTL", strconv.Itoa(op.TTL))
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return err
	}
	length, err := io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	if err != nil {
		return err
	}
	if c.d.Fresh {
		c.renew()
	}
	return verdict(op, answer.StatusCode, length)
}

// Close leaves nothing open.
func (c *http2Conn) Close() error {
	c.renew()
	return nil
}

// Wire is of all connections that the Conn has made.
func (c *http2Conn) Wire() (sent, received int64) { return c.sent.Load(), c.received.Load() }

// sharedWire counts for an http2Conn.
type sharedWire struct {
	net.Conn
	c *http2Conn
}

func (w *sharedWire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.c.received.Add(int64(n))
	return n, err
}

func (w *sharedWire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.c.sent.Add(int64(n))
	return n, err
}
