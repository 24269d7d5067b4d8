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
		wantFirst := func(when string, want ...string) {
			t.Helper()
			var got []string
			for range want {
				if _, err := c.run(CallPolicy{}, time.Minute); err != nil {
					t.Fatal(err)
				}
				got = append(got, c.takeAsked()[0])
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: asked first %v, want %v", when, got, want)
			}
		}
		wantFirst("closed", "a", "a", "a")
		wantFirst("open", "b", "b", "b", "b")
		time.Sleep(probeInterval)
		wantFirst("a probe is due, and fails", "a", "b", "b", "b")
		c.set("a", quick)
		wantFirst("open again", "b", "b")
		time.Sleep(probeInterval)
		wantFirst("a probe is due, and succeeds", "a", "a", "a", "a")
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

func TestBreaker_IgnoresEachQuorumFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": fails, "b": fails, "c": fails})
		for range 10 {
			_, _ = c.run(CallPolicy{EachQuorum: true}, time.Second)
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
		if !b.allow(now) {
			t.Fatal("a closed breaker allows nothing")
		}
		b.recordFailure(now)
	}
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {probeInterval - 1, false}, {probeInterval, true}, {probeInterval, false}, {2 * probeInterval, true}} {
		if got := b.allow(now.Add(c.after)); got != c.want {
			t.Errorf("after %v: allowed is %v, want %v", c.after, got, c.want)
		}
	}
	b.recordSuccess()
	if !b.allow(now) {
		t.Error("closed again, and allows nothing")
	}
}

func TestBreaker_CountsNodeSupersededForLongAsFailing(t *testing.T) {
	var b breaker
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	b.recordSuperseded(at(0))
	b.recordSuperseded(at(SlowAfter - 1))
	if got := b.failures.Load(); got != 0 {
		t.Errorf("%d failures before SlowAfter, want 0", got)
	}
	b.recordSuperseded(at(SlowAfter))
	if got := b.failures.Load(); got != 1 {
		t.Errorf("%d failures after SlowAfter, want 1", got)
	}
	b.recordSuccess()
	b.recordSuperseded(at(2 * SlowAfter))
	if got := b.failures.Load(); got != 0 {
		t.Errorf("%d failures after a success, want 0", got)
	}
}
