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
	"userinfo/access/accesstest"
)

// errFar is what Cassandra says where a datacentre is away.
var errFar = unavailable(errors.New("a datacentre is away"))

// pair is two datacentres with a link between them, each a Memory. There are no hints: what one missed it never hears
// of again.
type pair struct {
	dcs [2]*Memory

	mu   sync.Mutex
	cut  bool
	cost time.Duration // of an operation that goes everywhere
	// applied, while cut, is how many datacentres have a write all the same that failed to be confirmed everywhere.
	applied  int
	broken   map[access.Key]bool // cannot be removed everywhere
	unlisted bool                // entries can be neither written nor struck out
	unread   bool                // ledgers cannot be read

	attempts, flying, most int // of removes everywhere: all, at once, most at once
}

func newPair() *pair {
	return &pair{dcs: [2]*Memory{NewMemory(1<<30, time.Now), NewMemory(1<<30, time.Now)}, broken: map[access.Key]bool{}}
}

func (c *pair) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// tried is how often a Deletion everywhere was tried, and most how many were at once.
func (c *pair) tried() (attempts, most int) {
	c.set(func() { attempts, most = c.attempts, c.most })
	return attempts, most
}

// here is the cluster as an instance in one datacentre sees it.
type here struct {
	*Memory // of this datacentre
	cluster *pair
	far     *Memory
}

var (
	_ Rows           = here{}
	_ PendingDeletes = here{}
)

func (c *pair) in(dc int) here { return here{c.dcs[dc], c, c.dcs[1-dc]} }

func (h here) linked() bool {
	h.cluster.mu.Lock()
	defer h.cluster.mu.Unlock()
	return !h.cluster.cut
}

func (h here) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	if h.linked() {
		_ = h.far.Write(ctx, key, data, timestamp, ttl)
	}
	return h.Memory.Write(ctx, key, data, timestamp, ttl)
}

func (h here) Delete(ctx context.Context, key access.Key, r Deletion, c Consistency) error {
	if c == EachQuorum {
		return h.removeEverywhere(ctx, key, r)
	}
	if h.linked() {
		_ = h.far.Delete(ctx, key, r, LocalQuorum)
	}
	return h.Memory.Delete(ctx, key, r, LocalQuorum)
}

func (h here) removeEverywhere(ctx context.Context, key access.Key, r Deletion) error {
	c := h.cluster
	var cost time.Duration
	c.set(func() {
		cost = c.cost
		c.attempts++
		c.flying++
		c.most = max(c.most, c.flying)
	})
	defer c.set(func() { c.flying-- })
	select {
	case <-ctx.Done():
		return unavailable(ctx.Err())
	case <-time.After(cost):
	}
	c.mu.Lock()
	fails, applied := c.cut || c.broken[key], 2
	if fails {
		applied = c.applied
	}
	c.mu.Unlock()
	for _, dc := range []*Memory{h.Memory, h.far}[:applied] {
		if err := dc.Delete(ctx, key, r, EachQuorum); err != nil {
			return err
		}
	}
	if fails {
		return errFar
	}
	return nil
}

func (h here) RecordPending(ctx context.Context, key access.Key, r Deletion) error {
	if h.failsToList() {
		return errFar
	}
	if h.linked() {
		_ = h.far.RecordPending(ctx, key, r)
	}
	return h.Memory.RecordPending(ctx, key, r)
}

func (h here) RemovePending(ctx context.Context, p PendingDelete) error {
	if h.failsToList() {
		return errFar
	}
	if h.linked() {
		_ = h.far.RemovePending(ctx, p)
	}
	return h.Memory.RemovePending(ctx, p)
}

func (h here) failsToList() bool {
	h.cluster.mu.Lock()
	defer h.cluster.mu.Unlock()
	return h.cluster.unlisted
}

func (h here) ListPending(ctx context.Context, bucket, limit int) ([]PendingDelete, error) {
	h.cluster.mu.Lock()
	unread := h.cluster.unread
	h.cluster.mu.Unlock()
	if unread {
		return nil, errFar
	}
	return h.Memory.ListPending(ctx, bucket, limit)
}

// instance is one of the service in a datacentre. Its Replayer runs once started.
type instance struct {
	*testing.T
	rows    here
	store   *Collection
	carrier *Replayer
	log     *journal
	policy  *access.Policy

	registry *prometheus.Registry
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

const testToken access.Token = "a-token-of-this-test"

func (c *pair) instance(t *testing.T, dc int, fence time.Duration) *instance {
	t.Helper()
	policy, err := accesstest.Policy([]access.Client{{
		Name: "wiki", Tokens: []access.TokenRule{{SHA256: testToken.HashText()}}, Keys: []string{"*"},
		Grants: []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete"},
	}}, []string{"sessions"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{T: t, rows: c.in(dc), log: &journal{}, policy: policy, registry: prometheus.NewRegistry()}
	metrics := NewMetrics(i.registry)
	log := slog.New(slog.NewTextHandler(i.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	i.store = NewCollection(i.rows, CollectionConfig{Name: "sessions", Layout: LayoutKask, MaxTTL: 24 * time.Hour, Fence: fence},
		Options{Now: time.Now, Log: log, Metrics: metrics})
	i.carrier = NewReplayer([]PendingDeletes{i.rows}, ReplayerOptions{
		Now: time.Now, Random: func(n int) int { return n / 2 }, Log: log, Metrics: metrics,
	})
	return i
}

// start runs the Replayer until the test ends or stop is called.
func (i *instance) start() (stop func()) {
	ctx, cancel := context.WithCancel(i.Context())
	var running sync.WaitGroup
	running.Go(func() { i.carrier.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	i.Cleanup(stop)
	return stop
}

func (i *instance) caller(action access.Action, key access.Key) access.Caller {
	i.Helper()
	id, err := i.policy.Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(testToken)}})
	if err != nil {
		i.Fatal(err)
	}
	caller, err := access.Authorize(id, access.GrantOn("sessions", action), key)
	if err != nil {
		i.Fatal(err)
	}
	return caller
}

func (i *instance) set(key access.Key) {
	i.Helper()
	if err := i.store.Set(i.Context(), i.caller(access.Set, key), key, []byte("logged in"), time.Hour); err != nil {
		i.Errorf("set: %v", err)
	}
}

func (i *instance) touch(key access.Key) {
	i.Helper()
	if err := i.store.Touch(i.Context(), i.caller(access.Touch, key), key, 24*time.Hour); err != nil {
		i.Errorf("touch: %v", err)
	}
}

// delete deletes with the time that a request has, and wants an error that is want.
func (i *instance) delete(key access.Key, want error) {
	i.Helper()
	ctx, cancel := context.WithTimeout(i.Context(), 2800*time.Millisecond)
	defer cancel()
	if err := i.store.Delete(ctx, i.caller(access.Delete, key), key); !errors.Is(err, want) {
		i.Errorf("delete: got error %v, want %v", err, want)
	}
}

func (i *instance) present(key access.Key) bool {
	i.Helper()
	_, err := i.store.Get(i.Context(), i.caller(access.Get, key), key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		i.Errorf("get: %v", err)
	}
	return err == nil
}

func (i *instance) want(when string, key access.Key, present bool) {
	i.Helper()
	if got := i.present(key); got != present {
		i.Errorf("%s: the value is there: %v, want %v", when, got, present)
	}
}

// listed is how many entries a datacentre's ledger has.
func (i *instance) listed() (n int) {
	i.Helper()
	for bucket := range PendingBuckets {
		page, err := i.rows.Memory.ListPending(i.Context(), bucket, 1<<20)
		if err != nil {
			i.Fatal(err)
		}
		n += len(page)
	}
	return n
}

func (i *instance) wantListed(when string, want int) {
	i.Helper()
	if got := i.listed(); got != want {
		i.Errorf("%s: %d deletes are listed as pending, want %d", when, got, want)
	}
}

func (i *instance) wantMetrics(when string, want map[string]float64) {
	i.Helper()
	families, err := i.registry.Gather()
	if err != nil {
		i.Fatal(err)
	}
	for _, f := range families {
		name, ours := strings.CutPrefix(f.GetName(), "userinfo_pending_deletes")
		if !ours {
			continue
		}
		m := f.GetMetric()[0]
		if got := math.Round(m.GetGauge().GetValue() + m.GetCounter().GetValue()); got != want[name] {
			i.Errorf("%s: metric %s is %v, want %v", when, f.GetName(), got, want[name])
		}
	}
}

// wantLogged wants the message so many times in the log.
func (i *instance) wantLogged(message string, times int) {
	i.Helper()
	if got := strings.Count(i.log.String(), message); got != times {
		i.Errorf("logged %q %d times, want %d:\n%s", message, got, times, i.log)
	}
}
