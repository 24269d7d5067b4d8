// Package storetest is the contract of store.Store as one suite of tests, which every store must pass.
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
)

// Collection is the name that all collections of the suite have.
const Collection = "sessions"

// Tables that the store under test must have: one with the fence's marker in each layout.
const (
	Table     = "sessions"
	KaskTable = "kask"
)

// MaxTTL is the largest TTL of the suite's collections.
const MaxTTL = 24 * time.Hour

// Open makes an instance of the service on the store under test. All instances of one table share its rows.
type Open func(store.CollectionConfig, store.Options) *store.Collection

// Run runs the suite.
func Run(t *testing.T, open Open) {
	s := newSuite(t, open)
	for name, test := range map[string]func(*testing.T, *suite){
		"round trips":   roundTrips,
		"denial":        denial,
		"absence":       absence,
		"TTLs":          ttls,
		"expiry":        expiry,
		"touch":         touch,
		"fence":         fence,
		"concurrency":   concurrency,
		"cancellation":  cancellation,
		"Kask's layout": kask,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func newSuite(t *testing.T, open Open) *suite {
	return &suite{open: open, policy: policy(t), keys: Keys(t)}
}

// Keys makes keys that nobody else has.
func Keys(t testing.TB) *store.Keys {
	t.Helper()
	index, err := store.NewIndexKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seal, err := store.NewSealKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := store.NewKeys(index, []store.SealKey{seal})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

type suite struct {
	open   Open
	policy *access.Policy
	keys   *store.Keys
}

const token access.Token = "a-token-of-the-suite"

func policy(t *testing.T) *access.Policy {
	t.Helper()
	p, err := accesstest.Policy([]access.Client{{
		Name:   "suite",
		Tokens: []access.TokenRule{{SHA256: token.HashText()}},
		Grants: []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete"},
		Keys:   []string{"*"},
	}}, []string{Collection}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// instance is one instance of the service and what tests say to it.
type instance struct {
	*testing.T
	store   *store.Collection
	policy  *access.Policy
	metrics *prometheus.Registry
}

// with is an instance whose settings differ from the usual: clock as it is, a fence of a minute, every touch writes,
// nothing between.
type with struct {
	ahead    time.Duration // of the true time
	fence    time.Duration
	unfenced bool // no fence
	slack    float64
	maxTTL   time.Duration
	layout   store.Layout
	keys     *store.Keys
	between  func()
}

func (s *suite) instance(t *testing.T, w with) *instance {
	config := store.CollectionConfig{
		Name: Collection, Table: Table, Layout: store.LayoutUserInfo, MaxTTL: MaxTTL, Fence: time.Minute, TouchSlack: w.slack,
	}
	if w.maxTTL > 0 {
		config.MaxTTL = w.maxTTL
	}
	if w.fence > 0 {
		config.Fence = w.fence
	}
	if w.unfenced {
		config.Fence = 0
	}
	if w.layout == store.LayoutKask {
		config.Layout, config.Table = w.layout, KaskTable
	}
	keys, metrics := s.keys, prometheus.NewRegistry()
	if w.keys != nil {
		keys = w.keys
	}
	return &instance{t, s.open(config, store.Options{
		Now:     func() time.Time { return time.Now().Add(w.ahead) },
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
		Metrics: store.NewMetrics(metrics),
		Keys:    keys,
		Random:  rand.Reader,
		Between: w.between,
	}), s.policy, metrics}
}

func (i *instance) caller(action access.Action, key access.Key) access.Caller {
	i.Helper()
	id, err := i.policy.Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(token)}})
	if err != nil {
		i.Fatal(err)
	}
	c, err := access.Authorize(id, access.GrantOn(Collection, action), key)
	if err != nil {
		i.Fatal(err)
	}
	return c
}

func (i *instance) get(key access.Key) (store.Value, error) {
	i.Helper()
	return i.store.Get(context.Background(), i.caller(access.Get, key), key)
}

func (i *instance) set(key access.Key, value string, ttl time.Duration) error {
	i.Helper()
	return i.store.Set(context.Background(), i.caller(access.Set, key), key, []byte(value), ttl)
}

func (i *instance) touch(key access.Key, ttl time.Duration) error {
	i.Helper()
	return i.store.Touch(context.Background(), i.caller(access.Touch, key), key, ttl)
}

func (i *instance) delete(key access.Key) error {
	i.Helper()
	return i.store.Delete(context.Background(), i.caller(access.Delete, key), key)
}

func (i *instance) mustSet(key access.Key, value string, ttl time.Duration) {
	i.Helper()
	i.want(i.set(key, value, ttl), nil)
}

// want compares an error with the sentinel that it should be.
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

func (i *instance) wantAbsent(key access.Key) {
	i.Helper()
	if _, err := i.get(key); !errors.Is(err, store.ErrNotFound) {
		i.Errorf("got error %v, want %v", err, store.ErrNotFound)
	}
}

// newKey is a key that no other test has.
func newKey() access.Key { return access.Key("key:" + rand.Text()) }

// await polls until done, which is what is waited for, or the time is over.
func await(t *testing.T, most time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen within %v", what, most)
		}
	}
}

func name(d time.Duration) string { return fmt.Sprintf("%+ds", int(d/time.Second)) }
