package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/panics"
)

// RequestTimeout is the time from the start of a request until the store must have answered. MediaWiki gives up 3.0 s
// after it has sent a request, and does not retry, so the store gets nearly all of that time.
const RequestTimeout = 2800 * time.Millisecond

// DefaultIdleTimeout is the default of limits.idle_timeout in the configuration.
const DefaultIdleTimeout = 75 * time.Second

// Limits of a connection.
const (
	headerTimeout       = 2 * time.Second         // for the TLS handshake, and for the header of a request
	readTimeout         = 2500 * time.Millisecond // for the header and the body of a request
	writeTimeout        = 3 * time.Second         // from the end of the header until the response is written
	firstRequestTimeout = 4 * time.Second         // from the accept until the first request's header is complete
	maxHeaderBytes      = 64 << 10
)

// Limits of an HTTP/2 connection. A connection keeps a buffer of the largest frame that it has received, and holds as many
// bytes of bodies as its window allows until handlers read them.
const (
	maxStreams      = 100
	maxFrameBytes   = 16 << 10 // HTTP/2 allows no smaller limit
	maxConnWindow   = 256 << 10
	maxStreamWindow = 128 << 10
)

// ServerConfig configures a Server. All fields are required, except Drain and the bounds that may be zero.
type ServerConfig struct {
	API *API
	// TLS is the configuration of the listener. If NextProtos is empty, the server offers HTTP/2 and HTTP/1.1.
	TLS *tls.Config
	// MaxConnections is the maximum number of open connections. For the next one, an idle one is closed: see connTable.
	MaxConnections int
	// MaxUnauthenticatedConnections is the maximum number of connections without an authenticated request. Zero: no bound.
	MaxUnauthenticatedConnections int
	// MaxConnectionsPerAddress is the maximum number of connections of one address. Zero: no bound.
	MaxConnectionsPerAddress int
	// IdleTimeout is how long a connection may stay open between two requests. Then the server closes it.
	IdleTimeout time.Duration
	// Drain is how long the server keeps accepting connections after it has started to shut down.
	Drain time.Duration
	// Grace is how long requests in flight may take after that.
	Grace    time.Duration
	Registry prometheus.Registerer
	Log      *slog.Logger
}

// Server serves an API over TLS, with net/http. It limits the number of connections, and how long a client can take.
type Server struct {
	config ServerConfig
	http   *http.Server
	table  *connTable
	limits *connLimits
	panics *panics.Recorder
	// awaitingRequest counts the connections whose first request has not reached the handler.
	awaitingRequest sync.WaitGroup

	accepting     stage // from one accepted connection to the next accept
	beforeRequest stage // connections of awaitingRequest
	stalls        []stallWatch
}

// NewServer returns a Server and registers its metrics with config.Registry.
func NewServer(config ServerConfig) *Server {
	table := newConnTable(config)
	s := &Server{
		config: config,
		table:  table,
		limits: newConnLimits(table, config.Registry, config.Log),
		panics: config.API.config.Panics,
		http: &http.Server{
			Handler:                      config.API,
			ConnContext:                  withConn,
			TLSConfig:                    withNextProtos(config.TLS),
			ReadHeaderTimeout:            headerTimeout,
			ReadTimeout:                  readTimeout,
			WriteTimeout:                 writeTimeout,
			IdleTimeout:                  config.IdleTimeout,
			MaxHeaderBytes:               maxHeaderBytes,
			HTTP2:                        http2Config(),
			DisableGeneralOptionsHandler: true,
			ErrorLog:                     log.New(errorLog{log: config.Log, panics: config.API.config.Panics}, "", 0),
		},
	}
	s.http.ConnState = s.connState
	s.stalls = s.newStallWatches()
	return s
}

// http2Config returns limits of an HTTP/2 connection. Its peer need not be a client: nobody is authenticated before the first
// request is complete.
func http2Config() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReadFrameSize:              maxFrameBytes,
		MaxReceiveBufferPerConnection: maxConnWindow,
		MaxReceiveBufferPerStream:     maxStreamWindow,
		// WriteTimeout does not end the handlers of a client that stops reading.
		WriteByteTimeout: writeTimeout,
	}
}

// withNextProtos returns a copy of c that offers HTTP/2 and HTTP/1.1 if c names no protocol.
func withNextProtos(c *tls.Config) *tls.Config {
	c = c.Clone()
	if len(c.NextProtos) == 0 {
		c.NextProtos = []string{"h2", "http/1.1"}
	}
	return c
}

// Serve serves connections of l until ctx ends, and then shuts down:
//
//  1. /readyz answers 503, and every response asks the client to close its connection. Requests are served for
//     ServerConfig.Drain.
//  2. Serve closes l. Connections that were accepted before have headerTimeout to bring their first request.
//  3. Requests in flight have ServerConfig.Grace to finish. Idle connections are closed.
//
// Serve returns nil if every request was answered. It returns an error if l fails, or if requests were still in flight after
// Grace; their connections are then closed. It always closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	l = newConnListener(l, s)
	failed := make(chan error, 1)
	go func() {
		defer s.panics.Recover(panics.Connection, nil)
		failed <- s.serveHTTP(l)
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.config.Log.Info("shutting down: not ready for new requests", "drain", s.config.Drain.String(), "grace", s.config.Grace.String())
	s.config.API.Drain()
	select {
	case err := <-failed:
		return err
	case <-time.After(s.config.Drain):
	}
	_ = l.Close() // an error means that it is closed
	<-failed
	// http.Server.Shutdown makes net/http drop a request whose header arrives after Shutdown has begun.
	s.waitForFirstRequests(headerTimeout)
	return s.shutdown(context.WithoutCancel(ctx))
}

// serveHTTP serves connections of l until l is closed. It returns an error if the accept loop of net/http panics.
func (s *Server) serveHTTP(l net.Listener) (err error) {
	defer s.panics.Recover(panics.Connection, &err)
	return s.http.Serve(tls.NewListener(l, s.http.TLSConfig))
}

// waitForFirstRequests waits until every open connection has brought a request, but at most for timeout. No connection
// may be accepted meanwhile.
func (s *Server) waitForFirstRequests(timeout time.Duration) {
	done := make(chan struct{})
	go func() {
		defer s.panics.Recover(panics.Connection, nil)
		s.awaitingRequest.Wait() // ends at the latest when the last connection is closed
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(timeout):
	}
}

// shutdown waits for the requests in flight, but at most for ServerConfig.Grace, and closes all connections.
func (s *Server) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Grace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(errors.New("requests were still in flight when the grace time ended"), s.http.Close())
	}
	return nil
}
