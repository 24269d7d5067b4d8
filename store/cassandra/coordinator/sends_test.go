package coordinator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSendLimit_EndsAfterSends(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	limited := LimitSends(ctx, 2)
	type otherKey struct{}
	derived := context.WithValue(limited, otherKey{}, "value")
	for n := range 2 {
		if err := limited.Err(); err != nil {
			t.Errorf("after %d sends: %v", n, err)
		}
		CountSend(derived)
	}
	if err := limited.Err(); !errors.Is(err, ErrUnprepared) {
		t.Errorf("after two sends: %v, want ErrUnprepared", err)
	}
	if choiceFrom(derived) != nil {
		t.Error("a limit alone has a choice")
	}
	cancel()
	if err := limited.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context has ended: %v, want context.Canceled", err)
	}
	CountSend(t.Context()) // has no limit
}

func TestSendLimit_KeepsOuterChoice(t *testing.T) {
	c := newFakeCluster(nil)
	want := singleNode{c.hosts.hosts[1]}
	if got := choiceFrom(LimitSends(withChoice(t.Context(), want), 1)); got != want {
		t.Errorf("got %v, want the choice of the parent context", got)
	}
}

// TestRun_TriesOtherNodeIfOneForgetsStatements has a node that sends without end, as the driver does when the node answers
// UNPREPARED.
func TestRun_TriesOtherNodeIfOneForgetsStatements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(map[string]reply{"b": quick})
		sent := 0
		forgetful := func(ctx context.Context) (string, error) {
			id := c.HostPolicy().Pick(fakeQuery{ctx: ctx})().Info().HostID()
			for ; id == "a"; sent++ {
				if err := ctx.Err(); err != nil {
					return "", err
				}
				CountSend(ctx)
			}
			return id, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := Run(ctx, c.Runner, CallPolicy{}, forgetful); got != "b" || err != nil {
			t.Errorf("got an answer from %q and error %v, want an answer from b", got, err)
		}
		if sent != maxSends {
			t.Errorf("%d requests were sent to the forgetful node, want %d", sent, maxSends)
		}
		c.wantFailures(t, "a", 1)
	})
}
