package store

import (
	"sync/atomic"
	"time"
)

// stamps gives out write timestamps: µs since 1970, each larger than the one before, whatever the clock does.
type stamps struct {
	now  func() time.Time
	last atomic.Int64
}

// next is taken once per operation, on its arrival.
func (s *stamps) next() int64 {
	for {
		last := s.last.Load()
		t := max(s.now().UnixMicro(), last+1)
		if s.last.CompareAndSwap(last, t) {
			return t
		}
	}
}
