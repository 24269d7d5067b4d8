package judge

import (
	"math/bits"
	"slices"
	"sort"
	"time"
)

// leaders finds, of what had happened by some time, the one with the largest rank.
type leaders[T any] struct {
	at   []time.Duration
	best []T
}

func newLeaders[T any](all []T, at, rank func(T) time.Duration) leaders[T] {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b T) int { return int(at(a) - at(b)) })
	l := leaders[T]{at: make([]time.Duration, len(sorted)), best: sorted}
	for i, x := range sorted {
		l.at[i] = at(x)
		if i > 0 && rank(sorted[i-1]) > rank(x) {
			sorted[i] = sorted[i-1]
		}
	}
	return l
}

// before gives the leader of those strictly before t.
func (l leaders[T]) before(t time.Duration) (leader T, ok bool) {
	i := sort.Search(len(l.at), func(i int) bool { return l.at[i] >= t })
	if i == 0 {
		return leader, false
	}
	return l.best[i-1], true
}

// lows finds the least value in a range of times, in constant time after two searches: of every stretch whose length is a
// power of two it knows the least.
type lows struct {
	at    []time.Duration
	least [][]time.Duration // [p][i]: of 2^p values from i on
}

func newLows(all []*write, at, value func(*write) time.Duration) lows {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b *write) int { return int(at(a) - at(b)) })
	l := lows{at: make([]time.Duration, len(sorted))}
	row := make([]time.Duration, len(sorted))
	for i, w := range sorted {
		l.at[i], row[i] = at(w), value(w)
	}
	for width := 1; len(row) > 0; width *= 2 {
		l.least = append(l.least, row)
		next := make([]time.Duration, max(0, len(row)-width))
		for i := range next {
			next[i] = min(row[i], row[i+width])
		}
		row = next
	}
	return l
}

// within is the least value at from ≤ time ≤ to; forever where there is none.
func (l lows) within(from, to time.Duration) time.Duration {
	i := sort.Search(len(l.at), func(i int) bool { return l.at[i] >= from })
	j := sort.Search(len(l.at), func(i int) bool { return l.at[i] > to })
	if i >= j {
		return forever
	}
	p := bits.Len(uint(j-i)) - 1
	return min(l.least[p][i], l.least[p][j-1<<p])
}

// lowerBound is the index of the first of sorted writes that was invoked at t or later.
func lowerBound(sorted []*write, t time.Duration) int {
	return sort.Search(len(sorted), func(i int) bool { return sorted[i].Invoke >= t })
}
