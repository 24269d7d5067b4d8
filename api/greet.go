package api

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"sync"
	"time"
)

// greeter completes TLS with the connections that its listener accepts, each beside the others, before anybody speaks HTTP:
// only then is it known in which version. Those of HTTP/1.1 it has served; those of HTTP/2 are accepted from it, by net/http.
type greeter struct {
	net.Listener
	config   *tls.Config
	log      *log.Logger
	serve    func(*connection, *tls.Conn) // HTTP/1.1; it returns when others may wait for the connection
	greeted  chan accepted
	greeting sync.WaitGroup
	closed   chan struct{}
	close    func() error // once
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

// greet begins to accept from l, until that is closed.
func greet(l *boundedListener, config *tls.Config, log *log.Logger, serve func(*connection, *tls.Conn)) *greeter {
	g := &greeter{Listener: l, config: config, log: log, greeted: make(chan accepted), closed: make(chan struct{}), serve: serve}
	g.close = sync.OnceValue(func() error {
		close(g.closed)
		return l.Close()
	})
	go g.run(l)
	return g
}

// Accept implements net.Listener. Once there are no more connections to accept, those whose TLS has begun are still given.
func (g *greeter) Accept() (net.Conn, error) {
	select {
	case a := <-g.greeted:
		return a.conn, a.err
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Nothing is given after it.
func (g *greeter) Close() error { return g.close() }

// greeters are the goroutines that wait for connections, with stacks that have grown to what a handshake needs: to grow
// one for each connection is one part in thirty of what it costs. Where all are busy others are made.
const greeters = 8

func (g *greeter) run(l *boundedListener) {
	waiting := make(chan *connection)
	for range greeters {
		go func() {
			for c := range waiting {
				g.greet(c)
			}
		}()
	}
	for {
		c, err := l.accept()
		switch {
		case err == nil:
			g.greeting.Add(1)
			select {
			case waiting <- c:
			default:
				go g.greet(c)
			}
		case errors.Is(err, net.ErrClosed):
			close(waiting)
			g.greeting.Wait()
			g.give(accepted{err: err})
			return
		default:
			g.give(accepted{err: err}) // net/http waits a little where it helps, and otherwise ends
		}
	}
}

// give hands a to Accept, or closes it where nobody accepts any more.
func (g *greeter) give(a accepted) {
	select {
	case g.greeted <- a:
	case <-g.closed:
		if a.conn != nil {
			_ = a.conn.Close() // nothing was said on it
		}
	}
}

// greet does what begins a connection, and the first request of HTTP/1.1 in the same goroutine.
func (g *greeter) greet(c *connection) {
	t := g.handshake(c)
	two := t != nil && t.ConnectionState().NegotiatedProtocol == "h2"
	if two {
		g.give(accepted{conn: t})
	}
	g.greeting.Done()
	if t != nil && !two {
		g.serve(c, t)
	}
}

// handshake is nil where it has failed, and the connection with it.
func (g *greeter) handshake(c *connection) *tls.Conn {
	_ = c.SetDeadline(time.Now().Add(headerTimeout)) // the handshake fails with the connection
	t := tls.Server(c, g.config)
	if err := t.Handshake(); err != nil { // with a context it would have another goroutine
		if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil {
			_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis is TLS: ask with https://.\n")
		}
		g.log.Printf("TLS handshake error from %s: %v", c.RemoteAddr(), err)
		_ = c.Close() // nothing was said on it
		return nil
	}
	if t.ConnectionState().Version < tls.VersionTLS13 { // what is held is no ticket, but what the client waits for
		if _, err := c.release(nil); err != nil {
			_ = c.Close() // nothing was said on it
			return nil
		}
	}
	_ = c.SetDeadline(time.Time{})
	c.greeted = true
	return t
}
