package judge_test

import (
	"testing"
	"time"

	"userinfo/drill/history"
)

func TestEvaluate_ClockSkewFromFaults(t *testing.T) {
	// A set just before another set is read after it. Only a clock difference can excuse this.
	staleRead := func(gap float64, f history.Fault) func(*recording) {
		return func(r *recording) {
			r.fault(f)
			old := r.set("dc1", 30, 31)
			r.set("dc1", 31+gap, 33, through("dc1-b"))
			r.get("dc1", 40, 41, reads(old))
		}
	}
	fault := func(begin, end float64) history.Fault {
		return history.Fault{Name: "clocks", Begin: sec(begin), End: sec(end), Recovered: sec(end), Expect: history.Strain, ClockSkew: 5 * time.Second}
	}
	runCases(t, []testCase{
		{"the fault is active", staleRead(0.5, fault(20, 50)), ""},
		{"the fault is over, but the clock that was ahead is not reached yet", staleRead(0.5, fault(20, 26)), ""},
		{"the fault is over for longer than its skew", staleRead(0.5, fault(20, 24)), "I3"},
		{"the fault starts later", staleRead(0.5, fault(45, 50)), "I3"},
		{"a fault without an end lasts forever", staleRead(0.5, fault(20, 10)), ""},
	})
}
