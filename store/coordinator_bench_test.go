package store

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
)

const benchKey = "enwiki:MWSession:0123456789abcdef0123456789abcdef"

// BenchmarkRun is all that an operation costs but Cassandra and the driver: the first coordinator answers at once.
func BenchmarkRun(b *testing.B) {
	c := newTestCluster(b, nil)
	try := func(ctx context.Context) (Row, error) {
		c.coordinators.Pick(query{ctx: ctx})()
		return Row{}, nil
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	p := plan{key: []byte(benchKey), read: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := run(ctx, c.runner, p, try); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStream counts one request to Cassandra.
func BenchmarkStream(b *testing.B) {
	i := newInFlight(prometheus.NewGauge(prometheus.GaugeOpts{Name: "g"}))
	on := gocql.ObservedStream{Host: new(gocql.HostInfo).SetConnectAddress(net.ParseIP("10.0.0.1"))}
	b.ReportAllocs()
	for b.Loop() {
		s := i.StreamContext(b.Context())
		s.StreamStarted(on)
		s.StreamFinished(on)
	}
}
