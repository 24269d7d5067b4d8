package coordinator

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gocql/gocql"
)

func TestAttempt_SupersededOnceLeavesBreakerClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		for range 5 * maxFailures {
			c.set("a", never)
			wantAsked(t, c.read(t, "b"), "a", "b")
			time.Sleep(SlowAfter)
			c.set("a", quick)
			wantAsked(t, c.read(t, "a"), "a")
		}
		c.wantFailures(t, "a", 0)
	})
}

func TestAttempt_UnsentLeavesBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", reply{err: fmt.Errorf("no room: %w: %w", ErrUnsent, context.DeadlineExceeded)})
		for range 5 * maxFailures {
			wantAsked(t, c.read(t, "b"), "a", "b")
		}
		c.wantFailures(t, "a", 0)
	})
}

func TestAttempt_SupersededOnDeadNodeOpensBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", never)
		start := time.Now()
		for !c.nodes.node("a").breaker.open() {
			wantAsked(t, c.read(t, "b"), "a", "b")
			if time.Since(start) > 3*SlowAfter {
				t.Fatalf("%v of reads that a dead node did not answer have not opened its breaker", time.Since(start))
			}
		}
		if took := time.Since(start); took < SlowAfter {
			t.Errorf("the breaker opened after %v, want at least %v", took, SlowAfter)
		}
		start = time.Now()
		c.read(t, "b") // with a probe of a
		if took := time.Since(start); took > 10*time.Millisecond {
			t.Errorf("a read beside the first probe took %v", took)
		}
		wantAsked(t, c.read(t, "b"), "b")
		time.Sleep(SlowAfter) // the probe ends
	})
}

func TestAttempt_SupersededTwiceOpensBreakerUntilFirstProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", never)
		for range 2 {
			wantAsked(t, c.read(t, "b"), "a", "b")
			time.Sleep(SlowAfter)
		}
		if !c.nodes.node("a").breaker.open() {
			t.Error("the breaker is closed")
		}
		c.set("a", quick)
		c.read(t, "b")
		time.Sleep(quick.after) // the probe ends
		wantAsked(t, c.read(t, "a"), "a")
	})
}

func TestAttempt_SupersededIsCancelledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", never)
		c.read(t, "b")
		c.wantNothingRunning(t)
	})
}

func TestAttempt_SupersededCountsInHedgeDelayOnceAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		for _, when := range []string{"at first", "after a success"} {
			c.set("a", never)
			before := c.delays[Read].get()
			c.read(t, "b")
			after := c.delays[Read].get()
			if after <= before {
				t.Errorf("%s: the hedge delay was %v and is %v, want more", when, before, after)
			}
			c.read(t, "b")
			if again := c.delays[Read].get(); again > after {
				t.Errorf("%s: the hedge delay was %v after the first superseded attempt and is %v, want no more", when, after, again)
			}
			c.set("a", quick)
			c.read(t, "a")
		}
	})
}

func TestAttempt_SuccessAfterSlowLeavesBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": {after: SlowAfter + time.Millisecond}, "b": never})
		if got, err := c.run(CallPolicy{}, time.Minute); got != "a" || err != nil {
			t.Errorf("got an answer from %q and error %v, want an answer from a", got, err)
		}
		c.wantFailures(t, "a", 1)
	})
}

func TestAttempt_LosingHedgeLeavesBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", reply{after: 100 * time.Millisecond})
		c.set("b", never)
		c.set("c", never)
		c.read(t, "a")
		time.Sleep(2 * SlowAfter)
		synctest.Wait()
		c.wantFailures(t, "a", 0)
		c.wantFailures(t, "b", 0)
	})
}

func TestAttempt_AbandonedByClientLeavesBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", never)
		_, _ = c.run(CallPolicy{Kind: Read}, 20*time.Millisecond)
		c.wantNothingRunning(t)
		time.Sleep(SlowAfter)
		c.wantFailures(t, "a", 0)
	})
}

func TestAttempt_AbandonedByClientAfterHedgeIsSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		c.set("a", never)
		c.set("b", never)
		c.set("c", never)
		if got, err := c.run(CallPolicy{Kind: Read}, 100*time.Millisecond); err == nil {
			t.Errorf("got an answer from %q", got)
		}
		c.wantNothingRunning(t)
		if a, b := c.nodes.node("a"), c.nodes.node("b"); a.breaker.suspected.Load() == 0 || b.breaker.suspected.Load() != 0 {
			t.Error("want node a suspected, and node b not")
		}
	})
}

func TestAttempt_PicksNodeAskedLongestAgoInSecondRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": fails, "b": fails, "c": fails})
		c.hosts.hosts[0], c.hosts.hosts[2] = c.hosts.hosts[2], c.hosts.hosts[0]
		_, _ = c.run(CallPolicy{}, 60*time.Millisecond)
		wantAsked(t, c.takeAsked(), "c", "b", "a", "c", "b", "a")
	})
}

func TestAttempt_PartitionKeyReachesDriverPolicy(t *testing.T) {
	a := &attempt{policy: CallPolicy{PartitionKey: []byte("key")}, asked: &askedNodes{}}
	c := newFakeCluster(nil)
	policy := &keyRecorder{HostSelectionPolicy: c.hosts}
	c.nodes.HostSelectionPolicy = policy
	c.nodes.Pick(fakeQuery{ctx: withChoice(t.Context(), a)})()
	if string(policy.key) != "key" {
		t.Errorf("the driver's policy got partition key %q, want %q", policy.key, "key")
	}
}

// keyRecorder notes the partition key of the last query.
type keyRecorder struct {
	gocql.HostSelectionPolicy
	key []byte
}

func (k *keyRecorder) Pick(q gocql.ExecutableQuery) gocql.NextHost {
	k.key, _ = q.GetRoutingKey()
	return k.HostSelectionPolicy.Pick(q)
}
