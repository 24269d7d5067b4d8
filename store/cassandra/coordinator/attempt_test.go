package coordinator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gocql/gocql"
)

func TestAttempt_SupersededInTimeLeavesBreakerClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads(t)
		c.set("a", reply{after: SlowAfter - 10*time.Millisecond})
		for range 5 * maxFailures {
			wantAsked(t, c.read(t, "b"), "a", "b")
			waitForSuperseded()
		}
		c.wantFailures(t, "a", 0)
	})
}

func TestAttempt_SupersededCountsInHedgeDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads(t)
		c.set("a", reply{after: 100 * time.Millisecond})
		before := c.readDelay.get()
		c.read(t, "b")
		waitForSuperseded()
		if after := c.readDelay.get(); after <= before {
			t.Errorf("the hedge delay was %v and is %v, want more", before, after)
		}
	})
}

func TestAttempt_SupersededOnDeadNodeOpensBreaker(t *testing.T) {
	for name, r := range map[string]reply{
		"the node never answers":           never,
		"the connection is lost in time":   {after: SlowAfter - 10*time.Millisecond, err: errDown},
		"Cassandra reports an error later": {after: SlowAfter - 10*time.Millisecond, err: codeError(gocql.ErrCodeUnavailable)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := usualReads(t)
				c.set("a", r)
				for range maxFailures {
					c.read(t, "b")
				}
				waitForSuperseded()
				c.wantFailures(t, "a", maxFailures)
				wantAsked(t, c.read(t, "b"), "b")
				c.wantNothingRunning(t)
			})
		})
	}
}

func TestAttempt_SupersededReportsItsOwnOutcomeToBreaker(t *testing.T) {
	for name, c := range map[string]struct {
		reply reply
		want  int // failures, after one before
	}{
		"success closes it":             {reply{after: 100 * time.Millisecond}, 0},
		"permanent error leaves it":     {reply{after: 100 * time.Millisecond, err: codeError(gocql.ErrCodeInvalid)}, 1},
		"error counts as failure":       {reply{after: 100 * time.Millisecond, err: errDown}, 2},
		"no answer in time counts once": {never, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := usualReads(t)
				cl.set("a", c.reply)
				cl.nodes.node("a").breaker.recordFailure(time.Now())
				cl.read(t, "b")
				waitForSuperseded()
				cl.wantFailures(t, "a", c.want)
				cl.wantNothingRunning(t)
			})
		})
	}
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
		c := usualReads(t)
		c.set("a", reply{after: 100 * time.Millisecond})
		c.set("b", never)
		c.read(t, "a")
		time.Sleep(2 * SlowAfter)
		synctest.Wait()
		c.wantFailures(t, "a", 0)
		c.wantFailures(t, "b", 0)
	})
}

func TestAttempt_AbandonedByClientLeavesBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads(t)
		c.set("a", never)
		_, _ = c.run(CallPolicy{Read: true}, 20*time.Millisecond)
		c.wantNothingRunning(t)
		time.Sleep(SlowAfter)
		c.wantFailures(t, "a", 0)
	})
}

func TestAttempt_AbandonedByClientAfterHedgeStillReportsToBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads(t)
		c.set("a", never)
		c.set("b", never)
		if got, err := c.run(CallPolicy{Read: true}, 100*time.Millisecond); err == nil {
			t.Errorf("got an answer from %q", got)
		}
		waitForSuperseded()
		c.wantFailures(t, "a", 1)
		c.wantFailures(t, "b", 0)
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
