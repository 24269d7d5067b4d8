package judge_test

import (
	"math"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// addLoad records 50 gets a second in each datacentre, which take 5 ms. change can change each get.
func (r *recording) addLoad(from, to float64, change func(at float64, o *history.Operation)) {
	for i := range int((to - from) * 50) {
		at := from + float64(i)/50
		for _, dc := range r.Datacentres {
			r.get(dc, at, at+0.005, of("nothing"), func(o *history.Operation) { change(at, o) })
		}
	}
}

// slowed sets the duration of operations in dc1 that are due within [from, to).
func slowed(from, to, ms float64) func(float64, *history.Operation) {
	return func(at float64, o *history.Operation) {
		if at >= from && at < to && o.DC == "dc1" {
			o.Complete = o.Due + time.Duration(ms*float64(time.Millisecond))
		}
	}
}

// failing makes operations in dc fail that are due within [from, to).
func failing(dc string, from, to float64) func(float64, *history.Operation) {
	return func(at float64, o *history.Operation) {
		if at >= from && at < to && o.DC == dc {
			o.Status, o.Problem = 503, "unavailable"
		}
	}
}

func TestEvaluate_I8OneNodeLost(t *testing.T) {
	paused := history.Fault{Name: "paused", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.OneNode, Datacentre: "dc1"}
	with := func(change func(float64, *history.Operation)) func(*recording) {
		return func(r *recording) { r.fault(paused); r.addLoad(0, 40, change) }
	}
	runCases(t, []testCase{
		{"no effect", with(slowed(0, 0, 0)), ""},
		{"errors in the first second", with(failing("dc1", 10, 11)), ""},
		{"an error after the first second", with(failing("dc1", 11.1, 11.15)), "I8"},
		{"errors after the return of the node", with(failing("dc2", 21, 21.1)), "I8"},
		{"slow during the fault and for five seconds", with(slowed(10, 24.9, 100)), ""},
		{"slow for longer than five seconds", with(slowed(10, 26.5, 100)), "I8"},
		{"slow until the end of the history", with(slowed(10, 40, 100)), "I8"},
		{"one slow request each second", with(func(at float64, o *history.Operation) {
			if at >= 20 && math.Mod(at, 1) == 0 {
				o.Complete = o.Due + time.Second
			}
		}), ""},
		{"slow before the fault and after it", with(slowed(0, 40, 100)), ""},
		{"errors of a later fault", func(r *recording) {
			r.fault(paused)
			r.fault(history.Fault{Name: "outage", Begin: sec(30), End: sec(35), Recovered: sec(36), Expect: history.Outage})
			r.addLoad(0, 40, failing("dc1", 30, 35))
		}, ""},
		{"latency during an earlier fault is no baseline", func(r *recording) {
			r.fault(history.Fault{Name: "strain", Begin: sec(1), End: sec(8), Recovered: sec(8), Expect: history.Strain})
			r.fault(paused)
			r.addLoad(0, 40, func(at float64, o *history.Operation) {
				slowed(0, 8, 100)(at, o)
				slowed(10, 40, 100)(at, o)
			})
		}, "I8"},
		{"errors during an overlapping outage", func(r *recording) {
			r.fault(history.Fault{Name: "outage", Begin: sec(5), End: sec(9), Recovered: sec(15), Expect: history.Outage})
			r.fault(paused)
			r.addLoad(0, 40, failing("dc1", 5, 15))
		}, ""},
	})
}

func TestEvaluate_I7OtherDatacentreLost(t *testing.T) {
	lost := history.Fault{Name: "lost", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.OtherDatacentre, Datacentre: "dc2"}
	with := func(change func(float64, *history.Operation)) func(*recording) {
		return func(r *recording) { r.fault(lost); r.addLoad(0, 40, change) }
	}
	runCases(t, []testCase{
		{"errors in the datacentre that is lost", with(failing("dc2", 10, 20)), ""},
		{"one error in the other datacentre", with(failing("dc1", 10, 10.02)), "I7"},
		{"deletes are answered 503", with(func(_ float64, o *history.Operation) {
			if o.DC == "dc1" && o.ID%100 == 1 {
				o.Method, o.Status, o.Problem, o.Complete = history.Delete, 503, "not-everywhere", o.Due+2*time.Second
			}
		}), ""},
		{"twice as slow", with(slowed(10, 20, 10)), ""},
		{"slower than that", with(slowed(10, 20, 21)), "I7"},
		{"a partition with errors in either datacentre", func(r *recording) {
			f := lost
			f.Datacentre = ""
			r.fault(f)
			r.addLoad(0, 40, failing("dc2", 12, 12.1))
		}, "I7"},
	})
}

func TestEvaluate_ReportsFiguresWithoutAViolation(t *testing.T) {
	r := newRecording()
	r.fault(history.Fault{Name: "paused", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.OneNode})
	r.addLoad(0, 40, slowed(10, 22, 100))
	for _, v := range judge.Evaluate(&r.History) {
		if v.Invariant != "I8" {
			continue
		}
		ms := func(p50, p99 time.Duration) judge.Latency {
			return judge.Latency{P50: p50 * time.Millisecond, P99: p99 * time.Millisecond}
		}
		want := judge.Figures{Fault: "paused", DC: "dc1", Requests: 500, Before: ms(5, 5), During: ms(100, 100), After: ms(5, 100), FullSpeedAfter: 2 * time.Second}
		if len(v.Figures) != 2 || v.Checked != 1000 {
			t.Fatalf("checked %d, figures %+v", v.Checked, v.Figures)
		}
		got := v.Figures[0]
		got.Before.P99 = got.Before.P99.Round(time.Microsecond)
		if got != want {
			t.Errorf("figures %+v, want %+v", got, want)
		}
	}
}
