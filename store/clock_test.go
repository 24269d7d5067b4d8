package store

import (
	"testing"
	"time"
)

func TestTimestampsGrowWhateverTheClockDoes(t *testing.T) {
	clock := time.Unix(1000, 0)
	s := stamps{now: func() time.Time { return clock }}
	last := s.next()
	for _, step := range []time.Duration{0, time.Microsecond, -time.Hour, 0, time.Second, 2 * time.Hour} {
		clock = clock.Add(step)
		if next := s.next(); next <= last {
			t.Errorf("%d came after %d", next, last)
		} else {
			last = next
		}
	}
}
