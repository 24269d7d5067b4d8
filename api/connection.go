package api

import (
	"context"
	"crypto/tls"
	"net"
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

// accept waits for a connection within the bound.
func (l *boundedListener) accept() (*connection, error) {
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
	return &connection{Conn: c, listener: l, silent: silent}
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
	listener     *boundedListener
	silent       *time.Timer // closes it
	asked, ended atomic.Bool

	// Of the handshake, and of one goroutine until it has ended.
	begun   bool   // something has been written
	greeted bool   // the handshake has ended
	held    []byte // what it wrote last
}

// Read implements net.Conn.
func (c *connection) Read(b []byte) (int, error) {
	if !c.greeted && len(c.held) > 0 { // the client may be waiting for it
		if _, err := c.release(nil); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// Write implements net.Conn. What a handshake of TLS 1.3 writes last, once it has read everything, is a session ticket, for
// which nobody waits: it goes out with the first answer, in one system call.
func (c *connection) Write(b []byte) (int, error) {
	switch {
	case !c.greeted && c.begun:
		c.held = append(c.held, b...)
		return len(b), nil
	case len(c.held) > 0:
		return c.release(b)
	}
	c.begun = true
	return c.Conn.Write(b)
}

// release writes what is held, and then b.
func (c *connection) release(b []byte) (int, error) {
	held := c.held
	c.held = nil
	n, err := c.Conn.Write(append(held, b...))
	return max(0, n-len(held)), err
}

// ask notes that a request has reached the handler.
func (c *connection) ask() {
	if c.asked.Load() || c.asked.Swap(true) {
		return
	}
	c.silent.Stop()
	c.listener.newcomers.Done()
}

// NetConn is what was accepted, for tlsconf.PeerAddr.
func (c *connection) NetConn() net.Conn { return c.Conn }

// Close implements net.Conn.
func (c *connection) Close() error {
	if !c.greeted && len(c.held) > 0 { // why the handshake has failed
		_, _ = c.release(nil)
	}
	c.ask() // it will bring none
	if !c.ended.Swap(true) {
		c.listener.count.Add(-1)
		c.listener.server.open.Dec()
	}
	return c.Conn.Close()
}

// connectionKey is that of a request's *connection in its context. A request that was served by nobody has none.
type connectionKey struct{}

// withConnection has c, which net/http has from a greeter, in the context of its requests.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c.(*tls.Conn).NetConn())
}
