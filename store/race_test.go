package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"
)

// ring is a fake of the driver's host selection: faults of single coordinators cannot be had at will from real ones.
type ring struct {
	gocql.HostSelectionPolicy
	hosts []*gocql.HostInfo
	turn  *atomic.Int64 // where set, each operation begins with the next host
}

type selected struct{ host *gocql.HostInfo }

func (s selected) Info() *gocql.HostInfo { return s.host }
func (s selected) Mark(error)            {}

func (r ring) AddHost(*gocql.HostInfo) {}
func (r ring) Pick(gocql.ExecutableQuery) gocql.NextHost {
	left := r.hosts
	if r.turn != nil {
		n := int(r.turn.Add(1)) % len(left)
		left = append(slices.Clone(left[n:]), left[:n]...)
	}
	return func() gocql.SelectedHost {
		if len(left) == 0 {
			return nil
		}
		h := left[0]
		left = left[1:]
		return selected{h}
	}
}

// query is what Pick needs of a query: its context.
type query struct {
	gocql.ExecutableQuery
	ctx context.Context
}

func (q query) Context() context.Context { return q.ctx }

// reply is how a coordinator answers: after a time, with an error or its own name.
type reply struct {
	after     time.Duration
	err       error
	unsent    bool // for as long as it was asked, nothing could be sent to it
	preparing bool // for as long as it was asked, the statement was being prepared
}

var (
	errDown = errors.New("connection refused")
	never   = reply{after: time.Hour}
	quick   = reply{after: time.Millisecond}
	fails   = reply{after: time.Millisecond, err: errDown}
)

// cluster is three coordinators, asked in the order a, b, c as long as nothing speaks against it.
type cluster struct {
	*runner
	registry *prometheus.Registry
	streams  *inFlight

	mu      sync.Mutex
	replies map[string]reply
	asked   []string
	flying  atomic.Int64 // attempts
}

func newTestCluster(t testing.TB, replies map[string]reply) *cluster {
	registry := prometheus.NewRegistry()
	m := NewCassandraMetrics(registry)
	co := newCoordinators("dc1", time.Now, m)
	r := ring{}
	for _, id := range []string{"a", "b", "c"} {
		h := &gocql.HostInfo{}
		h.SetHostID(id)
		r.hosts = append(r.hosts, h)
	}
	co.HostSelectionPolicy = r
	for _, h := range r.hosts {
		co.AddHost(h)
	}
	c := &cluster{runner: &runner{coordinators: co, metrics: m}, registry: registry, streams: newInFlight(m.inFlight), replies: replies}
	c.savings.Store(hedgeCost * hedgeSavings)
	return c
}

func (c *cluster) try(ctx context.Context) (string, error) {
	id := c.coordinators.Pick(query{ctx: ctx})().Info().HostID()
	c.mu.Lock()
	c.asked = append(c.asked, id)
	r := c.replies[id]
	c.mu.Unlock()
	c.flying.Add(1)
	defer c.flying.Add(-1)
	if r.preparing {
		if !sleep(ctx, r.after) {
			return "", ctx.Err()
		}
		return id, r.err
	}
	began := time.Now()
	stream := c.streams.StreamContext(ctx)
	end := func() {
		if r.err == nil {
			stream.StreamFinished(gocql.ObservedStream{})
		} else {
			stream.StreamAbandoned(gocql.ObservedStream{})
		}
	}
	switch {
	case sleep(ctx, r.after):
		end()
		return id, r.err
	case r.unsent:
		stream.StreamFinished(gocql.ObservedStream{})
	default: // given up: what becomes of it, its stream tells
		time.AfterFunc(r.after-time.Since(began), end)
	}
	return "", ctx.Err()
}

// order empties the list of who was asked.
func (c *cluster) order() []string {
	synctest.Wait() // a loser of the last run may be about to write its name
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

func (c *cluster) set(id string, r reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replies[id] = r
}

func (c *cluster) run(p plan, budget time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	return run(ctx, c.runner, p, c.try)
}

func TestWhichCoordinatorAnswers(t *testing.T) {
	slow := func(d time.Duration) reply { return reply{after: d} }
	for _, c := range []struct {
		name    string
		replies map[string]reply
		plan    plan
		budget  time.Duration
		poor    bool // no hedge can be afforded
		want    string
		asked   []string
		took    time.Duration
	}{
		{name: "the first, where it is well, and no other is asked",
			replies: map[string]reply{"a": quick}, want: "a", asked: []string{"a"}, took: time.Millisecond},
		{name: "the next at once, where the first fails",
			replies: map[string]reply{"a": fails, "b": quick}, want: "b", asked: []string{"a", "b"}, took: 2 * time.Millisecond},
		{name: "the third, where two fail",
			replies: map[string]reply{"a": fails, "b": fails, "c": quick}, want: "c", asked: []string{"a", "b", "c"}, took: 3 * time.Millisecond},
		{name: "a second, where the first is frozen",
			replies: map[string]reply{"a": never, "b": quick}, want: "b", asked: []string{"a", "b"}, took: hedgeAfter + time.Millisecond},
		{name: "the third, where the first is frozen and the second fails",
			replies: map[string]reply{"a": never, "b": fails, "c": quick}, want: "c", asked: []string{"a", "b", "c"}, took: hedgeAfter + 2*time.Millisecond},
		{name: "the slow first, where the second is slower",
			replies: map[string]reply{"a": slow(300 * time.Millisecond), "b": never}, want: "a", asked: []string{"a", "b"}, took: 300 * time.Millisecond},
		{name: "a second after more patience, where no hedge can be afforded",
			replies: map[string]reply{"a": never, "b": quick}, poor: true, want: "b", asked: []string{"a", "b"}, took: patience*hedgeAfter + time.Millisecond},
		{name: "the slow first, where no hedge can be afforded",
			replies: map[string]reply{"a": slow(900 * time.Millisecond), "b": quick}, poor: true, want: "a", asked: []string{"a"}, took: 900 * time.Millisecond},
		{name: "none: all are asked again after pauses, until the time is over",
			replies: map[string]reply{"a": {err: errDown}, "b": {err: errDown}, "c": {err: errDown}}, budget: 200 * time.Millisecond,
			asked: []string{"a", "b", "c", "a", "b", "c", "a", "b", "c"}, took: 200 * time.Millisecond},
		{name: "none, where the statement itself is wrong: no other is asked",
			replies: map[string]reply{"a": {err: codeError(gocql.ErrCodeInvalid)}}, asked: []string{"a"}},
		{name: "none everywhere: each is asked once",
			replies: map[string]reply{"a": {err: errDown}, "b": {err: errDown}, "c": {err: errDown}}, plan: plan{everywhere: true}, asked: []string{"a", "b", "c"}},
		{name: "everywhere, the third",
			replies: map[string]reply{"a": never, "b": fails, "c": quick}, plan: plan{everywhere: true},
			want: "c", asked: []string{"a", "b", "c"}, took: remoteHedgeAfter + 2*time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := newTestCluster(t, c.replies)
				if c.poor {
					cl.savings.Store(0)
				}
				if c.budget == 0 {
					c.budget = 10 * time.Second
				}
				start := time.Now()
				got, err := cl.run(c.plan, c.budget)
				if got != c.want || (err != nil) != (c.want == "") {
					t.Errorf("answered by %q with error %v, want %q", got, err, c.want)
				}
				if err != nil && !errors.Is(err, ErrUnavailable) {
					t.Errorf("error %v is not ErrUnavailable", err)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if asked := cl.order(); !slices.Equal(asked, c.asked) {
					t.Errorf("asked %v, want %v", asked, c.asked)
				}
			})
		})
	}
}

// codeError is a refusal by Cassandra.
type codeError int

func (c codeError) Code() int       { return int(c) }
func (c codeError) Message() string { return "no" }
func (c codeError) Error() string   { return "no" }

func TestAnOperationWhoseContextHasEndedAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, map[string]reply{"a": quick})
		if got, err := c.run(plan{}, 0); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("answered by %q with error %v", got, err)
		}
		if asked := c.order(); len(asked) != 0 {
			t.Errorf("asked %v", asked)
		}
	})
}

func TestAContextThatIsCancelledIsNoticedWhenSomethingIsDue(t *testing.T) {
	for _, c := range []struct {
		cancelled, want time.Duration
		asked           []string
	}{
		{time.Millisecond, hedgeAfter, []string{"a"}},
		{hedgeAfter + 50*time.Millisecond, hedgeAfter + 50*time.Millisecond, []string{"a", "b"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			cl := newTestCluster(t, map[string]reply{"a": never, "b": never, "c": never})
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(c.cancelled, cancel)
			start := time.Now()
			got, err := run(ctx, cl.runner, plan{}, cl.try)
			if took := time.Since(start); took != c.want || !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) {
				t.Errorf("cancelled after %v: %q with error %v after %v", c.cancelled, got, err, took)
			}
			if asked := cl.order(); !slices.Equal(asked, c.asked) {
				t.Errorf("cancelled after %v: asked %v, want %v", c.cancelled, asked, c.asked)
			}
			if n, want := cl.failures("a"), len(c.asked)-1; int(n) != want {
				t.Errorf("cancelled after %v: the breaker of the first has counted %d failures, want %d", c.cancelled, n, want)
			}
			if n := cl.flying.Load(); n != 0 {
				t.Errorf("%d attempts go on", n)
			}
		})
	}
}

func TestAFirstFailureIsHeardThoughAnotherIsAskedBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, map[string]reply{"a": {after: hedgeAfter + time.Millisecond, err: errDown}, "b": never, "c": quick})
		start := time.Now()
		if got, err := c.run(plan{}, time.Minute); got != "c" || err != nil {
			t.Errorf("answered by %q with error %v", got, err)
		}
		if took := time.Since(start); took != hedgeAfter+2*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestACoordinatorThatKeepsFailingIsAskedLastAndProbedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, map[string]reply{"a": fails, "b": quick, "c": quick})
		firsts := func(n int) (of []string) {
			for range n {
				if _, err := c.run(plan{}, time.Minute); err != nil {
					t.Fatal(err)
				}
				of = append(of, c.order()[0])
			}
			return of
		}
		want := func(when string, got, want []string) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("%s: asked first %v, want %v", when, got, want)
			}
		}
		want("while it may be an accident", firsts(breakerFailures), []string{"a", "a", "a"})
		want("while it rests", firsts(4), []string{"b", "b", "b", "b"})
		time.Sleep(breakerRest)
		want("when the rest is over", firsts(4), []string{"a", "b", "b", "b"})
		c.set("a", quick)
		want("while it rests again", firsts(2), []string{"b", "b"})
		time.Sleep(breakerRest)
		want("once it is well", firsts(4), []string{"a", "a", "a", "a"})
	})
}

func TestWhereAllCoordinatorsAreSuspectAllAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, map[string]reply{"a": fails, "b": fails, "c": fails})
		for range 10 {
			_, _ = c.run(plan{}, 20*time.Millisecond)
		}
		c.set("c", quick)
		if got, err := c.run(plan{}, 20*time.Millisecond); got != "c" || err != nil {
			t.Errorf("answered by %q with error %v, want c", got, err)
		}
	})
}

func TestARemoteDatacentreThatIsDownIsNoFaultOfTheCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, map[string]reply{"a": fails, "b": fails, "c": fails})
		for range 10 {
			_, _ = c.run(plan{everywhere: true}, time.Second)
		}
		c.order()
		c.set("a", quick)
		if got, _ := c.run(plan{}, time.Second); got != "a" {
			t.Errorf("answered by %q, want a", got)
		}
		if asked := c.order(); len(asked) != 1 {
			t.Errorf("asked %v, want a alone", asked)
		}
	})
}

func TestHedgesAreATenthOfTheOperationsInTheLongRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, map[string]reply{"a": {after: 300 * time.Millisecond}, "b": never, "c": never})
		const operations = 2000
		hedges := 0
		for range operations {
			c.coordinators.of("a").succeeded() // were it suspect, it would not be first
			if _, err := c.run(plan{}, time.Minute); err != nil {
				t.Fatal(err)
			}
			hedges += len(c.order()) - 1
		}
		if most := operations/hedgeCost + hedgeSavings; hedges > most || hedges < most/2 {
			t.Errorf("%d hedges in %d operations, want close to %d", hedges, operations, most)
		}
	})
}

func TestACoordinatorThatIsLostIsReplacedThoughNoHedgeCanBeAfforded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, map[string]reply{"a": never, "b": quick, "c": quick})
		c.savings.Store(0)
		var all sync.WaitGroup
		for range breakerFailures {
			all.Go(func() {
				if got, err := c.run(plan{}, 3*time.Second); got != "b" || err != nil {
					t.Errorf("answered by %q, error %v", got, err)
				}
			})
		}
		all.Wait()
	})
}

func TestWhereAllCoordinatorsAreSlowNoWorkIsAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := reply{after: time.Second}
		c := newTestCluster(t, map[string]reply{"a": slow, "b": slow, "c": slow})
		c.savings.Store(0)
		c.coordinators.HostSelectionPolicy = ring{hosts: c.coordinators.HostSelectionPolicy.(ring).hosts, turn: new(atomic.Int64)}
		const operations = 50
		var all sync.WaitGroup
		for range operations {
			all.Go(func() { _, _ = c.run(plan{}, 3*time.Second) })
		}
		all.Wait()
		if asked := len(c.order()); asked > operations*3/2 {
			t.Errorf("%d statements for %d operations", asked, operations)
		}
	})
}

func TestTimestampsGrowWhateverTheClockDoes(t *testing.T) {
	clock := time.Unix(1000, 0)
	s := stamps{now: func() time.Time { return clock }}
	last := s.next()
	for _, step := range []time.Duration{0, time.Microsecond, -time.Hour, 0, time.Second, 2 * time.Hour} {
		clock = clock.Add(step)
		if next := s.next(); next <= last {
			t.Errorf("%d came after %d", next, last)
		} else {
			last = next
		}
	}
}
