package judge_test

import "testing"

func TestEvaluate_ArrivalOfSetsWithoutAnAnswer(t *testing.T) {
	runCases(t, []testCase{
		{"a set that was returned had arrived before", func(r *recording) {
			old := r.set("dc1", 1, 4, unanswered)
			r.get("dc1", 5, 6, reads(old))
			newer := r.set("dc1", 7, 8)
			r.get("dc1", 9, 10, reads(newer))
			r.get("dc1", 11, 12, reads(old))
		}, "I3"},
		{"a set that was not returned may arrive at any time", func(r *recording) {
			old := r.set("dc1", 1, 4, unanswered)
			newer := r.set("dc1", 7, 8)
			r.get("dc1", 9, 10, reads(newer))
			r.get("dc1", 11, 12, reads(old))
		}, ""},
	})
}
