package store

import (
	"sync/atomic"
	"time"
)

// stampStep is the least distance between two timestamps of a process, in µs: room for the touches between two sets,
// each of which adds one. Touches of one value that do not wait for each other share a timestamp.
const stampStep = 64

// stamps gives out write timestamps: µs since 1970, each later than the one before, whatever the clock does.
type stamps struct {
	now  func() time.Time
	last atomic.Int64
}

// next is taken once per operation, on its arrival.
func (s *stamps) next() int64 {
	for {
		last := s.last.Load()
		t := max(s.now().UnixMicro(), last+stampStep)
		if s.last.CompareAndSwap(last, t) {
			return t
		}
	}
}
