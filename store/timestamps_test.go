package store

import (
	"slices"
	"sync"
	"testing"
	"time"
)

func TestTimestamps_IncreaseEvenIfTheClockIsSetBack(t *testing.T) {
	clock := time.Unix(1000, 0)
	ts := timestamps{now: func() time.Time { return clock }}
	last := ts.next()
	if last != clock.UnixMicro() {
		t.Errorf("the first timestamp is %d, want the time", last)
	}
	for _, step := range []time.Duration{0, time.Microsecond, -time.Hour, 0, time.Second, 2 * time.Hour} {
		clock = clock.Add(step)
		next := ts.next()
		if next < last+timestampStep {
			t.Errorf("%d follows %d", next, last)
		}
		last = next
	}
	if last != clock.UnixMicro() {
		t.Errorf("after two hours the timestamp is %d, want the time", last)
	}
}

func TestTimestamps_AreUniqueIfUsedConcurrently(t *testing.T) {
	now := time.Now()
	ts := timestamps{now: func() time.Time { return now }}
	all := make([][]int64, 8)
	var running sync.WaitGroup
	for i := range all {
		running.Go(func() {
			for range 1000 {
				all[i] = append(all[i], ts.next())
			}
		})
	}
	running.Wait()
	sorted := slices.Sorted(slices.Values(slices.Concat(all...)))
	for i := 1; i < len(sorted); i++ {
		if sorted[i]-sorted[i-1] < timestampStep {
			t.Fatalf("%d and %d are too close", sorted[i-1], sorted[i])
		}
	}
}
