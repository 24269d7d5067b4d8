package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Timeouts. MediaWiki waits 1.2 s for a connection and 3.0 s in all, and never asks again; so the whole of a
// request fits into that, and the store has most of it.
const (
	// RequestTimeout is the store's, from the arrival of the request.
	RequestTimeout = 2800 * time.Millisecond
	headerTimeout  = 2 * time.Second         // TLS handshake, and a request's header
	readTimeout    = 2500 * time.Millisecond // header and body
	writeTimeout   = 3 * time.Second         // from the end of the header to the end of the answer
	idleTimeout    = 75 * time.Second        // a kept connection between two requests
	maxHeaderBytes = 64 << 10
)

// ServerConfig is what a Server needs. All of it is required.
type ServerConfig struct {
	API *API
	TLS *tls.Config
	// MaxConnections bounds the connections; the next is closed at once.
	MaxConnections int
	// Drain is how long the service goes on as before after it has said that it is not ready; Grace how long
	// requests in flight may take after that.
	Drain, Grace time.Duration
	Registry     prometheus.Registerer
	Log          *slog.Logger
}

// Server serves an API over TLS, HTTP/1.1 and HTTP/2.
type Server struct {
	config  ServerConfig
	http    *http.Server
	open    prometheus.Gauge
	refused prometheus.Counter
}

// NewServer makes a Server and registers its metrics.
func NewServer(config ServerConfig) *Server {
	s := &Server{
		config: config,
		http: &http.Server{
			Handler:                      config.API,
			TLSConfig:                    config.TLS,
			ReadHeaderTimeout:            headerTimeout,
			ReadTimeout:                  readTimeout,
			WriteTimeout:                 writeTimeout,
			IdleTimeout:                  idleTimeout,
			MaxHeaderBytes:               maxHeaderBytes,
			DisableGeneralOptionsHandler: true,
			// What net/http reports is about strangers' connections; it never has more of a request than its address.
			ErrorLog: slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug),
		},
		open:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "userinfo_connections", Help: "Open connections."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "userinfo_connections_refused_total", Help: "Connections closed at once because there were too many."}),
	}
	config.Registry.MustRegister(s.open, s.refused)
	return s
}

// Serve answers on l until ctx ends, then stops in good order: it says that it is not ready, asks clients to close
// their connections after the next answer, finishes what is in flight and returns nil. Whatever was being worked on
// when the grace ended is cut off, which is an error. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.ServeTLS(&boundedListener{Listener: l, server: s}, "", "") }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.config.Log.Info("stopping: not ready any more", "drain", s.config.Drain, "grace", s.config.Grace)
	s.config.API.Drain()
	select {
	case err := <-failed:
		return err
	case <-time.After(s.config.Drain):
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Grace)
	defer cancel()
	if err := s.http.Shutdown(grace); err != nil {
		return errors.Join(errors.New("requests were still in flight when the grace time ended"), s.http.Close())
	}
	return nil
}

// boundedListener closes what it accepts beyond the bound.
type boundedListener struct {
	net.Listener
	server *Server
	count  atomic.Int64
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
			return &countedConn{Conn: c, closed: sync.OnceFunc(l.leave)}, nil
		}
		l.count.Add(-1)
		l.server.refused.Inc()
		_ = c.Close() // nothing was said on it
	}
}

func (l *boundedListener) leave() {
	l.count.Add(-1)
	l.server.open.Dec()
}

// countedConn tells the listener when it is closed, once.
type countedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}
