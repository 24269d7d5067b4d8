package coordinator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
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
