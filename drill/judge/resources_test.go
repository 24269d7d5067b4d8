package judge_test

import (
	"testing"

	"userinfo/drill/history"
)

// addSamples records one sample of instance "i" each second. change can change each sample.
func (r *recording) addSamples(to int, change func(*history.Sample)) {
	for i := range to {
		s := history.Sample{At: sec(float64(i)), Instance: "i", Goroutines: 100, FDs: 50, RSSBytes: 80 << 20, InFlight: 5, Streams: 5, Local: 3}
		if i > 30 {
			s.InFlight, s.Streams = 1, 0
		}
		change(&s)
		r.Samples = append(r.Samples, s)
	}
}

func TestEvaluate_I5AndI9Resources(t *testing.T) {
	after := func(change func(*history.Sample)) func(*recording) {
		return func(r *recording) {
			r.fault(history.Fault{Name: "f", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.Outage})
			r.get("dc1", 1, 30, of("nothing"))
			r.addSamples(40, func(s *history.Sample) {
				if s.At > sec(10) {
					change(s)
				}
			})
		}
	}
	runCases(t, []testCase{
		{"a process ended by itself", func(r *recording) {
			r.fault(history.Fault{Name: "f", Begin: sec(10), End: sec(20), Recovered: sec(21), Expect: history.Outage, Ended: []string{"i"}})
		}, "I9"},
		{"no change", after(func(*history.Sample) {}), ""},
		{"a small increase", after(func(s *history.Sample) { s.Goroutines, s.FDs, s.RSSBytes = 145, 82, 180<<20 }), ""},
		{"goroutines leak", after(func(s *history.Sample) { s.Goroutines = 146 }), "I9"},
		{"file descriptors leak", after(func(s *history.Sample) { s.FDs = 83 }), "I9"},
		{"memory leaks", after(func(s *history.Sample) { s.RSSBytes = 190 << 20 }), "I9"},
		{"statements stay in flight", after(func(s *history.Sample) { s.Streams = 3 }), "I9"},
		{"requests stay in flight", after(func(s *history.Sample) { s.InFlight = 3 }), "I9"},
		{"requests are in flight during load", func(r *recording) {
			after(func(s *history.Sample) { s.InFlight, s.Streams = 5, 5 })(r)
			r.get("dc1", 41, 42, of("nothing"))
		}, ""},
		{"high use during the fault only", after(func(s *history.Sample) {
			if s.At < sec(25) {
				s.Goroutines, s.InFlight = 5000, 500
			}
		}), ""},
		{"one high value in the last samples", after(func(s *history.Sample) {
			if s.At == sec(38) {
				s.InFlight = 7
			}
		}), ""},
		{"a restarted instance is compared with its first run", after(func(s *history.Sample) { s.Run, s.Goroutines = 1, 200 }), "I9"},
		{"a connection to the other datacentre", after(func(s *history.Sample) {
			if s.At == sec(15) {
				s.Remote = 1
			}
		}), "I5"},
	})
}
