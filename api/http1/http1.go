// Package http1 serves HTTP/1.1 (RFC 9112) over connections whose TLS handshake has been done.
//
// It is what net/http is to HTTP/2 here, for the protocol in which nearly every request comes, and does less: one goroutine
// and one buffer for each connection, one write for each answer, deadlines that are set where somebody waits.
//
//	          ┌──────────── kept, nothing read: after ParkAfter ────────────┐
//	          ▼                                                             │
//	parked, 2 kB ── something has come ──▶ header (head.go) ──▶ Handler ──▶ answer (reply.go)
//	          └── IdleTimeout ──▶ closed ◀── refused, or to be closed ─────┘
//
// Invariants:
//
//  1. Where a request ends is never in doubt: a header with a folded line, with a length that is not one number, with both
//     a length and a coding, or with any coding but chunked is refused, and its connection closed. So is a connection
//     after a chunked body, of which only the data has been read.
//  2. Nobody waits for a client longer than the timeouts say, nor keeps more of what it sends than MaxHeaderBytes and a
//     buffer; of a body, nothing that the handler has not asked for.
//  3. No answer is sent that the handler has not finished, but for one that is longer than a TLS record.
//
// It does not do what no handler here needs: answers that are sent in parts, trailers, upgrades, HTTP/1.0's kept
// connections.
package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Server needs. All of it is required.
type Config struct {
	Handler http.Handler
	// Refuse answers what is no request, with a status of 400, 408, 431 or 505 and what to change.
	Refuse func(w http.ResponseWriter, status int, detail string)
	// HeaderTimeout is for a header, from its first byte or, on a new connection, from the end of the handshake;
	// ReadTimeout for a body, from the end of the header; WriteTimeout for an answer, from its first byte; IdleTimeout for
	// a kept connection, from the end of an answer. Those that begin anew with each request may be an eighth longer.
	HeaderTimeout, ReadTimeout, WriteTimeout, IdleTimeout time.Duration
	// ParkAfter is how long a kept connection has a buffer and a whole stack without using them.
	ParkAfter      time.Duration
	MaxHeaderBytes int
	Log            *slog.Logger
}

// Server serves connections that others accept. It is safe for concurrent use.
type Server struct {
	config Config
	parked atomic.Int64
	works  sync.Pool // of *work
	outs   sync.Pool // of *[]byte, with room for a record
	today  atomic.Pointer[date]

	mu       sync.Mutex
	conns    map[*conn]struct{} // nil once there are to be none
	stopping chan struct{}      // not nil once it is; is closed with the last connection
}

// NewServer makes a Server.
func NewServer(c Config) *Server {
	return &Server{config: c, conns: make(map[*conn]struct{})}
}

// Serve answers the first request that comes over t, whose handshake must have ended, and closes t unless it is kept: then it
// goes on elsewhere. The contexts of its requests have ctx's values; they end when their client has left, or with ctx.
func (s *Server) Serve(ctx context.Context, t *tls.Conn) {
	c := newConn(ctx, s, t)
	if !s.add(c) {
		_ = t.Close() // nothing was said on it
		return
	}
	if c.proceed(true) {
		go c.serve()
	}
}

// Parked is how many connections are.
func (s *Server) Parked() int { return int(s.parked.Load()) }

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil || s.stopping != nil {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.settle()
}

// settle notes that there will be no more connections where that is so. The caller holds mu.
func (s *Server) settle() {
	if s.stopping != nil && s.conns != nil && len(s.conns) == 0 {
		s.conns = nil
		close(s.stopping)
	}
}

// Shutdown closes the connections over which nothing is being asked, the others after their answers, and returns when there
// are none; where ctx ends before that, with an error. Nothing is served after it began.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if s.stopping == nil {
		s.stopping = make(chan struct{})
		s.settle()
		for c := range s.conns {
			c.stop()
		}
	}
	stopping := s.stopping
	s.mu.Unlock()
	select {
	case <-stopping:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("connections were still in use"), ctx.Err())
	}
}

// Close cuts off whatever there is.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.tls.NetConn().Close() // first, or what is cancelled may still be answered
		c.cancel()
	}
	if s.stopping == nil {
		s.stopping = make(chan struct{})
		s.settle()
	}
}
