package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/panics"
)

func TestHedgedCall_AsksNodes(t *testing.T) {
	slow := func(d time.Duration) reply { return reply{after: d} }
	const unauthorized = codeError(gocql.ErrCodeUnauthorized)
	for _, c := range []struct {
		name     string
		replies  map[string]reply
		policy   CallPolicy
		limit    time.Duration
		noBudget bool
		want     string // the node whose answer is returned; empty: an error
		asked    []string
		took     time.Duration
	}{
		{name: "the first node answers, and no other is asked",
			replies: map[string]reply{"a": quick}, want: "a", asked: []string{"a"}, took: time.Millisecond},
		{name: "the first fails, and the next is asked at once",
			replies: map[string]reply{"a": fails, "b": quick}, want: "b", asked: []string{"a", "b"}, took: 2 * time.Millisecond},
		{name: "two fail, and the third is asked",
			replies: map[string]reply{"a": fails, "b": fails, "c": quick}, want: "c", asked: []string{"a", "b", "c"}, took: 3 * time.Millisecond},
		{name: "the first is frozen, and a second is asked",
			replies: map[string]reply{"a": never, "b": quick}, want: "b", asked: []string{"a", "b"}, took: SlowAfter + time.Millisecond},
		{name: "the first is frozen, the second fails, and the third is asked",
			replies: map[string]reply{"a": never, "b": fails, "c": quick}, want: "c", asked: []string{"a", "b", "c"}, took: SlowAfter + 2*time.Millisecond},
		{name: "the first is slow and the second slower",
			replies: map[string]reply{"a": slow(300 * time.Millisecond), "b": never}, want: "a", asked: []string{"a", "b"}, took: 300 * time.Millisecond},
		{name: "the budget is empty, and a second is asked after maxWaits",
			replies: map[string]reply{"a": never, "b": quick}, noBudget: true, want: "b", asked: []string{"a", "b"}, took: maxWaits*SlowAfter + time.Millisecond},
		{name: "the budget is empty, and the slow first answers",
			replies: map[string]reply{"a": slow(900 * time.Millisecond), "b": quick}, noBudget: true, want: "a", asked: []string{"a"}, took: 900 * time.Millisecond},
		{name: "all fail, and are asked again after pauses until the context ends",
			replies: map[string]reply{"a": {err: errDown}, "b": {err: errDown}, "c": {err: errDown}}, limit: 200 * time.Millisecond,
			asked: []string{"a", "b", "c", "a", "b", "c", "a", "b", "c"}, took: 200 * time.Millisecond},
		{name: "the statement itself is wrong, and no other is asked",
			replies: map[string]reply{"a": {err: codeError(gocql.ErrCodeInvalid)}}, asked: []string{"a"}},
		{name: "every node says unauthorized, and each is asked once",
			replies: map[string]reply{"a": {err: unauthorized}, "b": {err: unauthorized}, "c": {err: unauthorized}}, asked: []string{"a", "b", "c"}},
		{name: "one node says unauthorized, and the next is asked",
			replies: map[string]reply{"a": {err: unauthorized}, "b": quick}, want: "b", asked: []string{"a", "b"}, took: time.Millisecond},
		{name: "EACH_QUORUM: all fail, and each is asked once",
			replies: map[string]reply{"a": {err: errDown}, "b": {err: errDown}, "c": {err: errDown}}, policy: CallPolicy{Kind: EachQuorum}, asked: []string{"a", "b", "c"}},
		{name: "EACH_QUORUM: the first is frozen, the second fails, and the third answers",
			replies: map[string]reply{"a": never, "b": fails, "c": quick}, policy: CallPolicy{Kind: EachQuorum},
			want: "c", asked: []string{"a", "b", "c"}, took: maxHedgeDelay + 2*time.Millisecond},
		{name: "EACH_QUORUM: a second is asked without a budget",
			replies: map[string]reply{"a": never, "b": quick}, policy: CallPolicy{Kind: EachQuorum}, noBudget: true,
			want: "b", asked: []string{"a", "b"}, took: maxHedgeDelay + time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := newFakeCluster(c.replies)
				if c.noBudget {
					cl.budget.tenths.Store(0)
				}
				if c.limit == 0 {
					c.limit = 10 * time.Second
				}
				start := time.Now()
				got, err := cl.run(c.policy, c.limit)
				if got != c.want || (err != nil) != (c.want == "") {
					t.Errorf("got an answer from %q and error %v, want an answer from %q", got, err, c.want)
				}
				wantDuration(t, start, c.took)
				wantAsked(t, cl.takeAsked(), c.asked...)
				cl.wantNothingRunning(t)
			})
		})
	}
}

func TestHedgedCall_ReturnsWhenContextIsCancelled(t *testing.T) {
	for _, c := range []struct {
		name     string
		after    time.Duration
		failures int // of the first node's breaker
		asked    []string
	}{
		{"before anything is due", time.Millisecond, 0, []string{"a"}},
		{"after the first was slow", SlowAfter + 50*time.Millisecond, 1, []string{"a", "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := newFakeCluster(map[string]reply{"a": never, "b": never, "c": never})
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(c.after, cancel)
				start := time.Now()
				if got, err := Run(ctx, cl.Runner, CallPolicy{}, cl.statement); !errors.Is(err, context.Canceled) {
					t.Errorf("got an answer from %q and error %v, want context.Canceled", got, err)
				}
				wantDuration(t, start, c.after)
				wantAsked(t, cl.takeAsked(), c.asked...)
				cl.wantFailures(t, "a", c.failures)
				cl.wantNothingRunning(t)
			})
		})
	}
}

func TestHedgedCall_ErrorHasContextErrorAndLastFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": fails, "b": fails, "c": fails})
		if _, err := c.run(CallPolicy{}, 20*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errDown) {
			t.Errorf("got error %v, want the context's and the last attempt's", err)
		}
	})
}

func TestHedgedCall_RetriesWhenFirstFailsBesideHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": {after: SlowAfter + time.Millisecond, err: errDown}, "b": never, "c": quick})
		start := time.Now()
		if got, err := c.run(CallPolicy{}, time.Minute); got != "c" || err != nil {
			t.Errorf("got an answer from %q and error %v, want an answer from c", got, err)
		}
		wantDuration(t, start, SlowAfter+2*time.Millisecond)
	})
}

func TestHedgedCall_ReplacesLostNodeWithoutBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": never, "b": quick, "c": quick})
		c.budget.tenths.Store(0)
		var all sync.WaitGroup
		for range maxFailures {
			all.Go(func() {
				if got, err := c.run(CallPolicy{}, 3*time.Second); got != "b" || err != nil {
					t.Errorf("got an answer from %q and error %v, want an answer from b", got, err)
				}
			})
		}
		start := time.Now()
		all.Wait()
		if took := time.Since(start); took >= maxWaits*SlowAfter {
			t.Errorf("took %v: a call waited for the lost node until maxWaits", took)
		}
	})
}

func TestHedgedCall_AddsNoLoadWhenAllNodesAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := reply{after: time.Second}
		c := newFakeCluster(map[string]reply{"a": slow, "b": slow, "c": slow})
		c.budget.tenths.Store(0)
		c.hosts.rotate = new(atomic.Int64)
		const calls = 50
		var all sync.WaitGroup
		for range calls {
			all.Go(func() { _, _ = c.run(CallPolicy{}, 3*time.Second) })
		}
		all.Wait()
		if asked := len(c.takeAsked()); asked > calls*3/2 {
			t.Errorf("%d calls made %d attempts", calls, asked)
		}
	})
}

func TestHedgedCall_HedgesReadThatTakesLongerThanUsual(t *testing.T) {
	for _, c := range []struct {
		name              string
		usual, rare, want time.Duration
	}{
		{"after about as long as rare reads take", 5 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond},
		{"not before minHedgeDelay, if all reads are short", 100 * time.Microsecond, 200 * time.Microsecond, minHedgeDelay},
		{"not after maxHedgeDelay, if rare reads are long", 10 * time.Millisecond, time.Second, maxHedgeDelay},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := newReadCluster(c.usual, c.rare)
				cl.set("a", never)
				start := time.Now()
				asked := cl.read(t, "b")
				if took := time.Since(start) - c.usual; took < c.want*9/10 || took > c.want*12/10 {
					t.Errorf("hedged after %v, want %v", took, c.want)
				}
				wantAsked(t, asked, "a", "b")
			})
		})
	}
}

func TestHedgedCall_EachKindHasItsOwnDelay(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		want time.Duration
	}{{Other, SlowAfter}, {Read, 40 * time.Millisecond}, {Write, 60 * time.Millisecond}, {EachQuorum, 500 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			cl := usualReads()
			cl.delays[Read].ns.Store(int64(40 * time.Millisecond))
			cl.delays[Write].ns.Store(int64(60 * time.Millisecond))
			cl.delays[EachQuorum].ns.Store(int64(500 * time.Millisecond))
			cl.set("a", never)
			start := time.Now()
			if got, err := cl.run(CallPolicy{Kind: c.kind}, time.Minute); got != "b" || err != nil {
				t.Errorf("kind %d: got an answer from %q and error %v, want an answer from b", c.kind, got, err)
			}
			wantDuration(t, start, c.want+10*time.Millisecond)
		})
	}
}

func TestHedgedCall_AsksThirdNodeWhenSecondIsSilentToo(t *testing.T) {
	for _, kind := range []Kind{Read, Write, EachQuorum} {
		synctest.Test(t, func(t *testing.T) {
			c := usualReads()
			c.delays[kind].ns.Store(int64(40 * time.Millisecond))
			c.set("a", never)
			c.set("b", never)
			start := time.Now()
			if got, err := c.run(CallPolicy{Kind: kind}, time.Minute); got != "c" || err != nil {
				t.Errorf("kind %d: got an answer from %q and error %v, want an answer from c", kind, got, err)
			}
			wantDuration(t, start, 2*40*time.Millisecond+10*time.Millisecond)
			c.wantNothingRunning(t)
		})
	}
}

func TestHedgedCall_EachQuorumAsksSilentNodesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": never, "b": never, "c": never})
		c.delays[EachQuorum].ns.Store(int64(40 * time.Millisecond))
		time.AfterFunc(7*40*time.Millisecond-time.Millisecond, func() { c.set("b", quick) })
		start := time.Now()
		if got, err := c.run(CallPolicy{Kind: EachQuorum}, time.Minute); got != "b" || err != nil {
			t.Errorf("got an answer from %q and error %v, want an answer from b", got, err)
		}
		wantDuration(t, start, 7*40*time.Millisecond+quick.after)
		wantAsked(t, c.takeAsked(), "a", "b", "c", "a", "b", "c", "a", "b")
		c.wantNothingRunning(t)

		c.set("b", never)
		_, _ = c.run(CallPolicy{Kind: EachQuorum}, 5*time.Second)
		if asked := len(c.takeAsked()); asked != 9 {
			t.Errorf("%d attempts on three silent nodes, want 9", asked)
		}
	})
}

func TestHedgedCall_EachQuorumHedgesEarlyWithoutBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.delays[EachQuorum].ns.Store(int64(40 * time.Millisecond))
		c.budget.tenths.Store(0)
		c.set("a", never)
		start := time.Now()
		if got, err := c.run(CallPolicy{Kind: EachQuorum}, time.Minute); got != "b" || err != nil {
			t.Errorf("got an answer from %q and error %v, want an answer from b", got, err)
		}
		wantDuration(t, start, 40*time.Millisecond+10*time.Millisecond)
	})
}

func TestHedgedCall_ReadWithoutBudgetIsHedgedLikeWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", never)
		c.budget.tenths.Store(0)
		start := time.Now()
		c.read(t, "b")
		wantDuration(t, start, maxWaits*SlowAfter+10*time.Millisecond)
		c.wantFailures(t, "a", 1)
	})
}

func TestHedgedCall_RetryHasFullTimeBeforeItIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", fails)
		c.set("b", never)
		start := time.Now()
		wantAsked(t, c.read(t, "c"), "a", "b", "c")
		wantDuration(t, start, time.Millisecond+SlowAfter+10*time.Millisecond)
		c.wantFailures(t, "b", 1)
	})
}

func TestHedgedCall_HedgeHasFullTimeBeforeItIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", never)
		c.set("b", reply{after: SlowAfter - 10*time.Millisecond}) // answers after the first attempt is slow
		c.set("c", never)
		c.read(t, "b")
		c.wantFailures(t, "a", 1)
		c.wantFailures(t, "b", 0)
	})
}

func TestHedgedCall_CancelsLosingHedgeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", reply{after: 35 * time.Millisecond})
		c.set("b", never)
		c.read(t, "a")
		c.wantNothingRunning(t)
	})
}

func TestHedgedCall_CountsHedges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", never)
		c.read(t, "b")
		c.delays[Read].ns.Store(int64(40 * time.Millisecond))
		c.set("a", reply{after: 45 * time.Millisecond}) // after the hedge starts and before it answers
		c.read(t, "a")
		c.wantHedges(t, 2, 1)
	})
}

// BenchmarkCall measures what a call costs apart from the driver and Cassandra: the first node answers at once.
func BenchmarkCall(b *testing.B) {
	c := newFakeCluster(nil)
	statement := func(ctx context.Context) (struct{}, error) {
		c.HostPolicy().Pick(fakeQuery{ctx: ctx})()
		return struct{}{}, nil
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	p := CallPolicy{PartitionKey: []byte("enwiki:MWSession:0123456789abcdef0123456789abcdef"), Kind: Read}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Run(ctx, c.Runner, p, statement); err != nil {
			b.Fatal(err)
		}
	}
}

// TestHedgedCall_PanicIsError covers an attempt in the goroutine of the caller, a hedged attempt in a goroutine of its own, and
// the goroutine that decides.
func TestHedgedCall_PanicIsError(t *testing.T) {
	wait := func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}
	for name, statement := range map[string]func(attempt int64) func(context.Context) (string, error){
		"first attempt": func(int64) func(context.Context) (string, error) {
			return func(context.Context) (string, error) { panic("first") }
		},
		"hedged attempt": func(n int64) func(context.Context) (string, error) {
			if n == 1 {
				return wait
			}
			return func(context.Context) (string, error) { panic("hedged") }
		},
		"decision": func(int64) func(context.Context) (string, error) { return wait },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeCluster(nil)
				registry := prometheus.NewRegistry()
				c.panics = panics.NewRecorder(registry, slog.New(slog.DiscardHandler))
				if name == "decision" {
					c.metrics.hedges = nil // the hedged attempt cannot be counted
				}
				var attempts atomic.Int64
				_, err := Run(t.Context(), c.Runner, CallPolicy{}, func(ctx context.Context) (string, error) {
					return statement(attempts.Add(1))(ctx)
				})
				if !errors.Is(err, panics.ErrPanic) {
					t.Errorf("got error %v, want panics.ErrPanic", err)
				}
				synctest.Wait()
				if n := counted(t, registry, "coordinator"); n != 1 {
					t.Errorf("%v panics are counted, want 1", n)
				}
			})
		})
	}
}

// counted returns how many panics were recovered at a place.
func counted(t *testing.T, registry *prometheus.Registry, place string) (n float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families[0].GetMetric() {
		if m.GetLabel()[0].GetValue() == place {
			n = m.GetCounter().GetValue()
		}
	}
	return n
}
