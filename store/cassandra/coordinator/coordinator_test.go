package coordinator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRun_AsksNoNodeIfContextHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": quick})
		if got, err := c.run(CallPolicy{}, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got an answer from %q and error %v, want context.DeadlineExceeded", got, err)
		}
		wantAsked(t, c.takeAsked())
	})
}

func TestRun_GivesStatementItsContext(t *testing.T) {
	type key struct{}
	c := newFakeCluster(nil)
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	_, err := Run(ctx, c.Runner, CallPolicy{}, func(ctx context.Context) (struct{}, error) {
		if got := ctx.Value(key{}); got != "value" {
			t.Errorf("the statement's context has value %v", got)
		}
		cancel()
		<-ctx.Done()
		return struct{}{}, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
}

func TestRun_ErrorsContainKeyspaceProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": fails, "b": fails, "c": fails})
		problem := errors.New("the keyspace has no replicas")
		c.SetKeyspace(0, problem)
		start := time.Now()
		if _, err := c.run(CallPolicy{}, time.Second); !errors.Is(err, problem) || !errors.Is(err, errDown) {
			t.Errorf("got error %v, want the problem and the last error", err)
		}
		wantAsked(t, c.takeAsked(), "a", "b", "c")
		wantDuration(t, start, 3*fails.after)
		c.set("c", quick)
		if got, err := c.run(CallPolicy{}, time.Second); got != "c" || err != nil {
			t.Errorf("got an answer from %q and error %v, want an answer from c although a problem is known", got, err)
		}
		c.set("c", fails)
		c.SetKeyspace(3, nil)
		if _, err := c.run(CallPolicy{}, time.Second); errors.Is(err, problem) || !errors.Is(err, errDown) {
			t.Errorf("got error %v after the problem was solved", err)
		}
	})
}

func TestRunner_RefusesEachQuorumWhileKeyspaceHasProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"a": quick})
		problem := errors.New("the keyspace has replication class SimpleStrategy")
		c.SetKeyspace(0, problem)
		if got, err := c.run(CallPolicy{Kind: EachQuorum}, time.Minute); !errors.Is(err, problem) {
			t.Errorf("EACH_QUORUM: got an answer from %q and error %v, want the problem", got, err)
		}
		wantAsked(t, c.takeAsked())
		if _, err := c.run(CallPolicy{}, time.Minute); err != nil {
			t.Errorf("LOCAL_QUORUM: %v", err)
		}
		c.SetKeyspace(3, nil)
		if _, err := c.run(CallPolicy{Kind: EachQuorum}, time.Minute); err != nil {
			t.Errorf("EACH_QUORUM after the problem: %v", err)
		}
	})
}
