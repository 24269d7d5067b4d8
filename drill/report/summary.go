package report

import (
	"encoding/json"
	"fmt"
	"maps"
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

	Operations int             `json:"operations"`
	Faults     []Fault         `json:"faults"`
	Verdicts   []judge.Verdict `json:"verdicts"`
}

// Fault is a fault, and the operations that were active at any time from its begin to recovery.
type Fault struct {
	history.Fault
	Operations Tally `json:"operations"`
}

// Tally counts operations by their result for the client.
type Tally struct {
	All     int `json:"all"`
	Errors  int `json:"errors"`  // error answers and missing answers
	Pending int `json:"pending"` // deletes that are complete in their own datacentre and pending elsewhere
}

// Count adds an operation.
func (t *Tally) Count(o *history.Operation) {
	t.All++
	if o.Outcome() == history.Local {
		t.Pending++
	} else if o.Errored() {
		t.Errors++
	}
}

// Summarize returns the summary of a history and its verdicts. The value "command" of the history's environment becomes
// Summary.Command.
func Summarize(h *history.History, verdicts []judge.Verdict) Summary {
	s := Summary{
		Name: h.Name, Seed: h.Seed, Began: h.Began, Rate: h.Rate, Mutant: h.Mutant, Command: h.Environment["command"],
		Environment: maps.Clone(h.Environment), Operations: len(h.Operations), Verdicts: verdicts,
	}
	delete(s.Environment, "command")
	for i := range h.Operations {
		s.Duration = max(s.Duration, h.Operations[i].Complete)
	}
	for i := range h.Faults {
		s.Faults = append(s.Faults, summarizeFault(h, i))
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
			f.Operations.Count(o)
		}
	}
	return f
}

// verdict returns the verdict for an invariant. Without one, it returns a verdict that has checked nothing.
func (s Summary) verdict(invariant string) judge.Verdict {
	if i := slices.IndexFunc(s.Verdicts, func(v judge.Verdict) bool { return v.Invariant == invariant }); i >= 0 {
		return s.Verdicts[i]
	}
	return judge.Verdict{Invariant: invariant}
}

// WriteFile writes the summary to a file.
func (s Summary) WriteFile(file string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// ReadSummary reads a file that WriteFile wrote.
func ReadSummary(file string) (Summary, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Summary{}, err
	}
	var s Summary
	if err := json.Unmarshal(text, &s); err != nil {
		return Summary{}, fmt.Errorf("reading summary %s: %w", file, err)
	}
	if s.Name == "" || len(s.Verdicts) == 0 { // a report would claim too much
		return Summary{}, fmt.Errorf("summary %s has no name or no verdicts; judge the history again", file)
	}
	return s, nil
}
