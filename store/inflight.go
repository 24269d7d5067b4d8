package store

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
)

// inFlight counts the requests that Cassandra owes an answer to: the driver's streams, of which a connection has 32,768.
// One that was given up stays a stream until its answer comes or its connection ends, so a count that does not go back
// to what it was is a leak, or a node that has stopped answering.
//
// The driver does not say that streams have ended with a connection that it closed itself, so connections tell; as they
// do so by the driver's record of their node, the control connection's end may have streams of the node's other connection
// forgotten, too.
type inFlight struct {
	gauge  prometheus.Gauge
	epochs sync.Map // *gocql.HostInfo → *epoch
}

// epoch is the streams of one node since one of its connections has ended: how many go on, or epochOver.
type epoch struct{ streams atomic.Int64 }

const epochOver = -1

func newInFlight(g prometheus.Gauge) *inFlight { return &inFlight{gauge: g} }

var _ gocql.StreamObserver = (*inFlight)(nil)

// StreamContext implements gocql.StreamObserver.
func (i *inFlight) StreamContext(ctx context.Context) gocql.StreamObserverContext {
	s := &stream{of: i}
	if a, ok := ctx.(*attempt); ok {
		a.stream = s
	}
	return s
}

// stream is one request. The driver calls StreamStarted first, and one of the others at most once, also where nobody waits
// for the answer any more, or where it has not begun to send.
type stream struct {
	of    *inFlight
	epoch *epoch
	after atomic.Pointer[overtaken] // wants to know of the end; streamEnded after that
}

// streamEnded stands for nobody.
var streamEnded overtaken

// notify has o told of the end, if that is still to come.
func (s *stream) notify(o *overtaken) { s.after.CompareAndSwap(nil, o) }

// StreamStarted implements gocql.StreamObserverContext.
func (s *stream) StreamStarted(o gocql.ObservedStream) {
	for {
		s.epoch = s.of.epochOf(o.Host)
		if s.epoch.add(1) {
			s.of.gauge.Inc()
			return
		}
	}
}

// StreamFinished implements gocql.StreamObserverContext. What the answer says is not told.
func (s *stream) StreamFinished(gocql.ObservedStream) { s.end(nil) }

// StreamAbandoned implements gocql.StreamObserverContext.
func (s *stream) StreamAbandoned(gocql.ObservedStream) { s.end(gocql.ErrConnectionClosed) }

func (s *stream) end(err error) {
	if o := s.after.Swap(&streamEnded); o != nil {
		o.ended(err)
	}
	if s.epoch != nil && s.epoch.add(-1) {
		s.of.gauge.Dec()
	}
}

func (i *inFlight) epochOf(node *gocql.HostInfo) *epoch {
	if e, ok := i.epochs.Load(node); ok {
		return e.(*epoch)
	}
	e, _ := i.epochs.LoadOrStore(node, &epoch{})
	return e.(*epoch)
}

// add tells whether the epoch still lasts; where it does not, nothing is added.
func (e *epoch) add(n int64) bool {
	for {
		streams := e.streams.Load()
		if streams == epochOver {
			return false
		}
		if e.streams.CompareAndSwap(streams, streams+n) {
			return true
		}
	}
}

// watch gives c back as one that tells when it is closed.
func (i *inFlight) watch(c net.Conn, node *gocql.HostInfo) net.Conn {
	return &watchedConn{Conn: c, closed: sync.OnceFunc(func() { i.forget(node) })}
}

// forget takes the epoch out before it ends, so that whoever finds it over finds another.
func (i *inFlight) forget(node *gocql.HostInfo) {
	if e, ok := i.epochs.LoadAndDelete(node); ok {
		i.gauge.Sub(float64(e.(*epoch).streams.Swap(epochOver)))
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
