package store

import (
	"sync/atomic"
	"time"
)

// pace is how long all but one read in fifty take at one coordinator: one that takes longer is hedged, but not before
// soonestHedge and never later than hedgeAfter. An answer that took longer raises it by 48/1024, any other lowers it by
// 1/1024, so that it rests where the former are one in 49. It has no lock: of two answers at once one may count for nothing.
//
// One in fifty, for it bounds what hedges cost whatever the latencies look like. A multiple of the median does not: with
// four medians, six nodes on two busy cores answered one request in six twice, all that the savings allow, and only one in
// four of those hedges won. Where all are slow the pace rises to hedgeAfter within some thirty reads, and reads are hedged
// as late, and as seldom, as writes. A node that has stopped does not raise it, as what is never answered does not count.
// Below 5 ms hedges would chase the pauses of collectors, on either side.
type pace struct{ wait atomic.Int64 } // ns; 0 before the first answer

const soonestHedge = 5 * time.Millisecond

func (p *pace) observe(took time.Duration) {
	wait := p.hedgeAfter()
	if took > wait {
		wait += wait * 48 / 1024
	} else {
		wait -= wait / 1024
	}
	p.wait.Store(int64(min(max(wait, soonestHedge), hedgeAfter)))
}

// hedgeAfter is how long a read may take before another coordinator is asked beside.
func (p *pace) hedgeAfter() time.Duration {
	if wait := p.wait.Load(); wait > 0 {
		return time.Duration(wait)
	}
	return hedgeAfter
}
