package cassandra

import (
	"slices"
	"testing"
	"time"

	"userinfo/store"
)

func TestOpenSegments_AreNeverLargerThanAllowed(t *testing.T) {
	var o openSegments
	d := store.Deletion{Marker: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC).UnixMicro()}
	entries := make(map[string]int)
	var names []string
	for n := range 3 * segmentSize {
		d.Marker += time.Second.Microseconds() * int64(n%2)
		name := o.forEntry(7, d).name
		if entries[name]++; entries[name] == 1 {
			names = append(names, name)
		}
	}
	if len(names) != 3 || !slices.IsSorted(names) || names[0][:20] != "2030-01-02T03:04:05Z" {
		t.Errorf("the segments are %q, want three in the order of time", names)
	}
	for name, n := range entries {
		if n > segmentSize {
			t.Errorf("segment %s has %d entries", name, n)
		}
	}
}

func TestOpenSegments_DifferByBucketAndProcess(t *testing.T) {
	var one, two openSegments
	var d store.Deletion
	names := map[string]bool{}
	for bucket := range store.PendingBuckets {
		names[one.forEntry(bucket, d).name] = true
		names[two.forEntry(bucket, d).name] = true
	}
	if len(names) != 2*store.PendingBuckets {
		t.Errorf("%d names for %d segments", len(names), 2*store.PendingBuckets)
	}
}

func TestOpenSegments_LeaveChangesOnlyTheSegmentThatFailed(t *testing.T) {
	var o openSegments
	var d store.Deletion
	failed := o.forEntry(0, d)
	o.leave(0, failed)
	next := o.forEntry(0, d)
	if next == failed {
		t.Error("the segment that failed is used again")
	}
	o.leave(0, failed) // another entry in it has failed too
	if o.forEntry(0, d) != next {
		t.Error("a segment that works was left")
	}
}

func TestSegment_NextUseGrows(t *testing.T) {
	s := newSegment(store.Deletion{})
	var last int64
	for _, marker := range []int64{10, 10, 5, 20, 0} {
		used := s.nextUse(marker)
		if used <= last || used < marker {
			t.Errorf("after %d and at least %d: got %d", last, marker, used)
		}
		last = used
	}
}
