package coordinator

import (
	"sync/atomic"
	"time"
)

// A breaker opens after maxFailures failures in a row, or when its node is superseded for too long (recordSuperseded). While it
// is open, it allows one probe each probeInterval.
const (
	maxFailures   = 3
	probeInterval = time.Second
)

// breaker is the circuit breaker of one node. It lives as long as the Runner. The zero breaker is closed.
type breaker struct {
	failures  atomic.Int32 // in a row
	nextProbe atomic.Int64 // when an open breaker allows the next probe, ns since 1970
	suspected atomic.Int64 // when the node was first superseded after its last success, ns since 1970; 0 if it was not
}

// open reports whether the node keeps failing.
func (b *breaker) open() bool { return b.failures.Load() >= maxFailures }

// takeProbe reports whether the breaker is open and a probe is due. If so, the next one is due after probeInterval.
func (b *breaker) takeProbe(now time.Time) bool {
	if !b.open() {
		return false
	}
	due := b.nextProbe.Load()
	return now.UnixNano() >= due && b.nextProbe.CompareAndSwap(due, now.Add(probeInterval).UnixNano())
}

// recordSuccess closes the breaker.
func (b *breaker) recordSuccess() {
	b.suspected.Store(0)
	b.failures.Store(0)
}

// recordSuperseded records that an attempt on this node is not needed any more: another node has answered, or the caller has
// left. This happens to a healthy node, too. But if the node was first superseded at least SlowAfter ago, and has not succeeded
// since, recordSuperseded opens the breaker: where calls are few, too many of them would wait for a hedged attempt before the
// third failure. A probe is due at once, so that the breaker of a healthy node closes soon. recordSuperseded returns true if the
// node is superseded for the first time since its last success.
func (b *breaker) recordSuperseded(now time.Time) (first bool) {
	if b.suspected.CompareAndSwap(0, now.UnixNano()) {
		return true
	}
	if since := b.suspected.Load(); since != 0 && now.UnixNano()-since >= int64(SlowAfter) {
		b.recordFailures(maxFailures, now)
	}
	return false
}

// recordFailure counts a failure. The third in a row opens the breaker.
func (b *breaker) recordFailure(now time.Time) { b.recordFailures(1, now.Add(probeInterval)) }

// recordFailures counts n failures. If they open the breaker, the first probe is due at probe.
func (b *breaker) recordFailures(n int32, probe time.Time) {
	if all := b.failures.Add(n); all >= maxFailures && all-n < maxFailures {
		b.nextProbe.Store(probe.UnixNano())
	}
}
