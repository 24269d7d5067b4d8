package topk

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// check compares a sketch with the true number of occurrences of each id.
func check(t *testing.T, s *Sketch[string], truth map[uint64]uint64, capacity int) {
	t.Helper()
	entries := s.Entries()
	var counted uint64
	for _, n := range truth {
		counted += n
	}
	if len(entries) > capacity || len(entries) != len(s.index) || len(entries) != len(s.order) || s.Counted() != counted {
		t.Fatalf("%d entries, %d in the index, %d in order, %d counted; want at most %d, and %d counted",
			len(entries), len(s.index), len(s.order), s.Counted(), capacity, counted)
	}
	found := make(map[uint64]bool)
	for i, e := range entries {
		n := truth[e.ID]
		if found[e.ID] || n > e.Count || n < e.Seen() || e.Error > counted/uint64(capacity) || s.order[e.at] != int32(i) || s.index[e.ID] != int32(i) {
			t.Fatalf("entry %+v of an id that occurred %d times in %d", e, n, counted)
		}
		found[e.ID] = true
	}
	if !slices.IsSortedFunc(s.order, func(a, b int32) int { return int(entries[b].Count) - int(entries[a].Count) }) {
		t.Fatal("the order is not sorted")
	}
	for id, n := range truth {
		if !found[id] && (n > counted/uint64(capacity) || n > s.Floor()) {
			t.Fatalf("id %d occurred %d times in %d and has no entry; the floor is %d", id, n, counted, s.Floor())
		}
	}
}

func TestSketch_KeepsItsInvariants(t *testing.T) {
	const capacity = 16
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.2, 1, 10_000)
	for name, next := range map[string]func(i int) uint64{
		"few ids":      func(i int) uint64 { return uint64(i % 10) },
		"many ids":     func(i int) uint64 { return uint64(i % 1000) },
		"all distinct": func(i int) uint64 { return uint64(i) },
		"one id":       func(int) uint64 { return 7 },
		"Zipf":         func(int) uint64 { return zipf.Uint64() },
		"one among many": func(i int) uint64 {
			if i%10 == 0 {
				return 1 << 40
			}
			return uint64(i)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, truth := New[string](capacity), make(map[uint64]uint64)
			for i := range 3000 {
				id := next(i)
				truth[id]++
				if e := s.Add(id); e.ID != id || e.Seen() == 0 {
					t.Fatalf("Add(%d) returns %+v", id, e)
				}
				if i%100 == 0 {
					check(t, s, truth, capacity)
				}
			}
			check(t, s, truth, capacity)
		})
	}
}

func TestSketch_ReplacedEntryForgetsItsValue(t *testing.T) {
	s := New[string](1)
	s.Add(1).Value = "of 1"
	if e := s.Add(1); e.Value != "of 1" || e.Seen() != 2 {
		t.Errorf("the same id: %+v", e)
	}
	if e := s.Add(2); e.Value != "" || e.Seen() != 1 || e.Error != 2 {
		t.Errorf("another id: %+v", e)
	}
}

func TestSketch_Reset(t *testing.T) {
	s := New[string](4)
	for id := range uint64(9) {
		s.Add(id)
	}
	s.Reset()
	check(t, s, nil, 4)
	s.Add(1)
	check(t, s, map[uint64]uint64{1: 1}, 4)
}

func FuzzSketch(f *testing.F) {
	f.Add(byte(3), []byte("abacabadabacaba"))
	f.Add(byte(1), []byte{0, 0, 1, 1, 2, 2})
	f.Fuzz(func(t *testing.T, capacity byte, stream []byte) {
		k := int(capacity%32) + 1
		s, truth := New[string](k), make(map[uint64]uint64)
		for _, b := range stream {
			truth[uint64(b)]++
			s.Add(uint64(b))
		}
		check(t, s, truth, k)
	})
}

func BenchmarkSketch_Add(b *testing.B) {
	for name, ids := range map[string]uint64{"followed": 1000, "distinct": 1 << 40} {
		b.Run(name, func(b *testing.B) {
			s := New[string](4096)
			random := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				s.Add(random.Uint64N(ids))
			}
		})
	}
}

// TestSketch_MemoryIsBounded counts what a sketch holds after many more ids than it follows.
func TestSketch_MemoryIsBounded(t *testing.T) {
	const capacity = 64
	s := New[string](capacity)
	for i := range uint64(100 * capacity) {
		s.Add(binary.BigEndian.Uint64([]byte{1, 2, 3, 4, 5, 6, byte(i >> 8), byte(i)}))
	}
	if len(s.entries) != capacity || cap(s.entries) > 2*capacity || len(s.index) != capacity || cap(s.order) > 2*capacity {
		t.Errorf("%d entries (%d), %d in the index, %d in order", len(s.entries), cap(s.entries), len(s.index), cap(s.order))
	}
}
