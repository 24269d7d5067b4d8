package cassandra

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"

	"userinfo/store/cassandra/coordinator"
)

// streamCounter counts the requests that Cassandra has not answered yet. The driver calls them streams; a connection has
// 32,768. A request that was cancelled stays a stream until its response comes or its connection ends. So a count that
// does not go back means a leak, or a node that has stopped answering.
//
// The driver does not report the streams of a connection that it closes itself. Therefore connections report when they
// are closed, and then all streams of their node are forgotten. A driver session may have two connections to a node,
// because of its control connection. If one of the two ends, the count misses the streams of the other.
type streamCounter struct {
	gauge  prometheus.Gauge
	epochs sync.Map // *gocql.HostInfo → *streamEpoch
}

var _ gocql.StreamObserver = (*streamCounter)(nil)

func newStreamCounter(g prometheus.Gauge) *streamCounter { return &streamCounter{gauge: g} }

// StreamContext implements gocql.StreamObserver. The driver calls it before it sends a request.
func (c *streamCounter) StreamContext(ctx context.Context) gocql.StreamObserverContext {
	coordinator.CountSend(ctx)
	return &stream{counter: c}
}

// sendCounter implements gocql.StreamObserver. It only counts the requests of each statement, for coordinator.LimitSends.
type sendCounter struct{}

var _ gocql.StreamObserver = sendCounter{}

// StreamContext implements gocql.StreamObserver.
func (sendCounter) StreamContext(ctx context.Context) gocql.StreamObserverContext {
	coordinator.CountSend(ctx)
	return sendCounter{}
}

// StreamStarted implements gocql.StreamObserverContext.
func (sendCounter) StreamStarted(gocql.ObservedStream) {}

// StreamFinished implements gocql.StreamObserverContext.
func (sendCounter) StreamFinished(gocql.ObservedStream) {}

// StreamAbandoned implements gocql.StreamObserverContext.
func (sendCounter) StreamAbandoned(gocql.ObservedStream) {}

// watch returns conn as a connection that reports when it is closed.
func (c *streamCounter) watch(conn net.Conn, node *gocql.HostInfo) net.Conn {
	return &watchedConn{Conn: conn, closed: sync.OnceFunc(func() { c.forget(node) })}
}

// forget removes the streams of a node from the count. It removes the epoch from the map before it ends it, so that a
// stream that finds its epoch ended finds a new one in the map.
func (c *streamCounter) forget(node *gocql.HostInfo) {
	if e, ok := c.epochs.LoadAndDelete(node); ok {
		c.gauge.Sub(float64(e.(*streamEpoch).count.Swap(epochEnded)))
	}
}

// epoch returns the current epoch of a node, and creates it on first use.
func (c *streamCounter) epoch(node *gocql.HostInfo) *streamEpoch {
	if e, ok := c.epochs.Load(node); ok {
		return e.(*streamEpoch)
	}
	e, _ := c.epochs.LoadOrStore(node, &streamEpoch{})
	return e.(*streamEpoch)
}

// streamEpoch counts the streams of one node since one of its connections was last closed.
type streamEpoch struct{ count atomic.Int64 }

// epochEnded is the count of an epoch that has ended.
const epochEnded = -1

// add changes the count by n. It returns false, and changes nothing, if the epoch has ended.
func (e *streamEpoch) add(n int64) bool {
	for {
		count := e.count.Load()
		if count == epochEnded {
			return false
		}
		if e.count.CompareAndSwap(count, count+n) {
			return true
		}
	}
}

// stream is one request. The driver calls StreamStarted, and then one of the other methods at most once.
type stream struct {
	counter *streamCounter
	epoch   *streamEpoch // nil before StreamStarted
}

// StreamStarted implements gocql.StreamObserverContext.
func (s *stream) StreamStarted(o gocql.ObservedStream) {
	for {
		s.epoch = s.counter.epoch(o.Host)
		if s.epoch.add(1) {
			s.counter.gauge.Inc()
			return
		}
	}
}

// StreamFinished implements gocql.StreamObserverContext.
func (s *stream) StreamFinished(gocql.ObservedStream) { s.end() }

// StreamAbandoned implements gocql.StreamObserverContext.
func (s *stream) StreamAbandoned(gocql.ObservedStream) { s.end() }

func (s *stream) end() {
	if s.epoch != nil && s.epoch.add(-1) {
		s.counter.gauge.Dec()
	}
}

// watchedConn is a connection that reports when it is closed.
type watchedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *watchedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}
