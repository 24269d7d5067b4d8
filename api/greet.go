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

// greeter completes TLS with the connections that its listener accepts, each beside the others, before net/http sees
// them: only then is it known which protocol they speak, and so which are to be watched for folded lines.
type greeter struct {
	net.Listener
	config   *tls.Config
	log      *log.Logger
	greeted  chan accepted
	greeting sync.WaitGroup
	park     *park
	closed   chan struct{}
	close    func() error // once
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

// greet begins to accept from l, until that is closed. What comes over a parked
// connection is given as a new one; close closes the park.
func greet(l net.Listener, config *tls.Config, log *log.Logger, k *park) *greeter {
	g := &greeter{Listener: l, config: config, log: log, greeted: make(chan accepted), closed: make(chan struct{}), park: k}
	k.give = func(p *patient) { g.give(accepted{conn: p}) }
	g.close = sync.OnceValue(func() error {
		close(g.closed)
		k.close()
		return l.Close()
	})
	go g.run()
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

func (g *greeter) run() {
	waiting := make(chan net.Conn)
	for range greeters {
		g.greeting.Go(func() {
			for c := range waiting {
				g.greet(c)
			}
		})
	}
	for {
		c, err := g.Listener.Accept()
		switch {
		case err == nil:
			select {
			case waiting <- c:
			default:
				g.greeting.Go(func() { g.greet(c) })
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

func (g *greeter) greet(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(headerTimeout)) // the handshake fails with the connection
	t := tls.Server(c, g.config)
	if err := t.Handshake(); err != nil { // with a context it would have another goroutine
		if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil {
			_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis is TLS: ask with https://.\n")
		}
		g.log.Printf("TLS handshake error from %s: %v", c.RemoteAddr(), err)
		_ = c.Close() // nothing was said on it
		return
	}
	_ = c.SetDeadline(time.Time{})
	own, ok := c.(*connection)
	if ok {
		own.greeted = true
	}
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		g.give(accepted{conn: t})
		return
	}
	p := &patient{Conn: t, park: g.park}
	if ok {
		own.lines = &p.lines
	}
	g.give(accepted{conn: p})
}
