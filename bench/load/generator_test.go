package load

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"userinfo/bench/result"
)

var (
	gets = Mix{Get: 100, Keys: Uniform}
	ten  = Dataset{Values: 10, ValueBytes: 2048}
)

// newGenerator returns a generator that is closed at the end of the test. By default it gets ten values.
func newGenerator(t *testing.T, store *fakeStore, c Config) *Generator {
	t.Helper()
	if c.Data.Values == 0 {
		c.Data = ten
	}
	if c.Mix.Rate() == 0 {
		c.Mix = gets
	}
	g, err := NewGenerator(store, c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func round(t *testing.T, g *Generator, r Round) result.Sample {
	t.Helper()
	s, err := g.Round(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// slow returns a store with ten values that needs some time for each request.
func slow(d time.Duration) *fakeStore {
	return (&fakeStore{before: func(int, *Request) error { time.Sleep(d); return nil }}).fill(ten)
}

// near reports whether a duration of a histogram, which has three digits, is another one.
func near(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) <= float64(want)/500+float64(2*time.Microsecond)
}

func TestGenerator_OpenLoopCountsEveryRequest(t *testing.T) {
	g := newGenerator(t, slow(0), Config{Connections: 3})
	defer g.Close()
	s := round(t, g, Round{Mode: result.Open, Rate: 1000, Seconds: 0.5})
	if s.Done < 350 || s.Done > 650 || s.ErrorCount() != 0 || s.Late.TotalCount() != s.Done || s.Latency.TotalCount() != s.Done {
		t.Errorf("%d done, errors %v", s.Done, s.Errors)
	}
	want := result.Condition{Mode: result.Open, Rate: 1000, Connections: 3, Data: ten.Bytes(), ValueBytes: 2048}
	if s.Condition != want || s.Seconds != 0.5 {
		t.Errorf("%+v", s.Condition)
	}
}

// The store answers nothing until all requests are due.
func TestGenerator_OpenLoopCountsLatencyFromDueTime(t *testing.T) {
	store := slow(0)
	var once sync.Once
	store.before = func(n int, _ *Request) error {
		if n > 0 { // the first opens the connection
			once.Do(func() { time.Sleep(600 * time.Millisecond) })
		}
		return nil
	}
	g := newGenerator(t, store, Config{Connections: 1})
	defer g.Close()
	s := round(t, g, Round{Mode: result.Open, Rate: 200, Seconds: 0.3})
	if s.Done < 20 || s.Latency.At(0) < 250*time.Millisecond || s.Latency.At(1) < 550*time.Millisecond {
		t.Errorf("%d done, latency from %v to %v", s.Done, s.Latency.At(0), s.Latency.At(1))
	}
	if s.InTime != 0 {
		t.Errorf("%d were in time, though the schedule had ended", s.InTime)
	}
}

func TestGenerator_OpenLoopDoesNotSendAfterPatience(t *testing.T) {
	t.Parallel() // it takes longer than Patience
	store := slow(0)
	store.before = func(n int, _ *Request) error {
		if n == 1 {
			time.Sleep(Patience + 300*time.Millisecond)
		}
		return nil
	}
	g := newGenerator(t, store, Config{Connections: 1})
	defer g.Close()
	s := round(t, g, Round{Mode: result.Open, Rate: 200, Seconds: 0.2})
	if s.Done != 0 || s.Errors[reasonTimeout] != 1 || s.Errors[reasonWaited] < 10 || len(store.requests) != 2 {
		t.Errorf("%d done, errors %v, %d sent", s.Done, s.Errors, len(store.requests))
	}
}

func TestGenerator_ClosedLoopSendsOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := slow(10 * time.Millisecond)
		g := newGenerator(t, store, Config{Connections: 3})
		s := round(t, g, Round{Mode: result.Closed, Seconds: 1.005})
		if s.Done != 300 || s.ErrorCount() != 0 || s.Rate != 0 || !near(s.Latency.At(1), 10*time.Millisecond) || s.Late.TotalCount() != 0 {
			t.Errorf("%d done, errors %v, %v", s.Done, s.Errors, s.Latency.At(1))
		}
		if err := g.Close(); err != nil || store.made != 3 || store.closed != 3 {
			t.Errorf("%d connections opened, %d closed (%v)", store.made, store.closed, err)
		}
	})
}

func TestGenerator_ClosedLoopCountsLateErrors(t *testing.T) {
	for outcome, want := range map[error]int64{nil: 0, context.DeadlineExceeded: 3} {
		synctest.Test(t, func(t *testing.T) {
			store := slow(0)
			store.before = func(n int, _ *Request) error {
				if n < 33 { // 3 of them open the connections
					time.Sleep(95 * time.Millisecond)
					return nil
				}
				time.Sleep(Patience)
				return outcome
			}
			g := newGenerator(t, store, Config{Connections: 3})
			s := round(t, g, Round{Mode: result.Closed, Seconds: 1})
			if s.Done != 30 || s.ErrorCount() != want || s.Errors[reasonTimeout] != want {
				t.Errorf("%v at the end: %d done, errors %v", outcome, s.Done, s.Errors)
			}
		})
	}
}

func TestGenerator_CountsErrorsByReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := slow(0)
		store.before = func(n int, _ *Request) error {
			time.Sleep(10 * time.Millisecond)
			return map[int]error{10: Failure("503"), 20: errBroken, 30: context.DeadlineExceeded}[n]
		}
		store.values[ten.Key(3)] = []byte("please log in")
		g := newGenerator(t, store, Config{Connections: 1})
		s := round(t, g, Round{Mode: result.Closed, Seconds: 1})
		if s.Done < 60 || s.Errors["503"] != 1 || s.Errors[reasonConnection] != 1 || s.Errors[reasonTimeout] != 1 || s.Errors["length"] < 1 || len(s.Errors) != 4 {
			t.Errorf("%d done, errors %v", s.Done, s.Errors)
		}
		if store.made != 3 {
			t.Errorf("%d connections, want one, and two that replace broken ones", store.made)
		}
	})
}

func TestGenerator_KeepsConnectionsBetweenRounds(t *testing.T) {
	store := slow(0)
	g := newGenerator(t, store, Config{Connections: 3})
	defer g.Close()
	for _, mode := range []result.Mode{result.Open, result.Closed, result.Open} {
		round(t, g, Round{Mode: mode, Rate: 100, Seconds: 0.05})
	}
	if store.made != 3 {
		t.Errorf("%d connections were opened", store.made)
	}
}

func TestGenerator_PausesWhenStoreIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := slow(time.Millisecond)
		g := newGenerator(t, store, Config{Connections: 1})
		round(t, g, Round{Mode: result.Closed, Seconds: 0.1})
		store.before = func(int, *Request) error { return errBroken }
		store.dials = func() error { return errBroken }
		s := round(t, g, Round{Mode: result.Closed, Seconds: 1})
		if s.Done != 0 || s.Errors[reasonConnection] != int64(time.Second/pause) {
			t.Errorf("%d done, errors %v", s.Done, s.Errors)
		}
		if _, err := g.Round(t.Context(), Round{Mode: result.Closed, Seconds: 1}); !errors.Is(err, errBroken) {
			t.Errorf("a round without connections: %v", err)
		}
	})
}

func TestGenerator_KeepsDataSetComplete(t *testing.T) {
	for name, mix := range map[string]Mix{
		"all methods": {Get: 50, Set: 40, Touch: 10, Delete: 20, Miss: 10, Keys: Zipf}, "one key": {Get: 10, Set: 10, Keys: One},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := slow(time.Millisecond)
			g := newGenerator(t, store, Config{Mix: mix, Connections: 8, TTL: 99})
			s := round(t, g, Round{Mode: result.Closed, Seconds: 3})
			if s.ErrorCount() != 0 { // the store rejects gets of missing keys, and sets of deleted ones
				t.Errorf("%s: errors %v", name, s.Errors)
			}
			for i := range ten.Values {
				if len(store.values[ten.Key(i)]) != ten.ValueBytes {
					t.Fatalf("%s: value %d is gone", name, i)
				}
			}
			for _, r := range store.requests {
				if (r.Method == Set || r.Method == Touch) && r.TTL != 99 {
					t.Fatalf("%s: a TTL of %d", name, r.TTL)
				}
			}
			if mix.Delete > 0 && len(store.deleted) == 0 {
				t.Errorf("%s deletes nothing", name)
			}
		})
	}
}

func TestGenerator_RoundEndsWithContext(t *testing.T) {
	for _, mode := range []result.Mode{result.Open, result.Closed} {
		ctx, cancel := context.WithCancel(t.Context())
		store := slow(0)
		store.before = func(n int, _ *Request) error {
			if n == 20 {
				cancel()
			}
			return nil
		}
		g := newGenerator(t, store, Config{Connections: 2})
		if _, err := g.Round(ctx, Round{Mode: mode, Rate: 1000, Seconds: 3600}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestGenerator_ConnectionsSendRequestBeforeRound(t *testing.T) {
	for fresh, want := range map[bool]int{false: 3, true: 0} {
		store := &fakeStore{}
		g := newGenerator(t, store, Config{Connections: 3, Fresh: fresh})
		for range 2 { // the second call has nothing to do
			if err := g.connect(t.Context()); err != nil || len(store.requests) != want {
				t.Errorf("fresh %t: %d requests, want %d (%v)", fresh, len(store.requests), want, err)
			}
		}
	}
}

func TestNewGenerator_RejectsBadConfiguration(t *testing.T) {
	good := Config{Mix: gets, Data: ten, Connections: 2}
	for want, change := range map[string]func(*Config){
		"at least one connection": func(c *Config) { c.Connections = 0 },
		"TTL of at least 0":       func(c *Config) { c.TTL = -1 },
		"data set":                func(c *Config) { c.Data = Dataset{} },
	} {
		c := good
		change(&c)
		if _, err := NewGenerator(&fakeStore{}, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
	g := newGenerator(t, &fakeStore{}, good)
	for _, r := range []Round{{Mode: result.Open, Rate: 1}, {Mode: result.Open, Seconds: 1}, {Mode: result.Open, Seconds: 1, Rate: -1}, {Mode: result.Closed, Seconds: math.NaN()}} {
		if _, err := g.Round(t.Context(), r); err == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}
