// Package storetest is the test suite that every implementation of store.Rows must pass, together with a
// store.Collection on it.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/store"
	"userinfo/store/seal"
)

// CollectionName is the name of all collections of the suite.
const CollectionName = "sessions"

// The tables that must exist: one of each layout, both with the column gone.
const (
	TableName     = "sessions"
	KaskTableName = "kask"
)

// MaxTTL is the largest TTL of most collections of the suite.
const MaxTTL = 24 * time.Hour

// Table is the table of a collection.
type Table interface {
	store.Rows
	store.PendingDeletes
}

// Open returns the table under test. Calls with the same CollectionConfig.Table share their rows, like instances of the
// service that use the same cluster. The table must not seal its rows: the suite does.
type Open func(store.CollectionConfig) Table

// Run runs the suite.
func Run(t *testing.T, open Open) { run(t, newSuite(t, open)) }

func run(t *testing.T, s *suite) {
	for name, test := range map[string]func(*testing.T, *suite){
		"Set":          testSet,
		"Denied":       testDenied,
		"NotFound":     testNotFound,
		"TTL":          testTTL,
		"Expiry":       testExpiry,
		"Touch":        testTouch,
		"Fence":        testFence,
		"FenceExempt":  testFenceExempt,
		"Concurrency":  testConcurrency,
		"Cancellation": testCancellation,
		"LayoutKask":   testLayoutKask,
		"LargestValue": testLargestValue,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// Keys returns new keys.
func Keys(t testing.TB) *seal.Keys {
	t.Helper()
	index, seals := newKeys(t, 1)
	keys, err := seal.NewKeys(index, seals)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// NewSealedRows returns rows that seal what they store in table, with new keys.
func NewSealedRows(t testing.TB, table store.Rows, collection string) store.Rows {
	keys := Keys(t)
	return seal.NewRows(table, seal.Config{
		Collection: collection, Keys: func() *seal.Keys { return keys }, Random: rand.Reader,
		Metrics: seal.NewMetrics(prometheus.NewRegistry()),
	})
}

func newKeys(t testing.TB, n int) (seal.IndexKey, []seal.SealKey) {
	t.Helper()
	index, err := seal.NewIndexKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seals := make([]seal.SealKey, n)
	for i := range seals {
		if seals[i], err = seal.NewSealKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	return index, seals
}

type suite struct {
	open   Open
	policy *access.Policy
	keys   *seal.Keys
	moving bool // collections are in step 1 or 2 of a move: see RunReadThrough
}

func newSuite(t *testing.T, open Open) *suite {
	return &suite{open: open, policy: newPolicy(t), keys: Keys(t)}
}

const token access.Token = "a-token-of-the-suite"

func newPolicy(t *testing.T) *access.Policy {
	t.Helper()
	p, err := accesstest.Policy([]access.Client{{
		Name:   "suite",
		Tokens: []access.TokenRule{{SHA256: token.HashText()}},
		Grants: []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete"},
		Keys:   []string{"*"},
	}}, []string{CollectionName}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// instance is one instance of the service.
type instance struct {
	*testing.T
	collection *store.Collection
	policy     *access.Policy
	metrics    *prometheus.Registry
}

// settings are the settings of an instance. The zero settings mean: the right clock, a fence of a minute, MaxTTL, and
// every touch writes.
type settings struct {
	ahead       time.Duration // of the instance's clock
	fence       time.Duration
	noFence     bool
	exempt      access.KeyPatterns
	slack       float64
	maxTTL      time.Duration
	layout      store.Layout
	keys        func() *seal.Keys
	oneTable    bool   // not moving
	beforeWrite func() // runs in Set and Touch, after they have read and before they write
}

func tableOf(layout store.Layout) string {
	if layout == store.LayoutKask {
		return KaskTableName
	}
	return TableName
}

func (s *suite) instance(t *testing.T, with settings) *instance {
	config := store.CollectionConfig{
		Name: CollectionName, Table: tableOf(with.layout), Layout: store.LayoutUserInfo, MaxTTL: MaxTTL, Fence: time.Minute,
		FenceExempt: with.exempt, TouchSlack: with.slack,
	}
	if with.maxTTL > 0 {
		config.MaxTTL = with.maxTTL
	}
	if with.fence > 0 {
		config.Fence = with.fence
	}
	if with.noFence {
		config.Fence = 0
	}
	if with.layout != "" {
		config.Layout = with.layout
	}
	keys := func() *seal.Keys { return s.keys }
	if with.keys != nil {
		keys = with.keys
	}
	metrics := prometheus.NewRegistry()
	storeMetrics, sealMetrics := store.NewMetrics(metrics), seal.NewMetrics(metrics)
	openRows := func(c store.CollectionConfig) store.Rows {
		if c.Layout == store.LayoutKask {
			return s.open(c)
		}
		return seal.NewRows(s.open(c), seal.Config{Collection: CollectionName, Keys: keys, Random: rand.Reader, Metrics: sealMetrics})
	}
	rows := openRows(config)
	if s.moving && !with.oneTable {
		beneath := config
		beneath.Layout = otherLayout(config.Layout)
		beneath.Table = tableOf(beneath.Layout)
		rows = store.NewReadThrough(rows, openRows(beneath), CollectionName, storeMetrics, nil)
	}
	return &instance{t, store.NewCollection(rows, config, store.Options{
		Now:         func() time.Time { return time.Now().Add(with.ahead) },
		Log:         slog.New(slog.NewTextHandler(io.Discard, nil)),
		Metrics:     storeMetrics,
		BeforeWrite: with.beforeWrite,
	}), s.policy, metrics}
}

func (i *instance) caller(action access.Action, key access.Key) access.Caller {
	i.Helper()
	id, err := i.policy.Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(token)}})
	if err != nil {
		i.Fatal(err)
	}
	c, err := access.Authorize(id, access.GrantOn(CollectionName, action), key)
	if err != nil {
		i.Fatal(err)
	}
	return c
}

func (i *instance) get(key access.Key) (store.Value, error) {
	i.Helper()
	return i.collection.Get(context.Background(), i.caller(access.Get, key), key)
}

func (i *instance) set(key access.Key, value string, ttl time.Duration) error {
	i.Helper()
	return i.collection.Set(context.Background(), i.caller(access.Set, key), key, []byte(value), ttl)
}

func (i *instance) touch(key access.Key, ttl time.Duration) error {
	i.Helper()
	return i.collection.Touch(context.Background(), i.caller(access.Touch, key), key, ttl)
}

func (i *instance) delete(key access.Key) error {
	i.Helper()
	return i.collection.Delete(context.Background(), i.caller(access.Delete, key), key)
}

func (i *instance) mustSet(key access.Key, value string, ttl time.Duration) {
	i.Helper()
	i.want(i.set(key, value, ttl), nil)
}

// want checks that an error wraps a sentinel error, or is nil.
func (i *instance) want(got, want error) {
	i.Helper()
	if !errors.Is(got, want) {
		i.Errorf("got error %v, want %v", got, want)
	}
}

func (i *instance) wantValue(key access.Key, want string) store.Value {
	i.Helper()
	v, err := i.get(key)
	if err != nil || string(v.Data) != want {
		i.Errorf("got %d bytes and error %v, want the %d bytes %.20q", len(v.Data), err, len(want), want)
	}
	return v
}

func (i *instance) wantNotFound(key access.Key) {
	i.Helper()
	if _, err := i.get(key); !errors.Is(err, store.ErrNotFound) {
		i.Errorf("got error %v, want %v", err, store.ErrNotFound)
	}
}

// newKey returns a key that no other test uses.
func newKey() access.Key { return access.Key("key:" + rand.Text()) }

// await polls until done returns true.
func await(t *testing.T, timeout time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(timeout); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen within %v", what, timeout)
		}
	}
}

func signed(d time.Duration) string { return fmt.Sprintf("%+ds", int(d/time.Second)) }
