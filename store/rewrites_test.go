package store

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
)

// reversed stands for a keyed hash in these tests.
func reversed(key access.Key) string {
	b := []byte(key)
	slices.Reverse(b)
	return string(b)
}

// newRewritesCollection returns a collection in memory that counts its writes.
func newRewritesCollection(t testing.TB) (*Collection, *Rewrites) {
	t.Helper()
	r := NewRewrites(time.Now, reversed)
	return NewCollection(NewMemory(64<<20, time.Now), CollectionConfig{Name: "sessions", Layout: LayoutKask, MaxTTL: 24 * time.Hour, TouchSlack: 0.01}, Options{
		Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()), Rewrites: r,
	}), r
}

func mustSet(t testing.TB, c *Collection, key access.Key, value string) {
	t.Helper()
	if err := c.Set(t.Context(), newCaller(t, access.Set, key), key, []byte(value), time.Hour); err != nil {
		t.Fatal(err)
	}
}

func wantRewrites(t *testing.T, when string, r *Rewrites, writes uint64, want ...RewrittenKey) RewrittenKeys {
	t.Helper()
	all := r.List()
	if len(all) != 1 || all[0].Collection != "sessions" || all[0].Writes != writes || !slices.Equal(all[0].Keys, want) {
		t.Fatalf("%s: %+v; want %d writes and %+v", when, all, writes, want)
	}
	return all[0]
}

func TestRewrites_CountSetsAndTouchesThatWrite(t *testing.T) {
	c, r := newRewritesCollection(t)
	wantRewrites(t, "at first", r, 0)
	mustSet(t, c, "abc", "1")
	mustSet(t, c, "def", "1")
	wantRewrites(t, "after one set of each key", r, 2)
	mustSet(t, c, "abc", "2")
	mustSet(t, c, "abc", "2")
	mustSet(t, c, "def", "1")
	touch := func(key access.Key, ttl time.Duration) error {
		return c.Touch(t.Context(), newCaller(t, access.Touch, key), key, ttl)
	}
	if err := touch("def", 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	want := []RewrittenKey{{Hash: "cba", Writes: 3, AtMost: 3, Unchanged: 1}, {Hash: "fed", Writes: 3, AtMost: 3, Unchanged: 2}}
	wantRewrites(t, "after sets and a touch", r, 6, want...)

	if err := touch("def", 2*time.Hour); err != nil { // within touch_slack
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), newCaller(t, access.Get, "def"), "def"); err != nil {
		t.Fatal(err)
	}
	if touch("absent", time.Hour) == nil || c.Set(t.Context(), access.Caller{}, "def", nil, time.Hour) == nil {
		t.Error("a refused write succeeded")
	}
	wantRewrites(t, "after what writes nothing", r, 6, want...)
}

func TestRewrites_ForgetAfterTwoWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := newRewritesCollection(t)
		start := time.Now()
		mustSet(t, c, "abc", "1")
		mustSet(t, c, "abc", "2")
		time.Sleep(rewriteWindow)
		mustSet(t, c, "abc", "2")
		mustSet(t, c, "def", "1")
		l := wantRewrites(t, "in the next window", r, 4, RewrittenKey{Hash: "cba", Writes: 3, AtMost: 3})
		if !l.Since.Equal(start) {
			t.Errorf("since %v; want %v", l.Since, start)
		}
		time.Sleep(rewriteWindow)
		mustSet(t, c, "def", "1")
		mustSet(t, c, "def", "1")
		l = wantRewrites(t, "in the third window", r, 4, RewrittenKey{Hash: "fed", Writes: 3, AtMost: 3, Unchanged: 1})
		if !l.Since.Equal(start.Add(rewriteWindow)) {
			t.Errorf("since %v; want %v", l.Since, start.Add(rewriteWindow))
		}
		time.Sleep(3 * rewriteWindow)
		if l = wantRewrites(t, "long after", r, 0); !l.Since.Equal(time.Now()) {
			t.Errorf("since %v; want now", l.Since)
		}
	})
}

func TestRewrites_FindOneKeyAmongMany(t *testing.T) {
	c, r := newRewritesCollection(t)
	for i := range 4 * rewriteEntries {
		c.rewrites.record(access.Key(fmt.Sprint("key", i)), 0)
		if i%100 == 0 {
			c.rewrites.record("often", 1)
		}
	}
	all := r.List()[0]
	if len(all.Keys) == 0 || all.Keys[0].Hash != "netfo" || all.Keys[0].Writes < 100 || all.Keys[0].AtMost > 164+5 {
		t.Errorf("the first of %d keys is %+v", len(all.Keys), all.Keys[:min(1, len(all.Keys))])
	}
	for i := range listedRewrites + 5 {
		for range 3 {
			c.rewrites.record(access.Key(fmt.Sprint("again", i)), 0)
		}
	}
	if n := len(r.List()[0].Keys); n != listedRewrites {
		t.Errorf("%d keys are listed; want %d", n, listedRewrites)
	}
}

// TestRewrites_KeepNoKey searches everything that a Rewrites holds for the session key.
func TestRewrites_KeepNoKey(t *testing.T) {
	c, r := newRewritesCollection(t)
	r.hash = func(access.Key) string { return "hash" }
	for range 3 {
		mustSet(t, c, "planted-key", "planted-value")
	}
	held := fmt.Sprintf("%+v %+v", c.rewrites.current.Entries(), r.List())
	if !strings.Contains(held, "hash") || strings.Contains(held, "planted") {
		t.Errorf("it holds %s", held)
	}
}

func TestCollection_WithoutRewritesCountsNothing(t *testing.T) {
	c := newTestCollection(t, NewMemory(1<<20, time.Now), 0, 0)
	mustSet(t, c, "abc", "1")
	mustSet(t, c, "abc", "2")
}

// BenchmarkRewrites_Record measures what a set of a value of 2 kB pays: for a key that is followed, and for one that is mostly not.
// Compare its CPU time with BenchmarkServedSet of package api.
func BenchmarkRewrites_Record(b *testing.B) {
	key, err := access.NewAuditKey(strings.NewReader(strings.Repeat("k", 32)))
	if err != nil {
		b.Fatal(err)
	}
	data := []byte(strings.Repeat("v", 2048))
	keys := make([]access.Key, 1<<16)
	for i := range keys {
		keys[i] = access.Key(fmt.Sprintf("enwiki:MWSession:%032d", i))
	}
	for name, n := range map[string]int{"followed": 1000, "distinct": len(keys)} {
		b.Run(name, func(b *testing.B) {
			c := NewRewrites(time.Now, key.Hash).collection("sessions")
			b.ReportAllocs()
			before := cpu(b)
			for i := 0; b.Loop(); i++ {
				c.record(keys[i%n], c.hashValue(data))
			}
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpu returns the CPU time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
