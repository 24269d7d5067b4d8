package judge

import (
	"cmp"
	"slices"
	"time"

	"userinfo/drill/history"
)

// lateSend is how long after its due time the load generator may send a request. It has more workers than requests in
// flight, so it is later only if the machine did not give it the CPU.
const lateSend = 10 * time.Millisecond

// stalls are the times in which the machine did not run the load generator, in order and apart from each other. The
// nodes and the generator share its cores, so nothing else ran in time either.
type stalls []stall

type stall struct{ from, to time.Duration }

// findStalls finds the stalls by the requests that were sent late.
func findStalls(operations []history.Operation) (s stalls) {
	for i := range operations {
		if o := &operations[i]; !o.Final && o.Invoke-o.Due > lateSend {
			s = append(s, stall{o.Due, o.Invoke})
		}
	}
	slices.SortFunc(s, func(a, b stall) int { return cmp.Compare(a.from, b.from) })
	merged := s[:0]
	for _, next := range s {
		if last := len(merged) - 1; last >= 0 && next.from <= merged[last].to {
			merged[last].to = max(merged[last].to, next.to)
		} else {
			merged = append(merged, next)
		}
	}
	return merged
}

// affected reports whether there was a stall at any time from when an operation was due until its answer. How long the
// operation took then says nothing about the service.
func (s stalls) affected(o *history.Operation) bool {
	i, _ := slices.BinarySearchFunc(s, o.Due, func(t stall, due time.Duration) int { return cmp.Compare(t.to, due) })
	return i < len(s) && s[i].from < o.Complete
}

// unaffected returns the operations that no stall affected.
func (s stalls) unaffected(operations []*history.Operation) (some []*history.Operation) {
	for _, o := range operations {
		if !s.affected(o) {
			some = append(some, o)
		}
	}
	return some
}
