package coordinator

import (
	"sync/atomic"
	"time"
)

const (
	// minHedgeDelay is the shortest hedge delay. Below it, hedged attempts would only follow garbage collection pauses.
	minHedgeDelay = 5 * time.Millisecond
	// maxHedgeDelay is the longest hedge delay, and the one before anything is observed. Without it, one stall of all nodes
	// would raise the delay for hundreds of calls, which takes minutes where there are few. A shorter one costs more where
	// all nodes are busy: with 30 ms, the p99 of three saturated nodes was 1.5 times as long (docs/performance.md). If
	// datacentres are so far apart that a statement at EACH_QUORUM takes longer, it is sent again each time the delay has passed.
	maxHedgeDelay = 60 * time.Millisecond
)

// hedgeDelay estimates how long 98 % of the calls of one Kind take, or 90 % at EACH_QUORUM. A call that takes longer is hedged.
//
// Each slower call raises the estimate by 48/256, each quicker one lowers it by 1/256. So it settles where one call in 49 is
// slower. At EACH_QUORUM the steps are 36/256 and 4/256, and it settles where one call in ten is slower: deletes are rare, so
// that smaller steps would follow them too late, and hedging more of them costs little. If one of three nodes of another
// datacentre is lost, each attempt meets it with a probability of one third, so several attempts must start before package
// store counts the delete as unconfirmed, after 450 ms.
//
// The estimate stays between minHedgeDelay and maxHedgeDelay. A superseded attempt counts as well, because it would have been
// slower. Without it, the slowest calls would never be observed, and the delay would shrink until the hedge budget is empty. But
// of a node's superseded attempts only the first after a success counts, so that a node that never answers does not raise the
// delay. At EACH_QUORUM none counts, because one lost node of another datacentre makes every third call slow.
//
// A percentile bounds the number of hedged calls whatever the latencies look like. A multiple of the median does not. Where more
// than one call in fifty takes longer than maxHedgeDelay, the hedge budget bounds it instead.
//
// There is no lock: of two updates at the same moment, one may be lost. The zero hedgeDelay is maxHedgeDelay.
type hedgeDelay struct{ ns atomic.Int64 }

// observe updates the estimate with the duration of one successful call of kind k.
func (d *hedgeDelay) observe(k Kind, took time.Duration) {
	raise, lower := time.Duration(48), time.Duration(1)
	if k == EachQuorum {
		raise, lower = 36, 4
	}
	delay := d.get()
	if took > delay {
		delay += delay * raise / 256
	} else {
		delay -= delay * lower / 256
	}
	d.ns.Store(int64(min(max(delay, minHedgeDelay), maxHedgeDelay)))
}

// get returns how long a call may take before it is hedged.
func (d *hedgeDelay) get() time.Duration {
	if ns := d.ns.Load(); ns > 0 {
		return time.Duration(ns)
	}
	return maxHedgeDelay
}
