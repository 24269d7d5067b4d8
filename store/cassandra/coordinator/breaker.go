package coordinator

import (
	"sync/atomic"
	"time"
)

// A breaker opens after maxFailures failures in a row. While it is open, it allows one request each probeInterval.
const (
	maxFailures   = 3
	probeInterval = time.Second
)

// breaker is the circuit breaker of one node. It lives as long as the Runner. The zero breaker is closed.
type breaker struct {
	failures  atomic.Int32 // in a row
	nextProbe atomic.Int64 // when an open breaker allows a request again, ns since 1970
}

// open reports whether the node keeps failing.
func (b *breaker) open() bool { return b.failures.Load() >= maxFailures }

// allow reports whether the node may be asked before others. If the breaker is open, a true result uses up the probe:
// the next one is allowed after probeInterval.
func (b *breaker) allow(now time.Time) bool {
	if !b.open() {
		return true
	}
	due := b.nextProbe.Load()
	return now.UnixNano() >= due && b.nextProbe.CompareAndSwap(due, now.Add(probeInterval).UnixNano())
}

// recordSuccess closes the breaker.
func (b *breaker) recordSuccess() { b.failures.Store(0) }

// recordFailure counts a failure. The third in a row opens the breaker.
func (b *breaker) recordFailure(now time.Time) {
	if b.failures.Add(1) == maxFailures {
		b.nextProbe.Store(now.Add(probeInterval).UnixNano())
	}
}
