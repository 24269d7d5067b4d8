package coordinator

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestHedgeBudget_LimitsHedgesToATenth(t *testing.T) {
	const calls, most = 2000, 2000/hedgeCost + maxHedges
	check := func(t *testing.T, hedges int) {
		t.Helper()
		if hedges > most || hedges < most/2 {
			t.Errorf("%d hedged attempts in %d calls, want close to %d", hedges, calls, most)
		}
	}
	t.Run("of statements that are slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newFakeCluster(map[string]reply{"a": {after: 300 * time.Millisecond}, "b": never, "c": never})
			hedges := 0
			for range calls {
				c.nodes.node("a").breaker.recordSuccess() // an open breaker would put a last
				if _, err := c.run(CallPolicy{}, time.Minute); err != nil {
					t.Fatal(err)
				}
				hedges += len(c.takeAsked()) - 1
			}
			check(t, hedges)
		})
	})
	t.Run("of reads that take longer than usual", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := usualReads()
			c.set("a", reply{after: 100 * time.Millisecond})
			c.set("b", reply{after: 100 * time.Millisecond})
			c.set("c", reply{after: 100 * time.Millisecond})
			hedges := 0
			for range calls {
				c.delays[Read].ns.Store(int64(40 * time.Millisecond)) // as if most reads were quick
				hedges += len(c.read(t, "a")) - 1
			}
			check(t, hedges)
		})
	})
}

func TestHedgeBudget_TakesNothingWhenEmpty(t *testing.T) {
	var b hedgeBudget
	for n := range 3 * hedgeCost {
		if got, want := b.take(), n > 0 && n%hedgeCost == 0; got != want {
			t.Errorf("after %d calls: take is %v, want %v", n, got, want)
		}
		b.add()
	}
}

func TestHedgeBudget_HoldsAtMostMaxHedges(t *testing.T) {
	var b hedgeBudget
	b.fill()
	b.add()
	taken := 0
	for b.take() {
		taken++
	}
	if taken != maxHedges {
		t.Errorf("took %d hedged attempts, want %d", taken, maxHedges)
	}
}
