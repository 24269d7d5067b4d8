package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/api/http1"
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
	silenceTimeout = 2 * headerTimeout       // a new connection before its first request is with the handler
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

// Server serves an API over TLS, HTTP/1.1 by package http1 and HTTP/2 by net/http.
type Server struct {
	config  ServerConfig
	one     *http1.Server
	http    *http.Server // HTTP/2
	open    prometheus.Gauge
	refused prometheus.Counter
}

// NewServer makes a Server and registers its metrics.
func NewServer(config ServerConfig) *Server {
	s := &Server{
		config: config,
		one:    http1.NewServer(oneConfig(config)),
		http: &http.Server{
			Handler:           config.API,
			ConnContext:       withConnection,
			TLSConfig:         withProtocols(config.TLS),
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			// WriteTimeout alone leaves a client of HTTP/2 that does not read with its handlers waiting, without end.
			HTTP2:                        &http.HTTP2Config{WriteByteTimeout: writeTimeout},
			DisableGeneralOptionsHandler: true,
			// What net/http reports is about strangers' connections; it never has more of a request than its address.
			ErrorLog: slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug),
		},
		open:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "userinfo_connections", Help: "Open connections."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "userinfo_connections_refused_total", Help: "Connections closed at once because there were too many."}),
	}
	config.Registry.MustRegister(s.open, s.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "userinfo_connections_parked", Help: "Open connections over which nothing is being asked, and which cost little.",
	}, func() float64 { return float64(s.one.Parked()) }))
	return s
}

// parkAfter is how long a kept connection of HTTP/1.1 waits for the next request before it is parked.
const parkAfter = 2 * time.Second

func oneConfig(c ServerConfig) http1.Config {
	return http1.Config{
		Handler: c.API, Refuse: c.API.refuse, Log: c.Log,
		HeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ParkAfter: parkAfter, MaxHeaderBytes: maxHeaderBytes,
	}
}

func (s *Server) serveOne(c *connection, t *tls.Conn) {
	s.one.Serve(context.WithValue(context.Background(), connectionKey{}, c), t)
}

// withProtocols is c with both protocols offered where it names none, as net/http would have it.
func withProtocols(c *tls.Config) *tls.Config {
	c = c.Clone()
	if len(c.NextProtos) == 0 {
		c.NextProtos = []string{"h2", "http/1.1"}
	}
	return c
}

// Serve answers on l until ctx ends, then stops in good order: it says that it is not ready, asks clients to close
// their connections after the next answer, accepts no more connections, gives those it has accepted headerTimeout to
// bring their first request, finishes what is in flight and returns nil. Whatever was being worked on when the grace
// ended is cut off, which is an error. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	failed := make(chan error, 1)
	bounded := &boundedListener{Listener: l, server: s}
	go func() { failed <- s.http.Serve(greet(bounded, s.http.TLSConfig, s.http.ErrorLog, s.serveOne)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.config.Log.Info("stopping: not ready any more", "drain", s.config.Drain.String(), "grace", s.config.Grace.String())
	s.config.API.Drain()
	select {
	case err := <-failed:
		return err
	case <-time.After(s.config.Drain):
	}
	// Nothing that comes once Shutdown has begun is served, so nobody's first request may be under way by then.
	_ = bounded.Close() // an error would be that it is closed
	<-failed
	bounded.settle(headerTimeout)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Grace)
	defer cancel()
	one := make(chan error, 1)
	go func() { one <- s.one.Shutdown(grace) }()
	if err := errors.Join(s.http.Shutdown(grace), <-one); err != nil {
		s.one.Close()
		return errors.Join(errors.New("requests were still in flight when the grace time ended"), s.http.Close())
	}
	return nil
}

// close cuts off whatever there is.
func (s *Server) close() error {
	s.one.Close()
	return s.http.Close()
}
