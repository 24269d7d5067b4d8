package coordinator

import (
	"sync/atomic"
	"time"
)

// minHedgeDelay is the shortest hedge delay. Below it, hedged attempts would only follow garbage collection pauses.
const minHedgeDelay = 5 * time.Millisecond

// hedgeDelay estimates how long 98 % of the calls of one Kind take. A call that takes longer is hedged.
//
// Each slower call raises the estimate by 48/1024, each quicker one lowers it by 1/1024. So it settles where one call in
// 49 is slower. It stays between minHedgeDelay and the slowAfter of the Kind. When all calls become slow it reaches slowAfter
// within about 30 calls. A node that never answers does not raise it, because only answers are observed.
//
// A percentile bounds the number of hedged calls whatever the latencies look like. A multiple of the median does not.
//
// There is no lock: of two updates at the same moment, one may be lost. The zero hedgeDelay is slowAfter.
type hedgeDelay struct{ ns atomic.Int64 }

// observe updates the estimate with the duration of one successful call of kind k.
func (d *hedgeDelay) observe(k Kind, took time.Duration) {
	delay := d.get(k)
	if took > delay {
		delay += delay * 48 / 1024
	} else {
		delay -= delay / 1024
	}
	d.ns.Store(int64(min(max(delay, minHedgeDelay), k.slowAfter())))
}

// get returns how long a call of kind k may take before it is hedged.
func (d *hedgeDelay) get(k Kind) time.Duration {
	if ns := d.ns.Load(); ns > 0 {
		return time.Duration(ns)
	}
	return k.slowAfter()
}
