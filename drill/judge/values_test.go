package judge_test

import (
	"testing"

	"userinfo/drill/history"
)

func TestEvaluate_I3Values(t *testing.T) {
	twoSets := func(gap float64, get ...detail) func(r *recording) {
		return func(r *recording) {
			s := r.set("dc1", 1, 2)
			r.set("dc1", 2+gap, 3, through("dc1-b"))
			r.get("dc1", 3.1, 3.2, append([]detail{reads(s)}, get...)...)
		}
	}
	runCases(t, []testCase{
		{"a damaged value", func(r *recording) { r.get("dc1", 1, 2, reads(history.Torn)) }, "I3"},
		{"another key's value", func(r *recording) {
			s := r.set("dc1", 1, 2, of("other"))
			r.get("dc1", 3, 4, reads(s), ofKey("other"))
		}, "I3"},
		{"a value that names another key", func(r *recording) {
			s := r.set("dc1", 1, 2)
			r.get("dc1", 3, 4, reads(s), ofKey("other"))
		}, "I3"},
		{"a version of another key that names this key", func(r *recording) {
			s := r.set("dc1", 1, 2, of("other"))
			r.get("dc1", 3, 4, reads(s))
		}, "I3"},
		{"a version that no set wrote", func(r *recording) { r.get("dc1", 3, 4, reads(99)) }, "I3"},
		{"the value of a set that was refused", func(r *recording) {
			s := r.set("dc1", 1, 2, problem(503, "overloaded"))
			r.get("dc1", 3, 4, reads(s))
		}, "I3"},
		{"the value of a set that failed but was applied", func(r *recording) {
			s := r.set("dc1", 1, 2, unavailable)
			r.get("dc1", 3, 4, reads(s))
		}, ""},
		{"the value of a set that started after the get", func(r *recording) {
			r.get("dc1", 1, 2, reads(2))
			r.set("dc1", 3, 4)
		}, "I3"},
		{"the value of a set that started during the get", func(r *recording) {
			r.get("dc1", 1, 2, reads(2))
			r.set("dc1", 1.9, 4)
		}, ""},
		{"a stale read", twoSets(0.1), "I3"},
		{"two sets within the clock tolerance: either may be returned", twoSets(0.01), ""},
		{"a set in the other datacentre may not be replicated yet", func(r *recording) {
			s := r.set("dc1", 1, 2)
			r.set("dc2", 3, 4)
			r.get("dc1", 5, 6, reads(s))
		}, ""},
		{"a read that started before the newer set was acknowledged", func(r *recording) {
			s := r.set("dc1", 1, 2)
			r.set("dc1", 3, 4)
			r.get("dc1", 3.9, 4.1, reads(s))
		}, ""},
		{"the newer set was not acknowledged", func(r *recording) {
			s := r.set("dc1", 1, 2)
			r.set("dc1", 3, 4, unavailable)
			r.get("dc1", 5, 6, reads(s))
		}, ""},
		{"a version that was overwritten is returned again", func(r *recording) {
			s := r.set("dc1", 1, 4)
			r.get("dc1", 1.5, 1.6, reads(s))
			n := r.set("dc1", 2, 2.5)
			r.get("dc1", 2.6, 2.7, reads(n))
			r.get("dc1", 4.1, 4.2, reads(s))
		}, "I3"},
		{"two sets overlap: the first to end may win", func(r *recording) {
			s := r.set("dc1", 1, 4)
			n := r.set("dc1", 2, 2.5)
			r.get("dc1", 2.6, 2.7, reads(n))
			r.get("dc1", 4.1, 4.2, reads(s))
		}, ""},
		{"with skewed clocks the older set may win", func(r *recording) { r.fault(skewedClocks); twoSets(0.5)(r) }, ""},
		{"with skewed clocks a set that is older by more than the skew does not win", func(r *recording) {
			r.fault(skewedClocks)
			s := r.set("dc1", 1, 2)
			r.set("dc1", 23, 24, through("dc1-b"))
			r.get("dc1", 25, 26, reads(s))
		}, "I3"},
	})
}
