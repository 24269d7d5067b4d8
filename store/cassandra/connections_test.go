package cassandra

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/store"
)

// stubCollection is a collection in a stub.
type stubCollection struct {
	*store.Collection
	t        *testing.T
	registry *prometheus.Registry
}

func (s *stub) openCollection() *stubCollection {
	s.t.Helper()
	settings := s.config()
	settings.Timeout = time.Minute // a stuck request is not repeated
	session, registry := s.open(settings, slog.New(slog.DiscardHandler))
	config := store.CollectionConfig{Name: "sessions", Table: "sessions", Layout: store.LayoutUserInfo, MaxTTL: time.Hour}
	table := session.Table(config)
	config.Layout = store.LayoutKask // which need not be sealed
	return &stubCollection{store.NewCollection(table, config, store.Options{
		Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: store.NewMetrics(registry),
	}), s.t, registry}
}

func (c *stubCollection) get(ctx context.Context, client string, key access.Key) error {
	caller, err := accesstest.Caller(client, "sessions", access.Get, key)
	if err != nil {
		return err
	}
	_, err = c.Get(ctx, caller, key)
	return err
}

func (c *stubCollection) set(ctx context.Context, client string, key access.Key, size int) error {
	caller, err := accesstest.Caller(client, "sessions", access.Set, key)
	if err != nil {
		return err
	}
	return c.Set(ctx, caller, key, make([]byte, size), time.Hour)
}

// checkSmall checks that small values are read and written.
func (c *stubCollection) checkSmall(when string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for range 5 {
		if err := c.get(ctx, "b", "small"); !errors.Is(err, store.ErrNotFound) {
			c.t.Fatalf("%s: a small get returned %v, want ErrNotFound", when, err)
		}
		if err := c.set(ctx, "b", "small", 2000); err != nil {
			c.t.Fatalf("%s: a small set returned %v", when, err)
		}
	}
}

// TestSession_LargeValuesDoNotHoldUpSmallOnes makes 1 MB frames stop half-way. On one connection, everything would stop with
// them.
func TestSession_LargeValuesDoNotHoldUpSmallOnes(t *testing.T) {
	const mega, calls = 1 << 20, 32
	for name, large := range map[string]func(*stubCollection, context.Context) error{
		"sets": func(c *stubCollection, ctx context.Context) error { return c.set(ctx, "a", "large", mega) },
		"gets": func(c *stubCollection, ctx context.Context) error { return c.get(ctx, "a", "large") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub(t)
			s.set(func(s *stubState) { s.largeValue = bytes.Repeat([]byte("v"), mega) })
			c := s.openCollection()
			if err := large(c, t.Context()); err != nil { // the size of the values is known from now on
				t.Fatal(err)
			}
			release := s.stick()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var running sync.WaitGroup
			for range calls {
				running.Go(func() {
					if err := large(c, ctx); err != nil && !errors.Is(err, store.ErrOverloaded) {
						t.Errorf("a large value: %v", err)
					}
				})
			}
			eventually(t, "a large frame is stuck", func() bool { return s.stopped.Load() > 0 })
			c.checkSmall("while large frames are stuck")
			// Four fit into the limit. The driver itself sends a request now and then.
			if n := attemptsInFlight(t, c.registry); n > 8 {
				t.Errorf("%v attempts are in flight", n)
			}
			release()
			running.Wait()
			if err := large(c, ctx); err != nil {
				t.Errorf("a large value, after all others: %v", err)
			}
		})
	}
}

// attemptsInFlight returns the requests that the stub has not answered.
func attemptsInFlight(t *testing.T, r *prometheus.Registry) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "userinfo_cassandra_attempts_in_flight" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no gauge of attempts in flight")
	return 0
}
