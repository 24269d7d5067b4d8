package store

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
)

// errNoDatacentre is what Cassandra returns if a datacentre is unreachable.
var errNoDatacentre = unavailable(errors.New("a datacentre is unreachable"))

// datacentres is a cluster of two datacentres, each a Memory. There are no hints: a datacentre that misses a write never
// gets it.
type datacentres struct {
	memories [2]*Memory

	mu       sync.Mutex
	cut      bool                // the datacentres cannot reach each other
	latency  time.Duration       // of a delete at EachQuorum
	applied  int                 // while cut, how many datacentres apply a delete at EachQuorum that fails
	broken   map[access.Key]bool // keys whose delete at EachQuorum fails
	noWrites bool                // pending deletes can be neither recorded nor removed
	noReads  map[int]bool        // buckets of pending deletes that cannot be listed

	partReads map[int]bool // buckets where only the first entry can be listed
	slowReads map[int]bool // buckets where listing takes until its context ends
	reads     map[int]int  // how often each bucket was listed

	attempts, running, mostRunning int // of deletes at EachQuorum
}

func newDatacentres() *datacentres {
	return &datacentres{
		memories: [2]*Memory{NewMemory(1<<30, time.Now), NewMemory(1<<30, time.Now)}, broken: map[access.Key]bool{}, reads: map[int]int{},
	}
}

// change changes the cluster while instances use it.
func (c *datacentres) change(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
}

// allBuckets is a datacentres.noReads of every bucket.
func allBuckets() map[int]bool {
	all := make(map[int]bool)
	for bucket := range PendingBuckets {
		all[bucket] = true
	}
	return all
}

func (c *datacentres) reconnect() { c.change(func() { c.cut = false }) }

// deletes returns how many deletes at EachQuorum were tried, and how many ran at the same time at most.
func (c *datacentres) deletes() (attempts, mostRunning int) {
	c.change(func() { attempts, mostRunning = c.attempts, c.mostRunning })
	return attempts, mostRunning
}

// readsOf returns how often a bucket was listed.
func (c *datacentres) readsOf(bucket int) (reads int) {
	c.change(func() { reads = c.reads[bucket] })
	return reads
}

// localTable is the cluster's table as an instance in one datacentre uses it.
type localTable struct {
	*Memory // of the local datacentre
	cluster *datacentres
	remote  *Memory
}

var (
	_ Rows           = localTable{}
	_ PendingDeletes = localTable{}
)

func (c *datacentres) table(dc int) localTable {
	return localTable{c.memories[dc], c, c.memories[1-dc]}
}

func (l localTable) remoteIsReachable() bool {
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	return !l.cluster.cut
}

func (l localTable) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	if l.remoteIsReachable() {
		_ = l.remote.Write(ctx, key, data, timestamp, ttl)
	}
	return l.Memory.Write(ctx, key, data, timestamp, ttl)
}

func (l localTable) Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error {
	if c == EachQuorum {
		return l.deleteEverywhere(ctx, key, d)
	}
	if l.remoteIsReachable() {
		_ = l.remote.Delete(ctx, key, d, LocalQuorum)
	}
	return l.Memory.Delete(ctx, key, d, LocalQuorum)
}

func (l localTable) deleteEverywhere(ctx context.Context, key access.Key, d Deletion) error {
	c := l.cluster
	var latency time.Duration
	c.change(func() {
		latency = c.latency
		c.attempts++
		c.running++
		c.mostRunning = max(c.mostRunning, c.running)
	})
	defer c.change(func() { c.running-- })
	if err := sleep(ctx, latency); err != nil {
		return unavailable(err)
	}
	c.mu.Lock()
	fails, applied := c.cut || c.broken[key], 2
	if fails {
		applied = c.applied
	}
	c.mu.Unlock()
	for _, m := range []*Memory{l.Memory, l.remote}[:applied] {
		if err := m.Delete(ctx, key, d, EachQuorum); err != nil {
			return err
		}
	}
	if fails {
		return errNoDatacentre
	}
	return nil
}

// sleep waits for d, or until ctx ends. It uses no channel of a timer: with the race detector, Go 1.26 crashes if two goroutines
// of a synctest bubble select expired ones at the same time.
func sleep(ctx context.Context, d time.Duration) error {
	done, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-done.Done()
	return ctx.Err()
}

func (l localTable) RecordPending(ctx context.Context, key access.Key, d Deletion) error {
	if l.pendingWritesFail() {
		return errNoDatacentre
	}
	if l.remoteIsReachable() {
		_ = l.remote.RecordPending(ctx, key, d)
	}
	return l.Memory.RecordPending(ctx, key, d)
}

func (l localTable) RemovePending(ctx context.Context, p PendingDelete) error {
	if l.pendingWritesFail() {
		return errNoDatacentre
	}
	if l.remoteIsReachable() {
		_ = l.remote.RemovePending(ctx, p)
	}
	return l.Memory.RemovePending(ctx, p)
}

func (l localTable) pendingWritesFail() bool {
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	return l.cluster.noWrites
}

func (l localTable) ListPending(ctx context.Context, bucket, limit int) ([]PendingDelete, error) {
	l.cluster.mu.Lock()
	fails, part, hangs := l.cluster.noReads[bucket], l.cluster.partReads[bucket], l.cluster.slowReads[bucket]
	l.cluster.reads[bucket]++
	l.cluster.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, unavailable(ctx.Err())
	}
	if fails {
		return nil, errNoDatacentre
	}
	if part {
		page, _ := l.Memory.ListPending(ctx, bucket, 1)
		return page, errNoDatacentre
	}
	return l.Memory.ListPending(ctx, bucket, limit)
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// instance is an instance of the service in one datacentre. Its Replayer runs after start.
type instance struct {
	*testing.T
	table      localTable
	collection *Collection
	replayer   *Replayer
	log        *syncBuffer
	registry   *prometheus.Registry
	started    bool // the Replayer
}

func (c *datacentres) instance(t *testing.T, dc int, fence time.Duration) *instance {
	t.Helper()
	i := &instance{T: t, table: c.table(dc), log: &syncBuffer{}, registry: prometheus.NewRegistry()}
	metrics := NewMetrics(i.registry)
	log := slog.New(slog.NewTextHandler(i.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config := CollectionConfig{Name: "sessions", Layout: LayoutKask, MaxTTL: 24 * time.Hour, Fence: fence}
	confirmations := NewConfirmations(time.Now, log, nil)
	t.Cleanup(confirmations.Close)
	i.collection = NewCollection(i.table, config, Options{Now: time.Now, Log: log, Metrics: metrics, Confirmations: confirmations})
	i.replayer = NewReplayer([]PendingList{{Collection: "sessions", Deletes: i.table}}, ReplayerOptions{
		Now: time.Now, Random: func(n int) int { return n / 2 }, Log: log, Metrics: metrics,
	})
	return i
}

// start runs the Replayer until the test ends, or stop is called.
func (i *instance) start() (stop func()) {
	i.started = true
	ctx, cancel := context.WithCancel(i.Context())
	var running sync.WaitGroup
	running.Go(func() { i.replayer.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	i.Cleanup(stop)
	return stop
}

// trySet sets a value that lives for an hour.
func (i *instance) trySet(key access.Key) error {
	i.Helper()
	return i.collection.Set(i.Context(), newCaller(i, access.Set, key), key, []byte("logged in"), time.Hour)
}

func (i *instance) set(key access.Key) {
	i.Helper()
	if err := i.trySet(key); err != nil {
		i.Errorf("set: %v", err)
	}
}

func (i *instance) touch(key access.Key) {
	i.Helper()
	if err := i.collection.Touch(i.Context(), newCaller(i, access.Touch, key), key, 24*time.Hour); err != nil {
		i.Errorf("touch: %v", err)
	}
}

// delete deletes with the deadline of a request. The error must be want.
func (i *instance) delete(key access.Key, want error) {
	i.Helper()
	ctx, cancel := context.WithTimeout(i.Context(), 2800*time.Millisecond)
	defer cancel()
	err := i.collection.Delete(ctx, newCaller(i, access.Delete, key), key)
	if !errors.Is(err, want) || errors.Is(err, ErrNotEverywhere) && want != ErrNotEverywhere {
		i.Errorf("delete: got error %v, want %v", err, want)
	}
}

// wantFound checks whether the value of a key is found.
func (i *instance) wantFound(when string, key access.Key, want bool) {
	i.Helper()
	_, err := i.collection.Get(i.Context(), newCaller(i, access.Get, key), key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		i.Errorf("%s: get: %v", when, err)
	}
	if got := err == nil; got != want {
		i.Errorf("%s: found: %v, want %v", when, got, want)
	}
}

// wantPending checks the number of pending deletes in the local datacentre.
func (i *instance) wantPending(when string, want int) {
	i.Helper()
	got := 0
	for bucket := range PendingBuckets {
		page, err := i.table.Memory.ListPending(i.Context(), bucket, 1<<20)
		if err != nil {
			i.Fatal(err)
		}
		got += len(page)
	}
	if got != want {
		i.Errorf("%s: %d deletes are pending, want %d", when, got, want)
	}
}

// wantMetrics checks all metrics whose names begin with userinfo_pending_deletes, rounded. want has them by the rest of
// their names; the default is 0.
func (i *instance) wantMetrics(when string, want map[string]float64) {
	i.Helper()
	families, err := i.registry.Gather()
	if err != nil {
		i.Fatal(err)
	}
	for _, f := range families {
		name, ok := strings.CutPrefix(f.GetName(), "userinfo_pending_deletes")
		if !ok {
			continue
		}
		m := f.GetMetric()[0]
		got := math.Round(m.GetGauge().GetValue() + m.GetCounter().GetValue())
		expected, ok := want[name]
		if !ok && math.IsNaN(got) && !i.started {
			continue // unknown before the first scan
		}
		if got != expected && !(math.IsNaN(got) && math.IsNaN(expected)) {
			i.Errorf("%s: metric %s is %v, want %v", when, f.GetName(), got, expected)
		}
	}
}

// metric returns the value of a metric, and whether it has one.
func (i *instance) metric(name string) (value float64, ok bool) {
	i.Helper()
	families, err := i.registry.Gather()
	if err != nil {
		i.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
		}
	}
	return 0, false
}

// wantLogged checks how often a text is in the log.
func (i *instance) wantLogged(text string, times int) {
	i.Helper()
	if got := strings.Count(i.log.String(), text); got != times {
		i.Errorf("logged %q %d times, want %d:\n%s", text, got, times, i.log)
	}
}
