// Package topk finds the most frequent ids of a stream in bounded memory, with the Space-Saving algorithm of Metwally,
// Agrawal and El Abbadi ("Efficient computation of frequent and top-k elements in data streams", 2005).
//
// A sketch has a fixed number of entries, one for each id that it follows. If an id that it does not follow arrives and all
// entries are taken, the entry with the smallest count now follows the new id, and keeps its count as the possible error.
//
// Invariants, for a sketch of k entries that has counted n ids:
//
//  1. The sketch has at most k entries, whatever arrives.
//  2. An id that has occurred more than n/k times has an entry.
//  3. An entry's id has occurred at most Count times, and at least Count - Error times. Count - Error is how often the sketch has
//     seen the id since the entry follows it.
//  4. order has the index of every entry once, by descending Count; entries[order[i]].at is i.
//
// It does not defend against ids that a client chooses so that they collide: its caller computes them with a secret.
package topk

import (
	"slices"
	"sort"
)

// Sketch counts ids. V is what its user keeps about an id. A Sketch must not be used concurrently.
type Sketch[V any] struct {
	capacity int
	counted  uint64
	entries  []Entry[V]
	index    map[uint64]int32 // id → index in entries
	order    []int32          // indexes in entries, by descending Count
}

// Entry is what a Sketch knows about one id.
type Entry[V any] struct {
	ID uint64
	// Count is the largest possible number of occurrences.
	Count uint64
	// Error is by how much Count may be too large, at most.
	Error uint64
	// Value belongs to the user of the Sketch. It is the zero V when the entry begins to follow its id.
	Value V

	at int // index in Sketch.order
}

// Seen returns how often the id has occurred since the entry follows it: the smallest possible number of occurrences.
func (e *Entry[V]) Seen() uint64 { return e.Count - e.Error }

// New returns a Sketch of at most capacity entries, which must be positive.
func New[V any](capacity int) *Sketch[V] {
	return &Sketch[V]{capacity: capacity, index: make(map[uint64]int32)}
}

// Add counts one occurrence of an id and returns its entry, which is valid until the next call of a method. If Seen returns 1, the
// entry is new.
func (s *Sketch[V]) Add(id uint64) *Entry[V] {
	s.counted++
	i, followed := s.index[id]
	switch {
	case followed:
	case len(s.entries) < s.capacity:
		i = int32(len(s.entries))
		s.entries = append(s.entries, Entry[V]{ID: id, at: len(s.order)})
		s.order = append(s.order, i)
		s.index[id] = i
	default:
		i = s.order[len(s.order)-1]
		e := &s.entries[i]
		delete(s.index, e.ID)
		*e = Entry[V]{ID: id, Count: e.Count, Error: e.Count, at: e.at}
		s.index[id] = i
	}
	e := &s.entries[i]
	s.moveBefore(e)
	e.Count++
	return e
}

// moveBefore moves e before all entries with the same Count, so that order stays sorted when this Count grows.
func (s *Sketch[V]) moveBefore(e *Entry[V]) {
	first := sort.Search(e.at, func(i int) bool { return s.entries[s.order[i]].Count <= e.Count })
	other := &s.entries[s.order[first]]
	s.order[first], s.order[e.at] = s.order[e.at], s.order[first]
	e.at, other.at = other.at, e.at
}

// Counted returns how many occurrences of all ids have been counted.
func (s *Sketch[V]) Counted() uint64 { return s.counted }

// Floor returns the largest possible number of occurrences of an id that has no entry.
func (s *Sketch[V]) Floor() uint64 {
	if len(s.entries) < s.capacity {
		return 0
	}
	return s.entries[s.order[len(s.order)-1]].Count
}

// Entries returns a copy of the entries, in no order.
func (s *Sketch[V]) Entries() []Entry[V] { return slices.Clone(s.entries) }

// Reset forgets everything.
func (s *Sketch[V]) Reset() {
	clear(s.entries) // so that nothing in a Value is kept
	clear(s.index)
	s.counted, s.entries, s.order = 0, s.entries[:0], s.order[:0]
}
