package api

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// boundedListener closes what it accepts beyond the bound.
type boundedListener struct {
	net.Listener
	server *Server
	count  atomic.Int64
	// newcomers are the connections whose first request has not reached the handler yet.
	newcomers sync.WaitGroup
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.count.Add(1) <= int64(l.server.config.MaxConnections) {
			l.server.open.Inc()
			return l.welcome(c), nil
		}
		l.count.Add(-1)
		l.server.refused.Inc()
		_ = c.Close() // nothing was said on it
	}
}

// welcome counts a connection, and closes it where it does not bring a request: HTTP/2 would let it wait for as long
// as one that has brought some.
func (l *boundedListener) welcome(c net.Conn) *connection {
	l.newcomers.Add(1)
	silent := time.AfterFunc(silenceTimeout, func() { _ = c.Close() }) // whoever reads from it will notice
	asked := sync.OnceFunc(func() {
		silent.Stop()
		l.newcomers.Done()
	})
	return &connection{Conn: c, asked: asked, closed: sync.OnceFunc(l.leave)}
}

func (l *boundedListener) leave() {
	l.count.Add(-1)
	l.server.open.Dec()
}

// settle waits until every connection has brought its first request or is closed, but no longer than d. Accept must
// have ended.
func (l *boundedListener) settle(d time.Duration) {
	settled := make(chan struct{})
	go func() {
		l.newcomers.Wait() // ends with the last connection
		close(settled)
	}()
	select {
	case <-settled:
	case <-time.After(d):
	}
}

// connection tells the listener when it has brought a request and when it is closed, once each.
type connection struct {
	net.Conn
	asked, closed func()
	lines         *lines // of HTTP/1.1; nil of HTTP/2
}

// NetConn is what was accepted, for tlsconf.PeerOf.
func (c *connection) NetConn() net.Conn { return c.Conn }

// Close implements net.Conn.
func (c *connection) Close() error {
	c.asked()
	c.closed()
	return c.Conn.Close()
}

// connectionKey is that of a request's *connection in its context.
type connectionKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c.(interface{ NetConn() net.Conn }).NetConn())
}

// asking marks the connections of requests that reach next.
func asking(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Context().Value(connectionKey{}).(*connection).asked()
		next.ServeHTTP(w, r)
	})
}
