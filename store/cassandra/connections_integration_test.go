//go:build integration

package cassandra_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/internal/testcluster"
	"userinfo/store"
	"userinfo/store/cassandra"
	"userinfo/store/storetest"
)

const (
	largeCalls  = 512     // that client a has in flight
	largeBytes  = 1 << 20 // of a's values
	largeKeys   = 64      // of a
	smallRate   = 100     // gets/s of client b
	largePhase  = 10 * time.Second
	largeWarmUp = 20 * time.Second
)

// BenchmarkSession_LargeValues measures the gets of a client b at a fixed rate, alone and while a client a keeps 512 sets or gets
// of 1 MB in flight. The sub-benchmarks compare what keeps a from slowing b: nothing, connections of their own for large
// values, a limit of the bytes in flight, both, both with other limits, and both with a limit of a's bytes per second (as the
// service has it).
//
//	go test -tags integration ./store/cassandra -run '^$' -bench LargeValues -benchtime 1x -timeout 20m
func BenchmarkSession_LargeValues(b *testing.B) {
	options := testcluster.OneNode()
	options.HeapMB = 2048
	_, config := startCluster(b, b.Context(), options)
	config.Timeout = 2300 * time.Millisecond // as in the service
	log := slog.New(slog.DiscardHandler)
	createTables(b, b.Context(), config, log)
	session, err := cassandra.Open(b.Context(), config, cassandra.NewMetrics(prometheus.NewRegistry()), log, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(session.Close)
	table := store.CollectionConfig{Name: "sessions", Table: storetest.TableName, MaxTTL: storetest.MaxTTL, Fence: time.Minute}
	sharedTable := session.TableOnSharedConnections(table)
	shared := newSealedCollection(b, sharedTable, store.LargeBytes)
	limit := func(bytes int) *store.Collection { return newSealedCollection(b, session.Table(table), bytes) }
	less, separate, more := limit(store.LargeBytes/4), limit(store.LargeBytes), limit(store.LargeBytes*4)
	variants := []struct {
		name string
		a, b largeClient
	}{
		{"nothing", unlimited(b, sharedTable), limited("b", shared)},
		{"connections", unlimited(b, session.TableOnLargeConnections(table)), limited("b", separate)},
		{"limit", limited("a", shared), limited("b", shared)},
		{"both", limited("a", separate), limited("b", separate)},
		{"both, a quarter of the limit", limited("a", less), limited("b", less)},
		{"both, four times the limit", limited("a", more), limited("b", more)},
		{"as in the service", paced(limited("a", separate), 24<<20), limited("b", separate)},
		{"four times the limit, and bytes per second", paced(limited("a", more), 24<<20), limited("b", more)},
	}
	measureGets(b, limited("b", separate), largeWarmUp)
	for _, v := range variants {
		for _, action := range []access.Action{access.Set, access.Get} {
			b.Run(fmt.Sprintf("%s/%ss", v.name, action), func(b *testing.B) {
				for range b.N {
					compareLoaded(b, v.a, v.b, action)
				}
			})
		}
	}
}

// compareLoaded reports the latencies of b's gets alone, and while a is busy.
func compareLoaded(b *testing.B, busy, small largeClient, action access.Action) {
	if err := small.set(b.Context(), "small", make([]byte, 2000)); err != nil {
		b.Fatal(err)
	}
	alone := measureGets(b, small, largePhase)
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	var mu sync.Mutex
	results := make(map[string]int)
	for i := range largeCalls {
		running.Go(func() {
			value := make([]byte, largeBytes)
			for n := 0; ctx.Err() == nil; n++ {
				limit, cancel := context.WithTimeout(ctx, 2800*time.Millisecond)
				err := busy.do(limit, action, access.Key(fmt.Sprint("large", (i+n)%largeKeys)), value)
				cancel()
				mu.Lock()
				results[resultOf(err)]++
				mu.Unlock()
			}
		})
	}
	time.Sleep(time.Second) // the load is complete
	loaded := measureGets(b, small, largePhase)
	stop()
	running.Wait()
	b.Logf("results of the large values: %v", results)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(ms(alone.p50), "alone-p50-ms")
	b.ReportMetric(ms(alone.p99), "alone-p99-ms")
	b.ReportMetric(ms(loaded.p50), "p50-ms")
	b.ReportMetric(ms(loaded.p99), "p99-ms")
	b.ReportMetric(float64(loaded.p99)/float64(alone.p99), "p99-ratio")
	b.ReportMetric(float64(loaded.failed), "failed-gets")
	b.ReportMetric(float64(results["ok"])/(largePhase+time.Second).Seconds(), "large/s")
}

func resultOf(err error) string {
	switch {
	case err == nil, errors.Is(err, store.ErrNotFound):
		return "ok"
	case errors.Is(err, errTooManyBytes):
		return "too many"
	case errors.Is(err, store.ErrOverloaded):
		return "overloaded"
	case errors.Is(err, context.Canceled):
		return "stopped"
	}
	return "unavailable"
}

// latencies are those of b's gets, from the moment when each was due.
type latencies struct {
	p50, p99 time.Duration
	failed   int
}

func measureGets(b *testing.B, c largeClient, duration time.Duration) latencies {
	b.Helper()
	took := make([]time.Duration, int(duration.Seconds()*smallRate))
	failed := make([]bool, len(took))
	start := time.Now()
	var running sync.WaitGroup
	for i := range took {
		due := start.Add(time.Duration(i) * time.Second / smallRate)
		time.Sleep(time.Until(due))
		running.Go(func() {
			ctx, cancel := context.WithTimeout(b.Context(), 2800*time.Millisecond)
			defer cancel()
			failed[i] = c.do(ctx, access.Get, "small", nil) != nil
			took[i] = time.Since(due)
		})
	}
	running.Wait()
	slices.Sort(took)
	l := latencies{p50: took[len(took)/2], p99: took[len(took)*99/100]}
	for _, f := range failed {
		if f {
			l.failed++
		}
	}
	return l
}

// largeClient is what one client does.
type largeClient struct {
	get func(context.Context, access.Key) error
	set func(context.Context, access.Key, []byte) error
}

func (c largeClient) do(ctx context.Context, action access.Action, key access.Key, value []byte) error {
	if action == access.Set {
		return c.set(ctx, key, value)
	}
	return c.get(ctx, key)
}

// errTooManyBytes is the service's answer 429.
var errTooManyBytes = errors.New("too many bytes per second")

// paced returns a client with a limit of bytes per second, as in package api. Where the service answers 429 with Retry-After: 1, it
// waits for a second.
func paced(c largeClient, bytesPerSecond int) largeClient {
	bucket := rate.NewLimiter(rate.Limit(bytesPerSecond), bytesPerSecond)
	admit := func(ctx context.Context) error {
		if bucket.AllowN(time.Now(), largeBytes) {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		return errTooManyBytes
	}
	return largeClient{
		get: func(ctx context.Context, key access.Key) error {
			if err := admit(ctx); err != nil {
				return err
			}
			return c.get(ctx, key)
		},
		set: func(ctx context.Context, key access.Key, value []byte) error {
			if err := admit(ctx); err != nil {
				return err
			}
			return c.set(ctx, key, value)
		},
	}
}

// newSealedCollection returns a collection in a table. Its clients share the limit of large values.
func newSealedCollection(b *testing.B, table store.Rows, limit int) *store.Collection {
	config := store.CollectionConfig{Name: "sessions", Table: storetest.TableName, MaxTTL: storetest.MaxTTL, Fence: time.Minute}
	metrics := store.NewMetrics(prometheus.NewRegistry())
	return store.NewCollection(storetest.NewSealedRows(b, table, "sessions"), config, store.Options{
		Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: metrics, LargeValues: store.NewLargeValues(limit, metrics),
	})
}

// limited is a client of a collection.
func limited(client string, collection *store.Collection) largeClient {
	var callers sync.Map // by action and key, because a new one costs more than the rest of a request
	caller := func(action access.Action, key access.Key) access.Caller {
		name := string(action) + " " + string(key)
		if c, ok := callers.Load(name); ok {
			return c.(access.Caller)
		}
		c, err := accesstest.Caller(client, "sessions", action, key)
		if err != nil {
			panic(err)
		}
		callers.Store(name, c)
		return c
	}
	return largeClient{
		get: func(ctx context.Context, key access.Key) error {
			_, err := collection.Get(ctx, caller(access.Get, key), key)
			return err
		},
		set: func(ctx context.Context, key access.Key, value []byte) error {
			return collection.Set(ctx, caller(access.Set, key), key, value, time.Hour)
		},
	}
}

// unlimited is a client without a limit of large values, as all clients were before store.LargeValues.
func unlimited(b *testing.B, table store.Rows) largeClient {
	rows := storetest.NewSealedRows(b, table, "sessions")
	return largeClient{
		get: func(ctx context.Context, key access.Key) error {
			_, err := rows.Read(ctx, key)
			return err
		},
		set: func(ctx context.Context, key access.Key, value []byte) error {
			if _, err := rows.Deleted(ctx, key); err != nil {
				return err
			}
			return rows.Write(ctx, key, value, time.Now().UnixMicro(), time.Hour)
		},
	}
}
