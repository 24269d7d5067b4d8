package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// What is kept of a drill is bounded, so that its summary stays under 200 kB: points of all series together, faults,
// violations of each invariant and the length of each one's text.
const (
	maxPoints     = 3000
	maxFaults     = 80
	maxViolations = 5
	maxWhat       = 400 // bytes
	maxOperations = 20  // named by a violation
)

// Summary is one drill, small enough to be kept beside its history and in a repository. In a file it is JSON; durations
// are in nanoseconds, as in a history, and latencies in milliseconds.
type Summary struct {
	Name        string            `json:"name"`
	Seed        uint64            `json:"seed"`
	Command     string            `json:"command,omitempty"` // repeats it
	Began       time.Time         `json:"began"`
	Rate        float64           `json:"rate"` // operations per second
	Duration    time.Duration     `json:"duration"`
	Datacentres []string          `json:"datacentres"`
	Mutant      string            `json:"mutant,omitempty"`
	Watched     bool              `json:"watched,omitempty"`
	Environment map[string]string `json:"environment"`

	Operations Tally           `json:"operations"`
	Faults     []Fault         `json:"faults"`
	Omitted    int             `json:"omitted_faults,omitempty"` // beyond the first maxFaults
	Verdicts   []judge.Verdict `json:"verdicts"`

	Step   time.Duration `json:"step"` // whole seconds: what a point of a series stands for
	Series []Series      `json:"series"`
}

// Tally counts operations by what their clients were told.
type Tally struct {
	Right   int `json:"right"`             // done or answered; also 404, and 409 for a set that lost against a delete
	Failed  int `json:"failed"`            // an error, and nothing done
	Unknown int `json:"unknown,omitempty"` // an error or no answer, and perhaps done
	Local   int `json:"local,omitempty"`   // a delete that is done here and pending elsewhere
}

// Total counts all of them.
func (t Tally) Total() int { return t.Right + t.Failed + t.Unknown + t.Local }

// Errors counts those that their client has to count as failed.
func (t Tally) Errors() int { return t.Failed + t.Unknown }

func (t *Tally) add(o Tally) {
	t.Right += o.Right
	t.Failed += o.Failed
	t.Unknown += o.Unknown
	t.Local += o.Local
}

// of is the tally of one operation.
func of(o *history.Operation) Tally {
	switch outcome := o.Outcome(); {
	case outcome == history.OK, outcome == history.Failed && o.Problem == "deleted":
		return Tally{Right: 1}
	case outcome == history.Local:
		return Tally{Local: 1}
	case outcome == history.Failed:
		return Tally{Failed: 1}
	}
	return Tally{Unknown: 1}
}

// Summarize keeps of a history and its verdicts what a report shows. The environment's "command", if it has one, is the
// command that repeats the drill.
func Summarize(h *history.History, verdicts []judge.Verdict) Summary {
	s := Summary{
		Name: h.Name, Seed: h.Seed, Began: h.Began, Rate: h.Rate, Datacentres: h.Datacentres, Mutant: h.Mutant,
		Watched: h.Watched, Environment: make(map[string]string), Verdicts: shorten(verdicts),
	}
	for k, v := range h.Environment {
		if k == "command" {
			s.Command = v
		} else {
			s.Environment[k] = v
		}
	}
	for i := range h.Operations {
		s.Operations.add(of(&h.Operations[i]))
		s.Duration = max(s.Duration, h.Operations[i].Complete)
	}
	for _, f := range h.Faults {
		s.Duration = max(s.Duration, f.End, f.Recovered)
	}
	s.Step, s.Series = series(h)
	s.Faults = faults(h)
	if n := len(s.Faults); n > maxFaults {
		s.Faults, s.Omitted = s.Faults[:maxFaults], n-maxFaults
	}
	return s
}

// shorten bounds the evidence; Broken still counts all of it.
func shorten(verdicts []judge.Verdict) []judge.Verdict {
	verdicts = slices.Clone(verdicts)
	for i := range verdicts {
		v := &verdicts[i]
		v.Note = cut(v.Note)
		v.Violations = firstOfEach(v.Violations)
		for j := range v.Violations {
			w := &v.Violations[j]
			w.What = cut(w.What)
			w.Operations = w.Operations[:min(len(w.Operations), maxOperations)]
		}
	}
	return verdicts
}

// firstOfEach keeps maxViolations, those of different faults before more of the same.
func firstOfEach(all []judge.Violation) []judge.Violation {
	var first, more []judge.Violation
	seen := make(map[string]bool)
	for _, v := range all {
		if seen[v.Fault] {
			more = append(more, v)
		} else {
			first = append(first, v)
		}
		seen[v.Fault] = true
	}
	first = append(first, more...)
	return first[:min(len(first), maxViolations)]
}

// cut ends a text at maxWhat bytes, between characters.
func cut(text string) string {
	if len(text) <= maxWhat {
		return text
	}
	n := maxWhat
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

// Write puts s into a file.
func (s Summary) Write(file string) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing a summary: %w", err)
	}
	return nil
}

// ReadSummary reads what Write has written.
func ReadSummary(file string) (Summary, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Summary{}, fmt.Errorf("reading a summary: %w", err)
	}
	s, err := parse(text)
	if err != nil {
		return Summary{}, fmt.Errorf("reading summary %s, which has to be as a drill has written it: %w", file, err)
	}
	return s, nil
}

func parse(text []byte) (s Summary, err error) {
	if err := json.Unmarshal(text, &s); err != nil {
		return s, err
	}
	return s, s.check()
}

// check finds what cannot be drawn.
func (s Summary) check() error {
	switch {
	case s.Name == "":
		return errors.New("it has no name")
	case s.Duration < 0 || s.Duration > 366*24*time.Hour:
		return fmt.Errorf("its duration is %v", s.Duration)
	case s.Step < time.Second:
		return fmt.Errorf("its step is %v, and less than a second", s.Step)
	case len(s.Series) != len(s.Datacentres):
		return fmt.Errorf("it has %d series for %d datacentres", len(s.Series), len(s.Datacentres))
	}
	for _, x := range s.Series {
		n := len(x.Right)
		if n > maxPoints || len(x.Failed) != n || len(x.Unknown) != n || len(x.Local) != n || len(x.P50) != n || len(x.P99) != n {
			return fmt.Errorf("the columns of the series of %q differ in length, or have more than %d points", x.DC, maxPoints)
		}
		for _, ms := range slices.Concat(x.P50, x.P99) {
			if !(ms >= 0 && ms < 1e9) { // nor NaN
				return fmt.Errorf("the series of %q has a latency of %v ms", x.DC, ms)
			}
		}
		for _, count := range slices.Concat(x.Right, x.Failed, x.Unknown, x.Local) {
			if count < 0 || count > math.MaxInt32 {
				return fmt.Errorf("the series of %q has a count of %d", x.DC, count)
			}
		}
	}
	for _, f := range s.Faults {
		if f.Begin < 0 || f.End < f.Begin {
			return fmt.Errorf("fault %q begins at %v and ends at %v", f.Name, f.Begin, f.End)
		}
	}
	return nil
}
