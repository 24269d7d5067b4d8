package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"userinfo/drill/judge"
	"userinfo/drill/report"
)

func TestSettings_ResumeLeavesOutCompleteDrills(t *testing.T) {
	s := settings{out: t.TempDir()}
	for name, environment := range map[string]map[string]string{
		"node-kill": nil, "node-term": {"ended early": "a reason"}, "half-joined": {"could not be injected": "half-joined"},
	} {
		summary := report.Summary{Name: name, Environment: environment, Verdicts: []judge.Verdict{{Invariant: "I1", Checked: 1}}}
		if err := summary.WriteFile(filepath.Join(s.out, name+summarySuffix)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{"node-kill": true, "node-term": false, "half-joined": false, "isolated": false} {
		if got := s.isDone(plan{name: name}); got != want {
			t.Errorf("%s: done %t, want %t", name, got, want)
		}
	}
	var out bytes.Buffer
	if code := execute(context.Background(), []string{"faults", "-resume", "-out", s.out, "node-kill"}, &out, &out); code != exitOK || !strings.Contains(out.String(), "report.md") {
		t.Errorf("with nothing left to do: exit code %d, %s", code, out.String())
	}
}
