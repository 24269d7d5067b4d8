package api

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"userinfo/access"
	"userinfo/internal/panics"
	"userinfo/tlsconf"
)

// errNoRoom is the error of reading a connection that was refused after its PROXY protocol header was read.
var errNoRoom = errors.New("too many connections from this address")

// conn is one client connection, below TLS.
type conn struct {
	net.Conn
	server   *Server
	timer    *time.Timer // closes the connection if it brings no request
	received atomic.Bool // a request has reached the handler, or the connection was closed
	known    atomic.Bool // its client is in the table, or it belongs to a trusted proxy
	header   headerMemory
	proxied  bool      // the client's address comes in a PROXY protocol header
	located  bool      // the header was read; belongs to the goroutine that reads
	entry    connEntry // belongs to Server.table
}

// newConn returns a conn and starts its timer. Without the timer, a client of HTTP/2 could keep a connection open for
// ServerConfig.IdleTimeout without sending a request.
func (s *Server) newConn(c net.Conn) *conn {
	s.awaitingRequest.Add(1)
	s.beforeRequest.enter()
	conn := &conn{Conn: c, server: s, proxied: tlsconf.IsProxied(c)}
	conn.timer = time.AfterFunc(firstRequestTimeout, func() {
		defer s.panics.Recover(panics.Connection, nil)
		_ = c.Close() // net/http notices the close when it reads
	})
	return conn
}

// admit adds the connection to the table. If there is no room, it closes the connection and returns false.
func (c *conn) admit() bool {
	var address netip.Prefix
	if !c.proxied { // otherwise RemoteAddr would wait for the header
		address = tlsconf.HostPrefix(tlsconf.PeerAddr(c.Conn))
	}
	evicted, refused := c.server.table.add(c, address)
	if c.server.limits.enforce(evicted, refused, address.String()) {
		return true
	}
	_ = c.Close() // nothing was sent on it
	return false
}

// Read implements net.Conn. It recovers from panics, because net/http reads in goroutines that do not.
func (c *conn) Read(p []byte) (n int, err error) {
	defer c.server.panics.Recover(panics.Connection, &err)
	if c.proxied && !c.located {
		c.located = true
		if !c.locate() {
			return 0, errors.Join(errNoRoom, c.Close())
		}
	}
	n, err = c.Conn.Read(p)
	if c.known.Load() {
		return n, err
	}
	if tooLarge := c.header.receive(n, c.strangers); tooLarge != nil {
		return 0, errors.Join(tooLarge, c.Close())
	}
	return n, err
}

// strangers returns the limits that all connections without an authenticated request share.
func (c *conn) strangers() *clientLimits {
	api := c.server.config.API
	return api.limiter.client(access.Identity{}, api.config.Now())
}

// Write implements net.Conn. It recovers from panics, as Read does.
func (c *conn) Write(p []byte) (n int, err error) {
	defer c.server.panics.Recover(panics.Connection, &err)
	return c.Conn.Write(p)
}

// locate waits for the PROXY protocol header and counts the connection for the address in it. A connection of the proxy itself
// has no share of an address. It returns false if there is no room.
func (c *conn) locate() bool {
	client := c.Conn.RemoteAddr()
	address := tlsconf.HostPrefix(client)
	if !address.IsValid() || client.String() == tlsconf.PeerAddr(c.Conn).String() {
		return true
	}
	evicted, refused := c.server.table.setAddress(c, address)
	return c.server.limits.enforce(evicted, refused, address.String())
}

// beginRequest notes that the handler serves a request. The first one stops the timer.
func (c *conn) beginRequest() {
	c.requestReceived()
	c.header.beginRequest()
	c.server.table.beginRequest(c)
}

// endRequest ends what beginRequest began.
func (c *conn) endRequest() {
	c.header.endRequest()
	c.server.table.endRequest(c)
}

// setClient counts the connection for a client, unless it already counts for one. It returns false if the client has limit
// connections and none of them is idle.
func (c *conn) setClient(name string, limit int) bool {
	if c.known.Load() {
		return true
	}
	evicted, refused := c.server.table.setClient(c, name, limit)
	if !c.server.limits.enforce(evicted, refused, name) {
		return false
	}
	c.known.Store(true)
	return true
}

// setTrustedProxy makes the connection count in total only.
func (c *conn) setTrustedProxy() {
	if !c.known.Swap(true) {
		c.server.table.setTrustedProxy(c)
	}
}

// requestReceived stops the timer.
func (c *conn) requestReceived() {
	if c.received.Load() || c.received.Swap(true) {
		return
	}
	c.timer.Stop()
	c.server.awaitingRequest.Done()
	c.server.beforeRequest.leave()
}

// Close implements net.Conn.
func (c *conn) Close() (err error) {
	defer c.server.panics.Recover(panics.Connection, &err) // crypto/tls closes in a goroutine of its own
	c.requestReceived()                                    // there will be none
	err = c.Conn.Close()
	c.header.beginRequest() // nothing is held any more
	c.server.table.remove(c)
	return err
}

// NetConn returns the accepted connection. tlsconf.PeerAddr uses it to find the peer's address.
func (c *conn) NetConn() net.Conn { return c.Conn }

// connKey is the context key of a request's *conn.
type connKey struct{}

// withConn is the ConnContext hook of net/http. It stores the *conn in the context of the connection's requests.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c.(*tls.Conn).NetConn())
}

// connState is the ConnState hook of net/http.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	defer s.panics.Recover(panics.Connection, nil)
	if state == http.StateActive || state == http.StateIdle {
		s.table.setActive(c.(*tls.Conn).NetConn().(*conn), state == http.StateActive)
	}
}
