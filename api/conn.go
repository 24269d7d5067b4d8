package api

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"userinfo/internal/panics"
)

// connListener accepts connections for a Server. It closes a connection at once if the server has MaxConnections open.
type connListener struct {
	net.Listener
	server *Server
}

// Accept implements net.Listener.
func (l *connListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.server.open.Add(1) <= int64(l.server.config.MaxConnections) {
			return l.server.newConn(c), nil
		}
		l.server.open.Add(-1)
		l.server.refused.Inc()
		_ = c.Close() // nothing was sent on it
	}
}

// conn is one client connection, below TLS.
type conn struct {
	net.Conn
	server   *Server
	timer    *time.Timer // closes the connection if it brings no request
	received atomic.Bool // a request has reached the handler, or the connection was closed
	closed   atomic.Bool
}

// newConn returns a conn and starts its timer. Without the timer, a client of HTTP/2 could keep a connection open for
// ServerConfig.IdleTimeout without sending a request.
func (s *Server) newConn(c net.Conn) *conn {
	s.awaitingRequest.Add(1)
	timer := time.AfterFunc(firstRequestTimeout, func() {
		defer s.panics.Recover(panics.Connection, nil)
		_ = c.Close() // net/http notices the close when it reads
	})
	return &conn{Conn: c, server: s, timer: timer}
}

// requestReceived stops the timer. The handler calls it for every request.
func (c *conn) requestReceived() {
	if c.received.Load() || c.received.Swap(true) {
		return
	}
	c.timer.Stop()
	c.server.awaitingRequest.Done()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.requestReceived() // there will be none
	if !c.closed.Swap(true) {
		c.server.open.Add(-1)
	}
	return c.Conn.Close()
}

// NetConn returns the accepted connection. tlsconf.PeerAddr uses it to find the peer's address.
func (c *conn) NetConn() net.Conn { return c.Conn }

// connKey is the context key of a request's *conn.
type connKey struct{}

// withConn is the ConnContext hook of net/http. It stores the *conn in the context of the connection's requests.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c.(*tls.Conn).NetConn())
}
