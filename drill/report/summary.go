package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// Summary is what a report needs to know about one drill. It is small enough to keep. In a file it is JSON, with durations in
// nanoseconds.
type Summary struct {
	Name        string            `json:"name"`
	Seed        uint64            `json:"seed"`
	Command     string            `json:"command,omitempty"` // repeats the drill
	Began       time.Time         `json:"began"`
	Rate        float64           `json:"rate"` // operations per second
	Duration    time.Duration     `json:"duration"`
	Mutant      string            `json:"mutant,omitempty"`
	Environment map[string]string `json:"environment"`

	Operations Tally           `json:"operations"`
	Faults     []Fault         `json:"faults"`
	Verdicts   []judge.Verdict `json:"verdicts"`

	Step   time.Duration `json:"step"`   // length of one point of a series, in whole seconds
	Series []Series      `json:"series"` // one for each datacentre
}

// Tally counts operations by their result for the client.
type Tally struct {
	OK      int `json:"ok"`      // includes 404, and 409 for a set that a logout overtook
	Errors  int `json:"errors"`  // error answers and missing answers
	Pending int `json:"pending"` // deletes that are complete here and pending elsewhere
}

// Total returns the number of all operations.
func (t Tally) Total() int { return t.OK + t.Errors + t.Pending }

func (t *Tally) add(o *history.Operation) {
	switch {
	case o.Outcome() == history.Local:
		t.Pending++
	case o.Errored():
		t.Errors++
	default:
		t.OK++
	}
}

// Fault is a fault, and the operations that were active at any time from its begin to recovery.
type Fault struct {
	history.Fault
	Operations Tally `json:"operations"`
}

// Series describes the operations of one datacentre over time, without the final reads. An operation belongs to the step in
// which it was due. Latency counts from then.
type Series struct {
	DC     string          `json:"dc"`
	Errors []int           `json:"errors"`
	P50    []time.Duration `json:"p50"` // of successful operations; 0 if there were none
	P99    []time.Duration `json:"p99"`
}

// maxPoints is the largest number of points in a series.
const maxPoints = 300

// Summarize returns the summary of a history and its verdicts. The value "command" of the history's environment becomes
// Summary.Command.
func Summarize(h *history.History, verdicts []judge.Verdict) Summary {
	s := Summary{
		Name: h.Name, Seed: h.Seed, Began: h.Began, Rate: h.Rate, Mutant: h.Mutant,
		Environment: make(map[string]string), Verdicts: verdicts,
	}
	for k, v := range h.Environment {
		if k == "command" {
			s.Command = v
		} else {
			s.Environment[k] = v
		}
	}
	for i := range h.Operations {
		s.Operations.add(&h.Operations[i])
		s.Duration = max(s.Duration, h.Operations[i].Complete)
	}
	for i, f := range h.Faults {
		s.Duration = max(s.Duration, f.End, f.Recovered)
		s.Faults = append(s.Faults, summarizeFault(h, i))
	}
	s.Step = max(time.Second, (s.Duration/maxPoints + time.Second - 1).Truncate(time.Second))
	for _, dc := range h.Datacentres {
		s.Series = append(s.Series, newSeries(h, dc, s.Step))
	}
	return s
}

// summarizeFault counts the operations of fault i. A fault without recovery lasts until the next fault.
func summarizeFault(h *history.History, i int) Fault {
	f := Fault{Fault: h.Faults[i]}
	until := f.Recovered
	if !f.HasRecovered() {
		until = time.Duration(1<<63 - 1)
		if i+1 < len(h.Faults) {
			until = h.Faults[i+1].Begin
		}
	}
	for j := range h.Operations {
		if o := &h.Operations[j]; !o.Final && o.Invoke <= until && o.Complete >= f.Begin {
			f.Operations.add(o)
		}
	}
	return f
}

func newSeries(h *history.History, dc string, step time.Duration) Series {
	s := Series{DC: dc}
	var latencies [][]time.Duration
	for i := range h.Operations {
		o := &h.Operations[i]
		if o.Final || o.DC != dc {
			continue
		}
		at := int(max(0, o.Due) / step)
		for len(latencies) <= at {
			latencies, s.Errors = append(latencies, nil), append(s.Errors, 0)
		}
		switch {
		case o.Outcome() == history.Local:
		case o.Errored():
			s.Errors[at]++
		default:
			latencies[at] = append(latencies[at], o.Complete-o.Due)
		}
	}
	for _, l := range latencies {
		slices.Sort(l)
		s.P50, s.P99 = append(s.P50, quantile(l, 50)), append(s.P99, quantile(l, 99))
	}
	return s
}

// quantile returns a percentile of sorted values by nearest rank, or 0 if there are no values.
func quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}

// verdict returns the verdict for an invariant. If there is none, nothing was checked.
func (s Summary) verdict(invariant string) judge.Verdict {
	if i := slices.IndexFunc(s.Verdicts, func(v judge.Verdict) bool { return v.Invariant == invariant }); i >= 0 {
		return s.Verdicts[i]
	}
	return judge.Verdict{Invariant: invariant}
}

// check returns an error if the summary would make a report that claims too much. It fails closed.
func (s Summary) check() error {
	var err error
	switch {
	case s.Name == "":
		err = errors.New("it has no name")
	case len(s.Verdicts) == 0:
		err = errors.New("it has no verdicts; judge the history again")
	}
	for _, x := range s.Series {
		if n := len(x.Errors); len(x.P50) != n || len(x.P99) != n {
			err = cmp.Or(err, fmt.Errorf("the series of %q have different lengths", x.DC))
		}
	}
	if err != nil {
		return fmt.Errorf("summary of drill %q: %w", s.Name, err)
	}
	return nil
}

// WriteFile writes the summary to a file.
func (s Summary) WriteFile(file string) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing a summary: %w", err)
	}
	return nil
}

// ReadSummary reads a file that WriteFile wrote.
func ReadSummary(file string) (Summary, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Summary{}, fmt.Errorf("reading a summary: %w", err)
	}
	var s Summary
	if err := json.Unmarshal(text, &s); err != nil {
		return Summary{}, fmt.Errorf("reading summary %s: %w", file, err)
	}
	return s, s.check()
}
