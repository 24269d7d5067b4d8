package cassandra

import (
	"net"
	"testing"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestStreamCounter_CountsUntilStreamOrConnectionEnds(t *testing.T) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g"})
	c := newStreamCounter(gauge)
	node := gocql.ObservedStream{Host: new(gocql.HostInfo).SetConnectAddress(net.ParseIP("10.0.0.1"))}
	start := func() gocql.StreamObserverContext {
		s := c.StreamContext(t.Context())
		s.StreamStarted(node)
		return s
	}
	want := func(when string, n float64) {
		t.Helper()
		if got := testutil.ToFloat64(gauge); got != n {
			t.Errorf("%s: %v streams, want %v", when, got, n)
		}
	}
	near, far := net.Pipe()
	defer far.Close()
	conn := c.watch(near, node.Host)

	answered, abandoned, orphan := start(), start(), start()
	want("three have started", 3)
	answered.StreamFinished(node)
	abandoned.StreamAbandoned(node)
	want("one is answered and one abandoned", 1)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	want("the connection is closed", 0)
	next := start()
	orphan.StreamFinished(node)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	want("a forgotten stream ends, and the connection is closed again", 1)
	next.StreamFinished(node)
	want("all have ended", 0)
	c.StreamContext(t.Context()).StreamAbandoned(node)
	want("a stream ends that never started", 0)
}

// BenchmarkStreamCounter counts one request.
func BenchmarkStreamCounter(b *testing.B) {
	c := newStreamCounter(prometheus.NewGauge(prometheus.GaugeOpts{Name: "g"}))
	node := gocql.ObservedStream{Host: new(gocql.HostInfo).SetConnectAddress(net.ParseIP("10.0.0.1"))}
	b.ReportAllocs()
	for b.Loop() {
		s := c.StreamContext(b.Context())
		s.StreamStarted(node)
		s.StreamFinished(node)
	}
}
