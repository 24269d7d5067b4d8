package report

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// newHistory returns a drill of one minute with ten operations per second, alternating between two datacentres. An operation
// takes 2 ms. During the fault, from 20 s to 40 s, operations in dc1 take 10 ms, and two of them receive no answer.
func newHistory(name string) *history.History {
	h := &history.History{
		Name: name, Seed: 7, Began: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC), Rate: 10, Datacentres: []string{"dc1", "dc2"},
		Environment: map[string]string{"cassandra": "5.0", "command": "drill faults " + name},
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

// held returns a verdict for each invariant, without violations.
func held(checked int) []judge.Verdict {
	var all []judge.Verdict
	for _, name := range judge.Invariants {
		all = append(all, judge.Verdict{Invariant: name, Checked: checked})
	}
	return all
}

func TestSummarize_CountsOperations(t *testing.T) {
	s := Summarize(newHistory("pause"), held(5))
	// 250 operations were due during the fault, and the last of them is active at its end.
	if f := s.Faults[0]; f.Name != "pause" || f.Operations.All != 251 || f.Operations.Errors != 2 {
		t.Errorf("fault %+v", f)
	}
	if s.Duration != 71*time.Second || s.Operations != 601 || s.Command != "drill faults pause" || s.Environment["cassandra"] != "5.0" || len(s.Environment) != 1 {
		t.Errorf("summary %+v", s)
	}
}

func TestSummarize_FaultWithoutRecoveryLastsUntilTheNext(t *testing.T) {
	h := newHistory("pause")
	h.Faults[0].Recovered = 0
	h.Faults = append(h.Faults, history.Fault{Name: "cut", Begin: 50 * time.Second, End: 51 * time.Second, Recovered: 52 * time.Second})
	if s := Summarize(h, held(5)); s.Faults[0].Operations.All != 301 {
		t.Errorf("%d operations", s.Faults[0].Operations.All)
	}
}

func TestTally_SortsAnswersByResult(t *testing.T) {
	var got Tally
	for _, o := range []history.Operation{
		{Method: history.Get, Status: 404}, {Method: history.Set, Status: 409, Problem: "deleted"}, {Method: history.Set, Status: 204},
		{Method: history.Set}, {Method: history.Get, Status: 503}, {Method: history.Delete, Status: 503, Problem: "not-everywhere"},
	} {
		got.Count(&o)
	}
	if want := (Tally{All: 6, Errors: 2, Pending: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestSummary_ReadReturnsWhatWriteWrote(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.json")
	s := Summarize(newHistory("pause"), held(5))
	if err := s.WriteFile(file); err != nil {
		t.Fatal(err)
	}
	got, err := ReadSummary(file)
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("read %+v, %v", got, err)
	}
}

func TestReadSummary_RejectsIncompleteSummaries(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no JSON":     {"drill", "invalid character"},
		"no name":     {`{"verdicts":[{"invariant":"I1"}]}`, "no name"},
		"no verdicts": {`{"name":"n"}`, "no verdicts"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "s.json")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadSummary(file); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	if _, err := ReadSummary(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("no error for a missing file")
	}
}
