package clockskew

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// scriptedNode is a Table whose only node answers each request after the next latency. Further requests fail.
type scriptedNode struct {
	Table
	latencies []time.Duration
}

func (s *scriptedNode) NodeTime(context.Context, string) (time.Time, error) {
	if len(s.latencies) == 0 {
		return time.Time{}, errors.New("no answer")
	}
	latency := s.latencies[0]
	s.latencies = s.latencies[1:]
	time.Sleep(latency) // all of it before the node reads its clock, the worst case
	return time.Now(), nil
}

func TestMonitor_NodeSkew_UsesTheFastestResponse(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		latencies []time.Duration
		want      *skew
	}{
		"the second is the fastest": {[]time.Duration{50 * ms, 10 * ms, 30 * ms}, &skew{"cassandra", "node", 5 * ms, 5 * ms}},
		"later requests fail":       {[]time.Duration{50 * ms}, &skew{"cassandra", "node", 25 * ms, 25 * ms}},
		"all requests fail":         {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := NewMonitor(Config{Table: &scriptedNode{latencies: c.latencies}, Now: time.Now})
				got := m.nodeSkew(t.Context(), "node")
				if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
					t.Errorf("got %v, want %v", got, c.want)
				}
			})
		})
	}
}

// panickingTable panics once when a node is asked.
type panickingTable struct {
	*fakeTable
	done *atomic.Bool
}

func (p panickingTable) NodeTime(ctx context.Context, node string) (time.Time, error) {
	if !p.done.Swap(true) {
		panic("once")
	}
	return p.fakeTable.NodeTime(ctx, node)
}

func TestMonitor_GoesOnAfterPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Bool
		a := start(t, panickingTable{newFakeTable(threeNodes()), &done}, "dc1", "a", 0)
		time.Sleep(settleTime)
		if !done.Load() {
			t.Fatal("nothing has panicked")
		}
		a.wantSkews("after a panic", map[string]time.Duration{"cassandra 10.0.0.1": 0, "cassandra 10.0.0.2": 0, "cassandra 10.0.0.3": 0})
	})
}
