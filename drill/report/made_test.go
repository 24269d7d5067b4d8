package report

import (
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// hostile is a name that is markup in a page, and in a table of Markdown.
const hostile = `<script>alert("1")</script> | *cut*`

// made is a drill of a minute at ten operations a second, in two datacentres in turns: 2 ms each, but during the fault,
// from 20 s to 40 s, 10 ms in dc1 with an error in each of the first two seconds; recovered at 45 s.
func made(name string) *history.History {
	h := &history.History{
		Name: name, Seed: 7, Began: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC), Rate: 10, Datacentres: []string{"dc1", "dc2"},
		Environment: map[string]string{"Cassandra": "5.0", "command": "drill run " + name},
		Faults:      []history.Fault{{Name: "pause", Begin: 20 * time.Second, End: 40 * time.Second, Recovered: 45 * time.Second, Expect: history.OneNode}},
	}
	for i := range 600 {
		due := time.Duration(i) * 100 * time.Millisecond
		o := history.Operation{ID: int64(i + 1), Due: due, Invoke: due, Complete: due + 2*time.Millisecond, DC: h.Datacentres[i%2],
			Method: history.Get, Key: "k", Status: 200}
		if o.DC == "dc1" && due >= 20*time.Second && due < 40*time.Second {
			o.Complete = due + 10*time.Millisecond
			if due == 20*time.Second || due == 21*time.Second {
				o.Status, o.Method, o.Complete = 0, history.Set, due+3*time.Second
			}
		}
		h.Operations = append(h.Operations, o)
	}
	h.Operations = append(h.Operations, history.Operation{ID: 601, Due: 70 * time.Second, Invoke: 70 * time.Second, Complete: 71 * time.Second,
		DC: "dc1", Method: history.Get, Key: "k", Status: 200, Final: true})
	return h
}

// allHeld is a verdict for each invariant, on n operations.
func allHeld(n int) []judge.Verdict {
	var all []judge.Verdict
	for _, p := range promises {
		all = append(all, judge.Verdict{Invariant: p.Invariant, Checked: n})
	}
	return all
}

// breaking is allHeld, but an invariant is broken so often, of which so many violations are told.
func breaking(invariant string, broken int, told ...judge.Violation) []judge.Verdict {
	all := allHeld(100)
	for i := range all {
		if all[i].Invariant == invariant {
			all[i].Broken, all[i].Violations = broken, told
		}
	}
	return all
}
