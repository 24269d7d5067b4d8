package judge_test

import (
	"math"
	"slices"
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

// slowedFrom sets the duration of operations in dc1: usual ms before from, then slow ms until to.
func slowedFrom(usual, from, to, slow float64) func(float64, *history.Operation) {
	return func(at float64, o *history.Operation) {
		slowed(0, 1000, usual)(at, o)
		slowed(from, to, slow)(at, o)
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
	straining := history.Fault{Name: "straining", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.NoErrors}
	with := func(change func(float64, *history.Operation)) func(*recording) {
		return func(r *recording) { r.fault(paused); r.addLoad(0, 40, change) }
	}
	runCases(t, []testCase{
		{"no effect", with(slowed(0, 0, 0)), ""},
		{"errors in the first second", with(failing("dc1", 10, 11)), ""},
		{"an error after the first second", with(failing("dc1", 11.1, 11.15)), "I8"},
		{"errors after the return of the node", with(failing("dc2", 21, 21.1)), "I8"},
		{"three times as slow as 40 ms during the fault", with(slowedFrom(40, 10, 20, 120)), ""},
		{"slower than that", with(slowedFrom(40, 10, 20, 121)), "I8"},
		{"100 ms during the fault", with(slowed(10, 20, 100)), ""},
		{"more than 100 ms during the fault", with(slowed(10, 20, 101)), "I8"},
		{"slow for five seconds after the end", with(slowed(20, 24.9, 101)), ""},
		{"slow for longer than five seconds", with(slowed(20, 26.5, 101)), "I8"},
		{"slow until the end of the history", with(slowed(20, 40, 101)), "I8"},
		{"one slow request each second", with(func(at float64, o *history.Operation) {
			if at >= 20 && math.Mod(at, 1) == 0 {
				o.Complete = o.Due + time.Second
			}
		}), ""},
		{"slow before the fault, so that the machine is too busy", with(slowedFrom(51, 10, 40, 500)), ""},
		{"the same with an error", with(func(at float64, o *history.Operation) {
			slowedFrom(51, 10, 40, 500)(at, o)
			failing("dc1", 12, 12.05)(at, o)
		}), "I8"},
		{"slow during a fault that slows nodes", func(r *recording) { r.fault(straining); r.addLoad(0, 40, slowed(10, 20, 500)) }, ""},
		{"slow after a fault that slows nodes", func(r *recording) { r.fault(straining); r.addLoad(0, 40, slowed(20, 26.5, 500)) }, "I8"},
		{"an error during a fault that slows nodes", func(r *recording) { r.fault(straining); r.addLoad(0, 40, failing("dc1", 12, 12.05)) }, "I8"},
		{"an error that a later fault caused in a request from before", func(r *recording) {
			r.fault(paused)
			r.fault(history.Fault{Name: "outage", Begin: sec(30), End: sec(35), Recovered: sec(36), Expect: history.Outage})
			r.addLoad(0, 40, func(at float64, o *history.Operation) {
				if at >= 29.9 && at < 30 {
					o.Status, o.Complete = 0, sec(30.1)
				}
			})
		}, ""},
		{"errors of a later fault", func(r *recording) {
			r.fault(paused)
			r.fault(history.Fault{Name: "outage", Begin: sec(30), End: sec(35), Recovered: sec(36), Expect: history.Outage})
			r.addLoad(0, 40, failing("dc1", 30, 35))
		}, ""},
		{"latency during an earlier fault is no baseline", func(r *recording) {
			r.fault(history.Fault{Name: "strain", Begin: sec(1), End: sec(8), Recovered: sec(8), Expect: history.Strain})
			r.fault(paused)
			r.addLoad(0, 40, func(at float64, o *history.Operation) {
				slowed(0, 8, 500)(at, o)
				slowed(10, 40, 101)(at, o)
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
		{"errors in the first second", with(failing("dc1", 10, 11)), ""},
		{"one error after the first second", with(failing("dc1", 11.1, 11.12)), "I7"},
		{"deletes are answered 503", with(func(_ float64, o *history.Operation) {
			if o.DC == "dc1" && o.ID%100 == 1 {
				o.Method, o.Status, o.Problem, o.Complete = history.Delete, 503, "not-everywhere", o.Due+time.Second/2
			}
		}), ""},
		{"100 ms", with(slowed(10, 20, 100)), ""},
		{"slower than that", with(slowed(10, 20, 101)), "I7"},
		{"slow for longer than five seconds", with(slowed(20, 26.5, 101)), "I7"},
		{"errors for ten seconds after the return of the lost datacentre", with(failing("dc2", 10, 29.9)), ""},
		{"errors for longer", with(failing("dc2", 10, 30.1)), "I8"},
		{"slow for ten seconds after the return of the lost datacentre", with(func(at float64, o *history.Operation) {
			if at >= 10 && at < 29.9 && o.DC == "dc2" {
				o.Complete = o.Due + sec(1)
			}
		}), ""},
		{"slow for longer", with(func(at float64, o *history.Operation) {
			if at >= 10 && at < 31.1 && o.DC == "dc2" {
				o.Complete = o.Due + sec(1)
			}
		}), "I8"},
		{"a partition with errors in either datacentre", func(r *recording) {
			f := lost
			f.Datacentre = ""
			r.fault(f)
			r.addLoad(0, 40, failing("dc2", 12, 12.1))
		}, "I7"},
	})
}

func TestEvaluate_I7DeletesThatKnowTheCut(t *testing.T) {
	lost := history.Fault{Name: "lost", Begin: sec(10), End: sec(30), Recovered: sec(31), Expect: history.OtherDatacentre}
	inFirstRun := func(o *history.Operation) { o.Run = 1 }
	inSecondRun := func(o *history.Operation) { o.Run = 2 }
	with := func(deletes func(*recording)) func(*recording) {
		return func(r *recording) {
			r.fault(lost)
			r.addLoad(0, 40, slowed(0, 0, 0))
			deletes(r)
		}
	}
	unconfirmed := func(r *recording, from, to float64, details ...detail) {
		r.delete("dc1", from, to, append([]detail{of("deleted"), notEverywhere}, details...)...)
	}
	two := func(r *recording) {
		unconfirmed(r, 11, 13.3, inFirstRun)
		unconfirmed(r, 11.5, 13.8, inFirstRun)
	}
	runCases(t, []testCase{
		{"the third is fast", with(func(r *recording) { two(r); unconfirmed(r, 14, 14.5, inFirstRun) }), ""},
		{"the third is slow", with(func(r *recording) { two(r); unconfirmed(r, 14, 14.6, inFirstRun) }), "I7"},
		{"the third is slow, and there are no requests before the fault", func(r *recording) {
			r.fault(lost)
			r.addLoad(11, 40, slowed(0, 0, 0))
			two(r)
			unconfirmed(r, 14, 14.6, inFirstRun)
		}, "I7"},
		{"the third is slow because the machine stalled", func(r *recording) {
			r.fault(lost)
			r.addLoad(0, 40, sentLate(14.2, 14.4, 50*time.Millisecond))
			two(r)
			unconfirmed(r, 14, 14.6, inFirstRun)
		}, ""},
		{"the third is slow and has no answer", with(func(r *recording) { two(r); unconfirmed(r, 14, 17, inFirstRun, unanswered) }), "I7"},
		{"the third began before the second was answered", with(func(r *recording) { two(r); unconfirmed(r, 13.7, 16, inFirstRun) }), ""},
		{"the third is of another process", with(func(r *recording) { two(r); unconfirmed(r, 14, 16.3, inSecondRun) }), ""},
		{"the third is of another instance", with(func(r *recording) { two(r); unconfirmed(r, 14, 16.3, inFirstRun, through("dc1-b")) }), ""},
		{"the second was complete", with(func(r *recording) {
			two(r)
			r.delete("dc1", 14, 14.1, of("deleted"), inFirstRun)
			unconfirmed(r, 15, 17.3, inFirstRun)
		}), ""},
		{"after the end of the fault", with(func(r *recording) { two(r); unconfirmed(r, 30.1, 32.4, inFirstRun) }), ""},
	})
}

func TestEvaluate_SaysWhereLatencyWasNotJudged(t *testing.T) {
	for name, test := range map[string]struct {
		ms   float64
		from float64
		want string
	}{
		"calm":     {50, 0, ""},
		"busy":     {51, 0, "machine too busy: I7 and I8 not judged for latency"},
		"no calls": {5, 9.5, "too few requests before the fault: I7 and I8 not judged for latency"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecording()
			r.fault(history.Fault{Name: "paused", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.OneNode})
			r.addLoad(test.from, 40, slowedFrom(test.ms, 10, 40, 500))
			i := slices.IndexFunc(judge.Evaluate(&r.History), func(v judge.Verdict) bool { return v.Invariant == "I8" })
			v := judge.Evaluate(&r.History)[i]
			if v.Note != test.want || v.Violated() != (test.want == "") || v.LatencyNotJudged() > 0 != (test.want != "") {
				t.Errorf("note %q, violated %t, not judged %d", v.Note, v.Violated(), v.LatencyNotJudged())
			}
		})
	}
}

func TestEvaluate_ReportsFiguresWithoutAViolation(t *testing.T) {
	r := newRecording()
	r.fault(history.Fault{Name: "paused", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.OneNode})
	r.addLoad(0, 40, func(at float64, o *history.Operation) {
		slowed(10, 20, 100)(at, o)
		slowed(20, 22, 150)(at, o)
	})
	for _, v := range judge.Evaluate(&r.History) {
		if v.Invariant != "I8" {
			continue
		}
		ms := func(p50, p99 time.Duration) judge.Latency {
			return judge.Latency{P50: p50 * time.Millisecond, P99: p99 * time.Millisecond}
		}
		want := judge.Figures{Fault: "paused", DC: "dc1", Requests: 500, Before: ms(5, 5), During: ms(100, 100), After: ms(5, 150), FullSpeedAfter: 2 * time.Second}
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
