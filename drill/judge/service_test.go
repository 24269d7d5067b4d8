package judge_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// load adds 50 gets a second in each of both datacentres, of 5 ms, but for what change does to them.
func (p *plot) load(from, to float64, change func(at float64, o *history.Operation)) {
	for i := range int((to - from) * 50) {
		at := from + float64(i)/50
		for _, dc := range p.Datacentres {
			p.get(dc, at, at+0.005, of("nothing"), func(o *history.Operation) { change(at, o) })
		}
	}
}

// late has operations due within [from, to) in dc1 take so many milliseconds.
func late(from, to, ms float64) func(float64, *history.Operation) {
	return func(at float64, o *history.Operation) {
		if at >= from && at < to && o.DC == "dc1" {
			o.Complete = o.Due + time.Duration(ms*float64(time.Millisecond))
		}
	}
}

// failing has operations due within [from, to) in dc fail.
func failing(dc string, from, to float64) func(float64, *history.Operation) {
	return func(at float64, o *history.Operation) {
		if at >= from && at < to && o.DC == dc {
			o.Status, o.Problem = 503, "unavailable"
		}
	}
}

func TestOneNodeAway(t *testing.T) {
	paused := history.Fault{Name: "paused", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.OneNode, Datacentre: "dc1"}
	with := func(change func(float64, *history.Operation)) func(*plot) {
		return func(p *plot) { p.fault(paused); p.load(0, 40, change) }
	}
	run(t, []planted{
		{"nothing is seen of it", with(late(0, 0, 0)), ""},
		{"errors in the first second", with(failing("dc1", 10, 11)), ""},
		{"an error after the first second", with(failing("dc1", 11.1, 11.15)), "I8"},
		{"errors once it is back", with(failing("dc2", 21, 21.1)), "I8"},
		{"slow while it lasts and for five seconds", with(late(10, 24.9, 100)), ""},
		{"slow for longer", with(late(10, 26.5, 100)), "I8"},
		{"slow until the end of the history", with(late(10, 40, 100)), "I8"},
		{"one slow request now and then", with(func(at float64, o *history.Operation) {
			if at >= 20 && math.Mod(at, 1) == 0 {
				o.Complete = o.Due + time.Second
			}
		}), ""},
		{"what was slow before may be slow after", with(late(0, 40, 100)), ""},
		{"errors of a later fault are that one's", func(p *plot) {
			p.fault(paused)
			p.fault(history.Fault{Name: "outage", Begin: sec(30), End: sec(35), Recovered: sec(36), Expect: history.Outage})
			p.load(0, 40, failing("dc1", 30, 35))
		}, ""},
		{"what was slow in an earlier fault is not what was before", func(p *plot) {
			p.fault(history.Fault{Name: "strain", Begin: sec(1), End: sec(8), Recovered: sec(8), Expect: history.Strain})
			p.fault(paused)
			p.load(0, 40, func(at float64, o *history.Operation) {
				late(0, 8, 100)(at, o)
				late(10, 40, 100)(at, o)
			})
		}, "I8"},
		{"errors while there is an outage too are that one's", func(p *plot) {
			p.fault(history.Fault{Name: "outage", Begin: sec(5), End: sec(9), Recovered: sec(15), Expect: history.Outage})
			p.fault(paused)
			p.load(0, 40, failing("dc1", 5, 15))
		}, ""},
	})
}

func TestTheOtherDatacentreAway(t *testing.T) {
	lost := history.Fault{Name: "lost", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.OtherDatacentre, Datacentre: "dc2"}
	with := func(change func(float64, *history.Operation)) func(*plot) {
		return func(p *plot) { p.fault(lost); p.load(0, 40, change) }
	}
	run(t, []planted{
		{"its own clients have errors", with(failing("dc2", 10, 20)), ""},
		{"a client elsewhere has an error", with(failing("dc1", 10, 10.02)), "I7"},
		{"deletes are answered 503", with(func(_ float64, o *history.Operation) {
			if o.DC == "dc1" && o.ID%100 == 1 {
				o.Method, o.Status, o.Problem, o.Complete = history.Delete, 503, "not-everywhere", o.Due+2*time.Second
			}
		}), ""},
		{"twice as slow", with(late(10, 20, 10)), ""},
		{"slower than that", with(late(10, 20, 21)), "I7"},
		{"nobody's datacentre is lost in a partition", func(p *plot) {
			f := lost
			f.Datacentre = ""
			p.fault(f)
			p.load(0, 40, failing("dc2", 12, 12.1))
		}, "I7"},
	})
}

func TestFiguresAreToldWithoutViolations(t *testing.T) {
	p := newPlot()
	p.fault(history.Fault{Name: "paused", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.OneNode})
	p.load(0, 40, late(10, 22, 100))
	for _, v := range judge.Check(&p.History) {
		if v.Invariant != "I8" {
			continue
		}
		want := "paused in dc1: 500 requests, 0 errors, p50/p99 5/5 ms before, 100/100 ms during, 5/100 ms after, full speed 2s after its end"
		if first, _, _ := strings.Cut(v.Note, "; "); first != want || v.Checked != 1000 {
			t.Errorf("checked %d, note %q", v.Checked, v.Note)
		}
	}
}

// samples has instance "i" look the same at every second but for change.
func (p *plot) samples(to int, change func(*history.Sample)) {
	for i := range to {
		s := history.Sample{At: sec(float64(i)), Instance: "i", Goroutines: 100, FDs: 50, RSSBytes: 80 << 20, InFlight: 5, Streams: 5, Local: 3}
		if i > 30 {
			s.InFlight, s.Streams = 1, 0
		}
		change(&s)
		p.Samples = append(p.Samples, s)
	}
}

func TestResources(t *testing.T) {
	after := func(change func(*history.Sample)) func(*plot) {
		return func(p *plot) {
			p.fault(history.Fault{Name: "f", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.Outage})
			p.get("dc1", 1, 30, of("nothing"))
			p.samples(40, func(s *history.Sample) {
				if s.At > sec(10) {
					change(s)
				}
			})
		}
	}
	run(t, []planted{
		{"all is as it was", after(func(*history.Sample) {}), ""},
		{"a little more is left", after(func(s *history.Sample) { s.Goroutines, s.FDs, s.RSSBytes = 145, 82, 180<<20 }), ""},
		{"goroutines are left", after(func(s *history.Sample) { s.Goroutines = 146 }), "I9"},
		{"descriptors are left", after(func(s *history.Sample) { s.FDs = 83 }), "I9"},
		{"memory is left", after(func(s *history.Sample) { s.RSSBytes = 190 << 20 }), "I9"},
		{"statements are left in flight", after(func(s *history.Sample) { s.Streams = 3 }), "I9"},
		{"requests are left in flight", after(func(s *history.Sample) { s.InFlight = 3 }), "I9"},
		{"requests are in flight while there is load", func(p *plot) {
			after(func(s *history.Sample) { s.InFlight, s.Streams = 5, 5 })(p)
			p.get("dc1", 41, 42, of("nothing"))
		}, ""},
		{"much is used during the fault alone", after(func(s *history.Sample) {
			if s.At < sec(25) {
				s.Goroutines, s.InFlight = 5000, 500
			}
		}), ""},
		{"one of the last samples sees something pass", after(func(s *history.Sample) {
			if s.At == sec(38) {
				s.InFlight = 7
			}
		}), ""},
		{"another run of the instance is held against the first", after(func(s *history.Sample) { s.Run, s.Goroutines = 1, 200 }), "I9"},
		{"no datacentre filter", after(func(s *history.Sample) {
			if s.At == sec(15) {
				s.Remote = 1
			}
		}), "I5"},
	})
}

func TestCounts(t *testing.T) {
	counts := func(all ...history.Count) func(*plot) { return func(p *plot) { p.Counts = all } }
	is := func(status, clients, metrics, log int) history.Count {
		return history.Count{Instance: "i", Method: history.Get, Status: status, Clients: clients, Metrics: metrics, Log: log}
	}
	run(t, []planted{
		{"all agree", counts(is(200, 5, 5, 5), is(503, 1, 1, 1)), ""},
		{"a failure is counted as a success", counts(is(200, 5, 6, 5), is(503, 1, 0, 1)), "I10"},
		{"the log has one less", counts(is(200, 5, 5, 4)), "I10"},
		{"the service has one more than there were clients without an answer", counts(is(200, 5, 7, 7), is(0, 1, 0, 0)), "I10"},
		{"the service has one more for a client without an answer", counts(is(200, 5, 6, 6), is(0, 1, 0, 0)), ""},
		{"the service has one more for a client that left", counts(is(200, 5, 6, 6), is(499, 0, 1, 1)), ""},
		{"a client has an answer that the service does not have, whoever else had none", counts(is(200, 5, 4, 4), is(0, 3, 0, 0)), "I10"},
		{"metrics and log differ, whoever had no answer", counts(is(200, 5, 6, 5), is(0, 1, 0, 0)), "I10"},
		{"a run that was killed has no metrics, and a log without its last lines", counts(is(200, 5, -1, 3), is(0, 1, -1, 0)), ""},
		{"a run that was killed has hardly a log", counts(is(200, 50, -1, 3), is(0, 1, -1, 0)), "I10"},
		{"a run that was killed has logged what nobody asked", counts(is(200, 5, -1, 7), is(0, 1, -1, 0)), "I10"},
	})
}

func TestAVerdictSaysWhatWasInForceAndKeepsTheFirstViolations(t *testing.T) {
	p := newPlot()
	p.fault(history.Fault{Name: "first", Begin: sec(1), End: sec(5), Recovered: sec(5)})
	p.fault(history.Fault{Name: "second", Begin: sec(2), End: sec(3), Recovered: sec(3)})
	for i := range 30 {
		p.get("dc1", 30-float64(i), 30.5, reads(history.Torn))
	}
	verdicts := judge.Check(&p.History)
	v := verdicts[2]
	if len(verdicts) != 11 || v.Invariant != "I3" || v.Checked != 30 || v.Broken != 30 || len(v.Violations) != 20 {
		t.Fatalf("%d verdicts, third: %+v", len(verdicts), v)
	}
	for i, want := range []string{"first", "second", "second", "first", "first", "first"} {
		w := v.Violations[i]
		if w.At != sec(float64(i+1)) || w.Fault != want || len(w.Operations) != 1 || w.Operations[0] != int64(30-i) {
			t.Errorf("violation %d, expected under %s: %+v", i, want, w)
		}
	}
}

func TestAnEmptyHistorySaysThatNothingWasChecked(t *testing.T) {
	for _, v := range judge.Check(&history.History{}) {
		if v.Checked != 0 || v.Broken != 0 || v.Note == "" {
			t.Errorf("%+v", v)
		}
	}
}
