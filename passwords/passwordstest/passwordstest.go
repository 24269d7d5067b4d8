// Package passwordstest is the test suite that every implementation of passwords.Rows must pass, together with
// passwords.Users on it.
package passwordstest

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/passwords"
	"userinfo/passwords/scheme"
	"userinfo/store"
	"userinfo/store/seal"
)

// Open returns the tables under test. All calls share their rows, like instances of the service that use the same cluster.
type Open func() passwords.Rows

// Run runs the suite.
func Run(t *testing.T, open Open) {
	s := &suite{open: open, keys: newKeys(t), clock: &clock{now: time.Now().Truncate(time.Microsecond)}}
	for name, test := range map[string]func(*testing.T, *suite){
		"Life":              testLife,
		"Denied":            testDenied,
		"Wrong":             testWrong,
		"Input":             testInput,
		"CreateConcurrency": testCreateConcurrency,
		"Import":            testImport,
		"Schemes":           testSchemes,
		"RewriteLoses":      testRewriteLoses,
		"ResetToken":        testResetToken,
		"TokenConcurrency":  testTokenConcurrency,
		"Clocks":            testClocks,
		"NotEverywhere":     testNotEverywhere,
		"OwnBudget":         testOwnBudget,
		"KnownNetwork":      testKnownNetwork,
		"UserBudget":        testUserBudget,
		"ClientBudget":      testClientBudget,
		"Cancellation":      testCancellation,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// Cheap are the parameters of the suite's hashes. Limit is the memory of imported hashes.
var Cheap = scheme.Argon2id{MemoryKiB: 64, Time: 1, Threads: 1}

const limitKiB = 64 << 10

type suite struct {
	open  Open
	keys  *seal.Keys
	clock *clock
}

// clock stands still until a test moves it, so that no test depends on how fast it runs.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newKeys(t testing.TB) *seal.Keys {
	t.Helper()
	index, err := seal.NewIndexKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.NewSealKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.NewKeys(index, []seal.SealKey{key})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// settings are the settings of an instance. The zero settings mean: the suite's clock, the suite's rows, no limit of guesses
// of a client.
type settings struct {
	clock     *clock
	rows      func(passwords.Rows) passwords.Rows // wraps the rows
	perMinute int
	client    string // default: a client of this instance alone
}

// instance is one instance of the service.
type instance struct {
	*testing.T
	users    *passwords.Users
	client   string
	registry *prometheus.Registry
}

func (s *suite) instance(t *testing.T, with settings) *instance {
	t.Helper()
	if with.clock == nil {
		with.clock = s.clock
	}
	rows := s.open()
	if with.rows != nil {
		rows = with.rows(rows)
	}
	if with.client == "" {
		with.client = "client-" + rand.Text()
	}
	registry, log := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	metrics := passwords.NewMetrics(registry)
	pool := passwords.NewPool(4, metrics, nil)
	confirmations := store.NewConfirmations(time.Now, log, nil)
	users, err := passwords.NewUsers(rows, passwords.Config{
		Argon2id: Cheap, MemoryKiB: limitKiB, MinLength: 8, ResetTTL: time.Hour, GuessesPerMinute: with.perMinute,
	}, passwords.Options{
		Now: with.clock.Now, Random: rand.Reader, Log: log, Metrics: metrics, Pool: pool, Confirmations: confirmations,
		Keys: func() *seal.Keys { return s.keys }, SealMetrics: seal.NewMetrics(registry),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		users.Close()
		confirmations.Close()
		pool.Close()
	})
	return &instance{t, users, with.client, registry}
}

func (i *instance) caller(action access.Action, user access.Key) access.Caller {
	i.Helper()
	c, err := accesstest.PasswordCaller(i.client, action, user)
	if err != nil {
		i.Fatal(err)
	}
	return c
}

// home is the address of the user in most tests.
var home = netip.MustParseAddr("192.0.2.1")

func (i *instance) verifyFrom(user access.Key, password passwords.Secret, from netip.Addr) error {
	i.Helper()
	return i.users.Verify(i.Context(), i.caller(access.Verify, user), user, passwords.Guess{Secret: password, Address: from})
}

func (i *instance) verify(user access.Key, password passwords.Secret) error {
	i.Helper()
	return i.verifyFrom(user, password, home)
}

func (i *instance) create(user access.Key, password passwords.Secret) error {
	i.Helper()
	return i.users.Create(i.Context(), i.caller(access.Create, user), user, password)
}

func (i *instance) change(user access.Key, current, replacement passwords.Secret) error {
	i.Helper()
	return i.users.Change(i.Context(), i.caller(access.Change, user), user, passwords.Guess{Secret: current, Address: home}, replacement)
}

func (i *instance) changeWithToken(user access.Key, token, replacement passwords.Secret) error {
	i.Helper()
	return i.users.ChangeWithToken(i.Context(), i.caller(access.Change, user), user, passwords.Guess{Secret: token, Address: home}, replacement)
}

func (i *instance) importHash(user access.Key, hash passwords.Secret) error {
	i.Helper()
	return i.users.Import(i.Context(), i.caller(access.Import, user), user, hash)
}

func (i *instance) delete(user access.Key) error {
	i.Helper()
	return i.users.Delete(i.Context(), i.caller(access.Delete, user), user)
}

func (i *instance) newToken(user access.Key) passwords.Secret {
	i.Helper()
	token, ttl, err := i.users.NewResetToken(i.Context(), i.caller(access.Reset, user), user)
	if err != nil || token == "" || ttl != time.Hour {
		i.Fatalf("a token of %d bytes for %v, error %v", len(token), ttl, err)
	}
	return token
}

// want checks that an error wraps a sentinel error, or is nil.
func (i *instance) want(got, want error) {
	i.Helper()
	if !errors.Is(got, want) {
		i.Errorf("got error %v, want %v", got, want)
	}
}

// newUser returns a user that no other test has.
func newUser() access.Key { return access.Key("enwiki:User " + rand.Text()) }

// rewritten returns how many hashes the instance has rewritten.
func (i *instance) rewritten() float64 {
	i.Helper()
	families, err := i.registry.Gather()
	if err != nil {
		i.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "userinfo_passwords_rewrites_total" && m.GetLabel()[0].GetValue() == "rewritten" {
				return m.GetCounter().GetValue()
			}
		}
	}
	i.Fatal("there is no metric of rewrites")
	return 0
}

// await polls until done returns true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	awaitEvery(t, 5*time.Millisecond, what, done)
}

// awaitEvery is await with this pause between two polls.
func awaitEvery(t *testing.T, pause time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatalf("this has not happened: %s", what)
		}
	}
}

// cancelled returns a context that has ended.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
