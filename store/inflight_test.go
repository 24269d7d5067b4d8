package store

import (
	"context"
	"net"
	"testing"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestStreamsAreCountedUntilTheyEndOrTheirConnectionDoes(t *testing.T) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g"})
	i := newInFlight(gauge)
	on := gocql.ObservedStream{Host: new(gocql.HostInfo).SetConnectAddress(net.ParseIP("10.0.0.1"))}
	begin := func() gocql.StreamObserverContext {
		s := i.StreamContext(context.Background())
		s.StreamStarted(on)
		return s
	}
	want := func(n float64, when string) {
		t.Helper()
		if got := testutil.ToFloat64(gauge); got != n {
			t.Errorf("%v are in flight, not %v, %s", got, n, when)
		}
	}
	here, there := net.Pipe()
	defer there.Close()
	c := i.watch(here, on.Host)

	answered, abandoned, orphan := begin(), begin(), begin()
	want(3, "when three have begun")
	answered.StreamFinished(on)
	abandoned.StreamAbandoned(on)
	want(1, "when one was answered and one given up")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	want(0, "when the connection is closed")
	next := begin()
	orphan.StreamFinished(on)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	want(1, "when what was forgotten ends, and the connection is closed once more")
	next.StreamFinished(on)
	want(0, "in the end")
	i.StreamContext(context.Background()).StreamAbandoned(on)
	want(0, "when one ends that never began")
}
