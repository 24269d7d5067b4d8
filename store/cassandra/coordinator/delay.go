package coordinator

import (
	"sync/atomic"
	"time"
)

// minHedgeDelay is the shortest hedge delay. Below it, hedged reads would only follow garbage collection pauses.
const minHedgeDelay = 5 * time.Millisecond

// hedgeDelay estimates how long 98 % of reads take. A read that takes longer is hedged.
//
// Each slower read raises the estimate by 48/1024, each quicker one lowers it by 1/1024. So it settles where one read in
// 49 is slower. It stays between minHedgeDelay and SlowAfter. When all reads become slow it reaches SlowAfter within about
// 30 reads, and reads are then hedged as late as writes. A node that never answers does not raise it, because only
// answers are observed.
//
// A percentile bounds the number of hedged reads whatever the latencies look like. A multiple of the median does not.
//
// There is no lock: of two updates at the same moment, one may be lost. The zero hedgeDelay is SlowAfter.
type hedgeDelay struct{ ns atomic.Int64 }

// observe updates the estimate with the duration of one successful read.
func (d *hedgeDelay) observe(took time.Duration) {
	delay := d.get()
	if took > delay {
		delay += delay * 48 / 1024
	} else {
		delay -= delay / 1024
	}
	d.ns.Store(int64(min(max(delay, minHedgeDelay), SlowAfter)))
}

// get returns how long a read may take before it is hedged.
func (d *hedgeDelay) get() time.Duration {
	if ns := d.ns.Load(); ns > 0 {
		return time.Duration(ns)
	}
	return SlowAfter
}
