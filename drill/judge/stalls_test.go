package judge_test

import (
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// sentLate makes the load generator send every fifth operation late, of those that are due within [from, to).
func sentLate(from, to float64, late time.Duration) func(float64, *history.Operation) {
	n := 0
	return func(at float64, o *history.Operation) {
		if at < from || at >= to {
			return
		}
		if n++; n%5 == 0 {
			o.Invoke = o.Due + late
			o.Complete = max(o.Complete, o.Invoke+time.Millisecond)
		}
	}
}

func TestEvaluate_LeavesStallsOfTheMachineOut(t *testing.T) {
	paused := history.Fault{Name: "paused", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.OneNode, Datacentre: "dc1"}
	with := func(changes ...func(float64, *history.Operation)) func(*recording) {
		return func(r *recording) {
			r.fault(paused)
			r.addLoad(0, 40, func(at float64, o *history.Operation) {
				for _, change := range changes {
					change(at, o)
				}
			})
		}
	}
	runCases(t, []testCase{
		{"slow while the generator is late", with(slowed(12, 12.5, 300), sentLate(12, 12.5, 50*time.Millisecond)), ""},
		{"slow while it is late by 10 ms", with(slowed(12, 12.5, 300), sentLate(12, 12.5, 10*time.Millisecond)), "I8"},
		{"slow at another time", with(slowed(12, 12.5, 300), sentLate(14, 14.5, 50*time.Millisecond)), "I8"},
		{"full speed apart from stalls", with(slowed(20, 40, 300), sentLate(20, 40, 200*time.Millisecond)), ""},
		{"an error while it is late", with(failing("dc1", 12, 12.5), sentLate(12, 12.5, 50*time.Millisecond)), "I8"},
	})
}

func TestEvaluate_DoesNotJudgeLatencyIfStallsAreLong(t *testing.T) {
	for name, test := range map[string]struct {
		to   float64 // end of the stalls in the fault, which takes 10 s
		want string
	}{
		"a tenth of the fault": {11, ""},
		"a third of the fault": {13.5, "machine too busy: I7 and I8 not judged for latency"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecording()
			r.fault(history.Fault{Name: "paused", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.OneNode})
			late := sentLate(10, test.to, 200*time.Millisecond)
			r.addLoad(0, 40, func(at float64, o *history.Operation) {
				slowed(10, 20, 300)(at, o)
				late(at, o)
			})
			for _, v := range judge.Evaluate(&r.History) {
				if v.Invariant == "I8" && (v.Note != test.want || v.Violated() != (test.want == "")) {
					t.Errorf("note %q, violated %t", v.Note, v.Violated())
				}
			}
		})
	}
}

// Requests to a lost datacentre take seconds, so a few stalls affect them all. The judge must still check the time after its
// return.
func TestEvaluate_JudgesReturnOfDatacentreDespiteStalls(t *testing.T) {
	with := func(slowUntil float64) func(*recording) {
		return func(r *recording) {
			r.fault(history.Fault{Name: "lost", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.OtherDatacentre, Datacentre: "dc1"})
			late := sentLate(10, 20, 20*time.Millisecond)
			r.addLoad(0, 60, func(at float64, o *history.Operation) {
				slowed(10, 20, 2800)(at, o)
				slowed(20, slowUntil, 300)(at, o)
				late(at, o)
			})
		}
	}
	runCases(t, []testCase{{"slow for ten seconds", with(29.9), ""}, {"slow for longer", with(31.5), "I8"}})
}
