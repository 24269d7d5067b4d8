package passwords

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/passwords/scheme"
	"userinfo/store"
	"userinfo/store/seal"
)

// recordingRows counts the calls of rows, and keeps all bytes that are written.
type recordingRows struct {
	*Memory
	mu      sync.Mutex
	calls   map[string]int
	written bytes.Buffer
	broken  error // of WriteGuesses
}

func (r *recordingRows) count(call string, data ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[call]++
	for _, d := range data {
		r.written.WriteString(d)
	}
}

func (r *recordingRows) Read(ctx context.Context, key access.Key) (Row, error) {
	r.count("read", string(key))
	return r.Memory.Read(ctx, key)
}

func (r *recordingRows) Decide(ctx context.Context, key access.Key, seen Row, record []byte) (bool, error) {
	r.count("decide", string(key), string(record))
	return r.Memory.Decide(ctx, key, seen, record)
}

func (r *recordingRows) Write(ctx context.Context, key access.Key, record []byte, timestamp int64, c store.Consistency) error {
	r.count("write", string(key), string(record))
	return r.Memory.Write(ctx, key, record, timestamp, c)
}

func (r *recordingRows) WriteToken(ctx context.Context, key access.Key, token []byte, timestamp int64, ttl time.Duration) error {
	r.count("token", string(key), string(token))
	return r.Memory.WriteToken(ctx, key, token, timestamp, ttl)
}

func (r *recordingRows) ReadGuesses(ctx context.Context, budget access.Key) ([]Count, error) {
	r.count("read guesses", string(budget))
	return r.Memory.ReadGuesses(ctx, budget)
}

func (r *recordingRows) WriteGuesses(ctx context.Context, budget access.Key, c Count, ttl time.Duration) error {
	r.count("write guesses", string(budget), c.Instance)
	if r.broken != nil {
		return r.broken
	}
	return r.Memory.WriteGuesses(ctx, budget, c, ttl)
}

func (r *recordingRows) take() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = make(map[string]int)
	return calls
}

// testUsers are Users on recordingRows.
type testUsers struct {
	testing.TB
	*Users
	rows *recordingRows
	logs *bytes.Buffer
}

// standing returns a clock that stands still, so that no wait ends during a test.
func standing() func() time.Time {
	now := time.Now()
	return func() time.Time { return now }
}

func newTestUsers(t testing.TB) *testUsers { return newTestUsersAt(t, time.Now) }

// newTestUsersAt returns Users whose clock is now.
func newTestUsersAt(t testing.TB, now func() time.Time) *testUsers {
	t.Helper()
	index, indexErr := seal.NewIndexKey(rand.Reader)
	key, keyErr := seal.NewSealKey(rand.Reader)
	keys, err := seal.NewKeys(index, []seal.SealKey{key})
	if err := errors.Join(indexErr, keyErr, err); err != nil {
		t.Fatal(err)
	}
	registry, logs := prometheus.NewRegistry(), new(bytes.Buffer)
	log := slog.New(slog.NewTextHandler(logs, nil))
	metrics := NewMetrics(registry)
	pool := NewPool(2, metrics, nil)
	confirmations := store.NewConfirmations(time.Now, log, nil)
	rows := &recordingRows{Memory: NewMemory(64<<20, now), calls: make(map[string]int)}
	u, err := NewUsers(rows, Config{Argon2id: scheme.Argon2id{MemoryKiB: 64, Time: 1, Threads: 1}, MemoryKiB: 4096, MinLength: 8, ResetTTL: time.Hour, GuessesPerMinute: 1000}, Options{
		Now: now, Random: rand.Reader, Log: log, Metrics: metrics, Pool: pool, Confirmations: confirmations,
		Keys: func() *seal.Keys { return keys }, SealMetrics: seal.NewMetrics(registry),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		u.Close()
		confirmations.Close()
		pool.Close()
	})
	return &testUsers{t, u, rows, logs}
}

func (u *testUsers) as(action access.Action, user access.Key) access.Caller {
	u.Helper()
	c, err := accesstest.PasswordCaller("wiki", action, user)
	if err != nil {
		u.Fatal(err)
	}
	return c
}

func (u *testUsers) check(user access.Key, password Secret) error {
	u.Helper()
	return u.Verify(u.Context(), u.as(access.Verify, user), user, Guess{Secret: password, Address: netip.MustParseAddr("192.0.2.1")})
}

// prepare makes users with a hash of the configured scheme, with an old hash, without a password, and one who is deleted.
func (u *testUsers) prepare() {
	u.Helper()
	ctx := u.Context()
	if err := errors.Join(
		u.Create(ctx, u.as(access.Create, "Known"), "Known", "correct horse"),
		u.Import(ctx, u.as(access.Import, "Old"), "Old", ":A:5f4dcc3b5aa765d61d8327deb882cf99"),
		u.Import(ctx, u.as(access.Import, "Disabled"), "Disabled", ""),
		u.Create(ctx, u.as(access.Create, "Deleted"), "Deleted", "correct horse"),
		u.Delete(ctx, u.as(access.Delete, "Deleted"), "Deleted"),
	); err != nil {
		u.Fatal(err)
	}
}

func TestUsers_WorkIsEqualForEveryWrongPassword(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	for _, user := range []access.Key{"Known", "Old", "Disabled", "Deleted", "Unknown"} {
		u.rows.take()
		err := u.check(user, "not the password")
		if err != ErrWrong {
			t.Errorf("%s: error %v, want exactly %v", string(user), err, ErrWrong)
		}
		if got, want := u.rows.take(), (map[string]int{"read": 1, "read guesses": 4, "write guesses": 4}); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: calls %v, want %v", string(user), got, want)
		}
	}
}

func TestUsers_ComputesHashOfConfiguredSchemeForEveryWrongPassword(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	for _, user := range []access.Key{"Known", "Old", "Disabled", "Deleted", "Unknown"} {
		row, err := u.read(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := u.needsDecoy(u.parse(t.Context(), row.current)), user != "Known"; got != want {
			t.Errorf("%s: a wrong password needs the decoy: %v", string(user), got)
		}
	}
	if !u.config.Argon2id.Made(u.decoy) {
		t.Error("the decoy is not a hash of the configured scheme")
	}
	costly, err := scheme.Parse(":bcrypt:12$CCCCCCCCCCCCCCCCCCCCC.$E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", scheme.Limits{})
	if err != nil || u.needsDecoy(costly) {
		t.Errorf("a hash that costs more than the configured scheme needs the decoy in addition (%v)", err)
	}
	if u.decoy.Verify(nil) || (scheme.Hash{}).Verify([]byte("not the password")) {
		t.Error("a decoy matches")
	}
}

func TestUsers_AnswersWrongPasswordAtMultipleOfStep(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	u.options.FailureStep = 50 * time.Millisecond
	for _, user := range []access.Key{"Known", "Old", "Disabled", "Unknown"} {
		start := time.Now()
		err := u.check(user, "not the password")
		if d := time.Since(start); !errors.Is(err, ErrWrong) || d < 50*time.Millisecond {
			t.Errorf("%s: answered after %v, before the first step (%v)", string(user), d, err)
		}
	}
}

// TestUsers_FailureStepBeginsWithComparison lets a wrong password wait for the pool for half a step. If the step began
// with the request, the wait would move an answer to the next step, together with the work, which differs a little.
func TestUsers_FailureStepBeginsWithComparison(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	const step = 200 * time.Millisecond
	u.options.FailureStep = step
	release := occupy(t, u.options.Pool, 2)
	answered := make(chan time.Time)
	go func() {
		if err := u.check("Known", "not the password"); !errors.Is(err, ErrWrong) {
			t.Error(err)
		}
		answered <- time.Now()
	}()
	awaitWaiting(t, u.options.Pool, 1)
	<-time.After(step / 2)
	released := time.Now()
	release()
	if d := (<-answered).Sub(released); d < step {
		t.Errorf("answered %v after the comparison could begin, want at least %v", d, step)
	}
}

func TestUsers_StoresNothingInClear(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	token, _, err := u.NewResetToken(t.Context(), u.as(access.Reset, "Known"), "Known")
	if err != nil || u.check("Known", "correct horse") != nil {
		t.Fatal("the password of Known is not right", err)
	}
	_ = u.check("Known", "not the password")
	u.rows.mu.Lock()
	defer u.rows.mu.Unlock()
	if u.rows.written.Len() < 1000 {
		t.Fatalf("only %d bytes were written", u.rows.written.Len())
	}
	for _, clear := range []string{"Known", "Disabled", "correct horse", "argon2", "5f4dcc3b5aa765d61d8327deb882cf99", string(token), "192.0.2.1", "wiki"} {
		if strings.Contains(u.rows.written.String(), clear) {
			t.Errorf("%q was written in clear", clear)
		}
	}
}

func TestUsers_CountsInMemoryIfCountsCannotBeWritten(t *testing.T) {
	u := newTestUsersAt(t, standing())
	u.prepare()
	u.rows.broken = store.ErrUnavailable
	for n := range ownBudget.free {
		if err := u.check("Known", "not the password"); !errors.Is(err, ErrWrong) {
			t.Fatalf("wrong password %d: %v", n, err)
		}
	}
	if err := u.check("Known", "correct horse"); !errors.Is(err, ErrTooManyGuesses) {
		t.Errorf("error %v, want %v", err, ErrTooManyGuesses)
	}
	if strings.Contains(u.logs.String(), "Known") || !strings.Contains(u.logs.String(), "could not be written") {
		t.Errorf("the log is %s", u.logs)
	}
}

// TestUsers_LimitsGuessesAtOneMoment sends more guesses at the same moment than are free.
func TestUsers_LimitsGuessesAtOneMoment(t *testing.T) {
	u := newTestUsersAt(t, standing())
	u.prepare()
	var all sync.WaitGroup
	results := make(chan error, 8)
	for range 8 { // as many as the pool takes
		all.Go(func() { results <- u.check("Known", "not the password") })
	}
	all.Wait()
	close(results)
	wrong := 0
	for err := range results {
		if errors.Is(err, ErrWrong) {
			wrong++
		}
	}
	if wrong > ownBudget.free {
		t.Errorf("%d guesses were compared at one moment, want at most %d", wrong, ownBudget.free)
	}
}

// TestUsers_CountsWrongPasswordOfClientThatHasLeft ends the request of each wrong password while it is compared.
func TestUsers_CountsWrongPasswordOfClientThatHasLeft(t *testing.T) {
	u := newTestUsersAt(t, standing())
	u.prepare()
	for n := range ownBudget.free {
		ctx, leave := context.WithCancel(t.Context())
		_, err := u.Users.check(ctx, u.as(access.Verify, "Known"), "Known", Guess{}, func(context.Context, userRow) (comparison, error) {
			leave()
			return comparison{}, nil
		})
		if !errors.Is(err, ErrWrong) {
			t.Fatalf("wrong password %d: %v", n+1, err)
		}
	}
	clear(u.guesses.own) // so that only what was written counts
	if err := u.Verify(t.Context(), u.as(access.Verify, "Known"), "Known", Guess{Secret: "correct horse"}); !errors.Is(err, ErrTooManyGuesses) {
		t.Errorf("error %v, want %v", err, ErrTooManyGuesses)
	}
}

func TestUsers_RefusesDamagedRow(t *testing.T) {
	u := newTestUsersAt(t, standing())
	u.prepare()
	if err := u.rows.Write(t.Context(), u.records.RowKey("Known"), []byte("damaged"), time.Now().Add(time.Hour).UnixMicro(), store.LocalQuorum); err != nil {
		t.Fatal(err)
	}
	const step = 50 * time.Millisecond
	u.options.FailureStep = step
	for range ownBudget.free { // it costs what a wrong password costs, so it is no quick oracle
		u.rows.take()
		start := time.Now()
		if err := u.check("Known", "correct horse"); !errors.Is(err, store.ErrSealed) || time.Since(start) < step {
			t.Errorf("error %v after %v, want %v after %v", err, time.Since(start), store.ErrSealed, step)
		}
		if got, want := u.rows.take(), (map[string]int{"read": 1, "read guesses": 4, "write guesses": 4}); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("calls %v, want %v", got, want)
		}
	}
	if err := u.check("Known", "correct horse"); !errors.Is(err, ErrTooManyGuesses) {
		t.Errorf("error %v, want %v", err, ErrTooManyGuesses)
	}
	if logs := u.logs.String(); !strings.Contains(logs, "cannot be opened") || strings.Contains(logs, "Known") {
		t.Errorf("the log is %s", logs)
	}
}

func TestSecret_PrintsRedacted(t *testing.T) {
	s := Secret("hunter2")
	for _, got := range []string{fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s), s.String(), s.GoString(), s.LogValue().String(), fmt.Sprint(Guess{Secret: s})} {
		if strings.Contains(got, "hunter2") || !strings.Contains(got, "[redacted]") {
			t.Errorf("it prints %s", got)
		}
	}
	if text, err := s.MarshalText(); err != nil || string(text) != "[redacted]" {
		t.Errorf("as text it is %s, %v", text, err)
	}
}
