package coordinator

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestBreaker_OpensAndProbesOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": fails, "b": quick, "c": quick})
		want := func(when string, asked ...string) {
			t.Helper()
			start := time.Now()
			if got, err := c.run(CallPolicy{}, time.Minute); err != nil {
				t.Fatal(when, got, err)
			}
			if took := time.Since(start); took > fails.after+quick.after {
				t.Errorf("%s: took %v", when, took)
			}
			if got := slices.Sorted(slices.Values(c.takeAsked())); !slices.Equal(got, asked) {
				t.Errorf("%s: asked %v, want %v", when, got, asked)
			}
		}
		for range maxFailures {
			want("closed", "a", "b")
		}
		c.set("a", never)
		want("open", "b")
		time.Sleep(probeInterval)
		want("a probe is due, and has no answer", "a", "b")
		want("open again", "b")
		time.Sleep(probeInterval)
		c.wantNothingRunning(t)
		c.set("a", quick)
		want("a probe is due, and succeeds", "a", "b")
		time.Sleep(quick.after)
		want("closed again", "a")
	})
}

// kindsWithoutBreakers are the kinds that do not change circuit breakers.
var kindsWithoutBreakers = []Kind{OneNode, Transaction, EachQuorum}

func TestBreaker_IsProbedAtLocalQuorumOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": fails, "b": quick, "c": quick})
		for range maxFailures {
			_, _ = c.run(CallPolicy{}, time.Minute)
		}
		c.takeAsked()
		time.Sleep(probeInterval)
		for _, kind := range kindsWithoutBreakers {
			if got, err := c.run(CallPolicy{Kind: kind}, time.Minute); got != "b" || err != nil {
				t.Errorf("kind %d: got an answer from %q and error %v, want an answer from b", kind, got, err)
			}
			wantAsked(t, c.takeAsked(), "b")
		}
	})
}

func TestBreaker_IsClosedAtLocalQuorumOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": fails, "b": fails, "c": fails})
		for range maxFailures {
			_, _ = c.run(CallPolicy{}, 20*time.Millisecond)
		}
		for _, id := range []string{"a", "b", "c"} {
			c.set(id, quick)
		}
		for _, kind := range kindsWithoutBreakers {
			if _, err := c.run(CallPolicy{Kind: kind}, time.Minute); err != nil {
				t.Fatal(err)
			}
			if got := c.nodes.openBreakers(); got != 3 {
				t.Errorf("kind %d: %d breakers are open after a success, want 3", kind, got)
			}
		}
	})
}

func TestBreaker_OpenOnAllNodesExcludesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": fails, "b": fails, "c": fails})
		for range 10 {
			_, _ = c.run(CallPolicy{}, 20*time.Millisecond)
		}
		c.set("c", quick)
		if got, err := c.run(CallPolicy{}, 20*time.Millisecond); got != "c" || err != nil {
			t.Errorf("got an answer from %q and error %v, want an answer from c", got, err)
		}
	})
}

func TestBreaker_IsOpenedAtLocalQuorumOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": fails, "b": fails, "c": fails})
		for _, kind := range kindsWithoutBreakers {
			for range 10 {
				_, _ = c.run(CallPolicy{Kind: kind}, time.Second)
			}
		}
		c.takeAsked()
		c.set("a", quick)
		if got, _ := c.run(CallPolicy{}, time.Second); got != "a" {
			t.Errorf("got an answer from %q, want an answer from a", got)
		}
		wantAsked(t, c.takeAsked(), "a")
	})
}

func TestBreaker_AllowsOneProbeToConcurrentCallers(t *testing.T) {
	var b breaker
	now := time.Unix(1000, 0)
	for range maxFailures {
		if b.takeProbe(now.Add(time.Hour)) {
			t.Fatal("a closed breaker is probed")
		}
		b.recordFailure(now)
	}
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {probeInterval - 1, false}, {probeInterval, true}, {probeInterval, false}, {2 * probeInterval, true}} {
		if got := b.takeProbe(now.Add(c.after)); got != c.want {
			t.Errorf("after %v: a probe is due is %v, want %v", c.after, got, c.want)
		}
	}
	b.recordSuccess()
	if b.takeProbe(now.Add(time.Hour)) {
		t.Error("closed again, and probed")
	}
}

func TestBreaker_OpensForNodeSupersededForLong(t *testing.T) {
	var b breaker
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	b.recordSuperseded(at(0))
	b.recordSuperseded(at(SlowAfter - 1))
	if got := b.failures.Load(); got != 0 {
		t.Errorf("%d failures before SlowAfter, want 0", got)
	}
	b.recordSuperseded(at(SlowAfter))
	if !b.open() {
		t.Error("closed after SlowAfter")
	}
	if !b.takeProbe(at(SlowAfter)) || b.takeProbe(at(SlowAfter)) {
		t.Error("want one probe at once")
	}
	b.recordSuccess()
	b.recordSuperseded(at(2 * SlowAfter))
	if got := b.failures.Load(); got != 0 {
		t.Errorf("%d failures after a success, want 0", got)
	}
}
