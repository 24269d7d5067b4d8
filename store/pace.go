package store

import (
	"sync/atomic"
	"time"
)

// A read is hedged once it has taken hedgeTimes as long as reads typically do, but not before soonestHedge, and never
// later than hedgeAfter.
//
// Of the latencies seen in the tests in two datacentres, one read in thirty to one in a hundred takes more than four
// times the median, whether all is well or a node is gone: well below the tenth that the savings allow, and the next
// coordinator has answered long before a person notices. Twice the median would hedge one read in eight, which spends
// all savings on nothing. Below 5 ms it is the garbage collector's pauses, on either side, that hedges would chase.
// A median, for it does not move when a node stops: most reads do not go there. When the whole cluster becomes slow the
// median follows within some twenty reads, and at 50 ms hedges are as late, and as few, as those of writes.
const (
	hedgeTimes   = 4
	soonestHedge = 5 * time.Millisecond
)

// pace is the typical time of a read at one coordinator: a running median, which each answer moves a 32nd towards
// itself. It has no lock: of two answers at the same time one may count for nothing.
type pace struct{ median atomic.Int64 } // ns; 0 before the first answer

func (p *pace) observe(d time.Duration) {
	median := p.median.Load()
	if median == 0 {
		median = int64(hedgeAfter / hedgeTimes)
	}
	if int64(d) > median {
		median = min(median+median/32, int64(hedgeAfter/hedgeTimes))
	} else {
		median = max(median-median/32, int64(soonestHedge/hedgeTimes))
	}
	p.median.Store(median)
}

// hedgeAfter is how long a read may take before another coordinator is asked beside.
func (p *pace) hedgeAfter() time.Duration {
	if median := p.median.Load(); median > 0 {
		return time.Duration(median) * hedgeTimes
	}
	return hedgeAfter
}
