package cassandra

import (
	"crypto/rand"
	"sync"
	"time"

	"userinfo/store"
)

// segment is a segment of pending deletes that this process fills. No other process writes entries into it. See
// pending.go.
type segment struct {
	name string

	mu      sync.Mutex // guards the fields below
	entries int        // number of entries for which it was chosen
	used    int64      // the last timestamp of its row in the list of segments
}

// newSegment returns a segment whose first entry will be d. Names sort by the time of the first entry. The random part makes
// names of different processes differ.
func newSegment(d store.Deletion) *segment {
	return &segment{name: time.UnixMicro(d.Marker).UTC().Format("2006-01-02T15:04:05Z") + "-" + rand.Text()}
}

// addEntry counts an entry. It returns false if the segment is full.
func (s *segment) addEntry() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries == segmentSize {
		return false
	}
	s.entries++
	return true
}

// nextUse returns a new timestamp for the segment's row. It is larger than every timestamp before it, and at least atLeast.
func (s *segment) nextUse(atLeast int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = max(s.used+1, atLeast)
	return s.used
}

// openSegments are the segments that a Table fills, one for each bucket.
type openSegments struct {
	mu   sync.Mutex // guards open
	open [store.PendingBuckets]*segment
}

// forEntry returns the segment for the entry of d.
func (o *openSegments) forEntry(bucket int, d store.Deletion) *segment {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.open[bucket]
	if s == nil || !s.addEntry() {
		s = newSegment(d)
		s.addEntry()
		o.open[bucket] = s
	}
	return s
}

// leave makes later entries of a bucket go to another segment than s.
func (o *openSegments) leave(bucket int, s *segment) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[bucket] == s {
		o.open[bucket] = nil
	}
}
