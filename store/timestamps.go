package store

import (
	"sync/atomic"
	"time"
)

// timestampStep is the smallest difference between two timestamps of a Collection, in µs. It leaves room for the touches
// between two sets: each touch adds 1 to the timestamp of the value.
const timestampStep = 64

// timestamps generates write timestamps in µs since 1970. Each one is larger than the one before, even if the clock is
// set back. It is safe for concurrent use.
type timestamps struct {
	now  func() time.Time
	last atomic.Int64
}

// next returns a new timestamp. An operation calls it once, when it arrives.
func (t *timestamps) next() int64 {
	for {
		last := t.last.Load()
		next := max(t.now().UnixMicro(), last+timestampStep)
		if t.last.CompareAndSwap(last, next) {
			return next
		}
	}
}

// TimestampStep is the smallest difference between two timestamps of a Timestamps, in µs.
const TimestampStep = timestampStep

// Timestamps generates write timestamps for other packages, with the rules of a Collection.
type Timestamps struct{ timestamps timestamps }

// NewTimestamps returns Timestamps that read the clock now.
func NewTimestamps(now func() time.Time) *Timestamps { return &Timestamps{timestamps{now: now}} }

// Next returns a new timestamp in µs since 1970, at least TimestampStep larger than the one before.
func (t *Timestamps) Next() int64 { return t.timestamps.next() }
