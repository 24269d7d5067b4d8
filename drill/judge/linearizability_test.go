package judge_test

import (
	"testing"
)

func TestEvaluate_LLinearizability(t *testing.T) {
	runCases(t, []testCase{
		{"a get returns a version that an overlapping set had replaced", func(r *recording) {
			a, b := r.set("dc1", 1, 4, pinned), r.set("dc1", 1, 4, pinned)
			r.get("dc1", 2, 2.1, reads(a), pinned)
			r.get("dc1", 2.2, 2.3, reads(b), pinned)
			r.get("dc1", 2.4, 2.5, reads(a), pinned)
		}, "L"},
		{"the same on a key that is used in both datacentres", func(r *recording) {
			a, b := r.set("dc1", 1, 4), r.set("dc1", 1, 4)
			r.get("dc1", 2, 2.1, reads(a))
			r.get("dc1", 2.2, 2.3, reads(b))
			r.get("dc1", 2.4, 2.5, reads(a))
		}, ""},
		{"gets that overlap may have any order", func(r *recording) {
			a, b := r.set("dc1", 1, 4, pinned), r.set("dc1", 1, 4, pinned)
			r.get("dc1", 2, 2.3, reads(a), pinned)
			r.get("dc1", 2.2, 2.5, reads(b), pinned)
			r.get("dc1", 2.1, 2.5, reads(a), pinned)
		}, ""},
		{"a value comes back after a delete without an answer was seen", func(r *recording) {
			s := r.set("dc1", 1, 2, pinned)
			r.delete("dc1", 3, 6, unanswered, pinned)
			r.get("dc1", 7, 8, pinned)
			r.get("dc1", 9, 10, reads(s), pinned)
		}, "L"},
		{"a delete without an answer may arrive late", func(r *recording) {
			s := r.set("dc1", 1, 2, pinned)
			r.delete("dc1", 3, 6, unanswered, pinned)
			r.get("dc1", 7, 8, reads(s), pinned)
			r.get("dc1", 9, 10, pinned)
		}, ""},
		{"a set without an answer may arrive late", func(r *recording) {
			a := r.set("dc1", 1, 2, pinned)
			b := r.set("dc1", 3, 6, unavailable, pinned)
			r.get("dc1", 7, 8, reads(a), pinned)
			r.get("dc1", 9, 10, reads(b), pinned)
		}, ""},
		{"a pending delete counts in its datacentre", func(r *recording) {
			r.fault(partition)
			r.set("dc1", 1, 2, pinned)
			r.delete("dc1", 12, 14, notEverywhere, pinned)
			r.set("dc1", 15, 16, fenced, pinned)
			r.get("dc1", 17, 18, pinned)
		}, ""},
		{"without a fence each of two deletes without an answer may have arrived", func(r *recording) {
			r.Fence = 0
			r.set("dc1", 1, 2, pinned)
			r.delete("dc1", 3, 6, unanswered, pinned)
			r.get("dc1", 7, 8, pinned)
			s := r.set("dc1", 9, 10, pinned)
			r.get("dc1", 11, 12, reads(s), pinned)
			r.delete("dc1", 13, 16, unanswered, pinned)
			r.get("dc1", 17, 18, pinned)
		}, ""},
		{"a set after the fence is outside the model", func(r *recording) {
			r.delete("dc1", 2, 2.1, pinned)
			s := r.set("dc1", 62.5, 63, pinned)
			r.get("dc1", 64, 65, reads(s), pinned)
		}, ""},
		{"a value that expires is outside the model", func(r *recording) {
			s := r.set("dc1", 1, 2, ttl(5), pinned)
			r.get("dc1", 3, 4, reads(s), pinned)
			r.get("dc1", 9, 10, pinned)
		}, ""},
		{"skewed clocks are outside the model", func(r *recording) {
			r.fault(skewedClocks)
			a, b := r.set("dc1", 1, 1.1, pinned), r.set("dc1", 2, 2.1, pinned)
			r.get("dc1", 3, 4, reads(a), pinned)
			r.get("dc1", 5, 6, reads(b), pinned)
			r.get("dc1", 7, 8, reads(a), pinned)
		}, ""},
		{"a piece does not end at a get while a set is active", func(r *recording) {
			r.addPairs(200) // a piece, and as many as make the next end at the first get
			a, b := r.set("dc1", 1000, 1003, pinned), r.set("dc1", 1000, 1003, pinned)
			r.get("dc1", 1001, 1001.1, reads(a), pinned)
			r.get("dc1", 1002, 1002.1, reads(b), pinned)
		}, ""},
		{"a piece does not end at a get that overlaps with the next set", func(r *recording) {
			last := r.addPairs(201)
			s := r.set("dc1", 301, 301.1, pinned)
			r.get("dc1", 300, 302, reads(last), pinned)
			r.get("dc1", 303, 304, reads(s), pinned)
		}, ""},
		{"a piece does not end at a get that found nothing", func(r *recording) {
			r.delete("dc1", 1, 1.1, pinned)
			for i := range 300 {
				r.get("dc1", 2+float64(i)/10, 2.05+float64(i)/10, pinned)
			}
			s := r.set("dc1", 40, 41, pinned)
			r.get("dc1", 70, 71, reads(s), pinned)
		}, "I1 L"},
		{"a long history is searched in pieces", func(r *recording) {
			last := r.addPairs(1000)
			r.set("dc1", 1000, 1003, pinned)
			r.get("dc1", 1001, 1001.1, reads(last+2), pinned)
			r.get("dc1", 1002, 1002.1, reads(last), pinned)
		}, "L"},
	})
}

// addPairs records n sets, one a second, each followed by a get. It returns the last version.
func (r *recording) addPairs(n int) (last int64) {
	for i := range n {
		at := float64(i)
		last = r.set("dc1", at, at+0.5, pinned)
		r.get("dc1", at+0.6, at+0.7, reads(last), pinned)
	}
	return last
}
