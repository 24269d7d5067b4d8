package coordinator

import "sync/atomic"

// A hedged attempt costs hedgeCost, each call adds 1, and the budget holds at most maxHedges hedged attempts. Hedging
// costs Cassandra work, and it does so when Cassandra may already be short of time.
const (
	hedgeCost = 10
	maxHedges = 100
)

// hedgeBudget limits hedged attempts to a tenth of all calls in the long run. It is a token bucket that calls fill
// instead of time. The zero budget is empty.
type hedgeBudget struct{ tenths atomic.Int64 }

// fill gives the budget all that it can hold.
func (b *hedgeBudget) fill() { b.tenths.Store(hedgeCost * maxHedges) }

// add adds a tenth of a hedged attempt, once for each call.
func (b *hedgeBudget) add() {
	if b.tenths.Load() < hedgeCost*maxHedges {
		b.tenths.Add(1)
	}
}

// take takes one hedged attempt out of the budget. It returns false, and takes nothing, if the budget does not hold one.
func (b *hedgeBudget) take() bool {
	if b.tenths.Add(-hedgeCost) >= 0 {
		return true
	}
	b.tenths.Add(hedgeCost)
	return false
}
