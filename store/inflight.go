package store

import (
	"context"
	"net"
	"sync"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
)

// inFlight counts the requests that Cassandra owes an answer to: the driver's streams, of which a connection has 32,768.
// One that was given up stays a stream until its answer comes or its connection ends, so a count that does not go back
// to what it was is a leak, or a node that has stopped answering.
//
// The driver does not say that streams have ended with a connection that it closed itself, so connections tell; as they
// do so by their node, the control connection's end has streams of the node's other connection forgotten, too.
type inFlight struct {
	gauge prometheus.Gauge

	mu   sync.Mutex // guards what follows, and every epoch
	open map[string]*epoch
}

// epoch is the streams of one node since one of its connections has ended.
type epoch struct {
	streams int
	over    bool
}

func newInFlight(g prometheus.Gauge) *inFlight {
	return &inFlight{gauge: g, open: make(map[string]*epoch)}
}

var _ gocql.StreamObserver = (*inFlight)(nil)

// StreamContext implements gocql.StreamObserver.
func (i *inFlight) StreamContext(context.Context) gocql.StreamObserverContext { return &stream{of: i} }

// stream is one request. The driver calls StreamStarted first, and one of the others at most once.
type stream struct {
	of    *inFlight
	epoch *epoch
}

// StreamStarted implements gocql.StreamObserverContext.
func (s *stream) StreamStarted(o gocql.ObservedStream) {
	node := o.Host.ConnectAddress().String()
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.of.open[node] == nil {
		s.of.open[node] = &epoch{}
	}
	s.epoch = s.of.open[node]
	s.epoch.streams++
	s.of.gauge.Inc()
}

// StreamFinished implements gocql.StreamObserverContext.
func (s *stream) StreamFinished(gocql.ObservedStream) { s.end() }

// StreamAbandoned implements gocql.StreamObserverContext.
func (s *stream) StreamAbandoned(gocql.ObservedStream) { s.end() }

func (s *stream) end() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.epoch == nil || s.epoch.over {
		return
	}
	s.epoch.streams--
	s.of.gauge.Dec()
}

// watch gives c back as one that tells when it is closed.
func (i *inFlight) watch(c net.Conn, node string) net.Conn {
	return &watchedConn{Conn: c, closed: sync.OnceFunc(func() { i.forget(node) })}
}

func (i *inFlight) forget(node string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if e := i.open[node]; e != nil {
		e.over = true
		i.gauge.Sub(float64(e.streams))
		delete(i.open, node)
	}
}

// watchedConn is a connection to a node.
type watchedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *watchedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}
