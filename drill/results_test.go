package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
	"userinfo/drill/report"
)

func TestPromiseBroken_CountsEveryInvariant(t *testing.T) {
	for _, name := range judge.Invariants {
		if !promiseBroken([]judge.Verdict{{Invariant: name, Broken: 1}}) {
			t.Errorf("a violation of %s does not count", name)
		}
	}
	if promiseBroken(nil) {
		t.Error("no verdict counts as broken")
	}
}

// staleRead is a history with one violation of I3.
func staleRead() *history.History {
	h := &history.History{Name: "stale", Fence: fence, Datacentres: datacentres}
	for i, o := range []history.Operation{
		{Method: history.Set, Status: 204, Version: 1}, {Method: history.Set, Status: 204, Version: 2},
		{Method: history.Get, Status: 200, Version: 1, OfKey: "k", TTL: 60},
	} {
		o.ID, o.Key, o.DC, o.Instance = int64(i+1), "k", "dc1", "i"
		if o.Method == history.Set {
			o.TTL = 60
		}
		o.Invoke, o.Complete = time.Duration(i)*time.Second, time.Duration(i)*time.Second+time.Millisecond
		h.Operations = append(h.Operations, o)
	}
	return h
}

func TestRunJudge_JudgesSavedHistoriesAndWritesAReport(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "stale"+historySuffix)
	if err := staleRead().Write(file); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := execute(context.Background(), []string{"judge", "-out", filepath.Join(dir, "out"), file}, &out, &out); code != exitBroken {
		t.Errorf("exit code %d: %s", code, out.String())
	}
	if !strings.Contains(out.String(), "I3   BROKEN") {
		t.Errorf("output: %s", out.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "out", "report.md")); err != nil {
		t.Error(err)
	}
}

func TestWriteReport_UsesTheLatestResultOfEachDrill(t *testing.T) {
	one, two, out := t.TempDir(), t.TempDir(), t.TempDir()
	save := func(dir, name, mutant string, seed uint64, began time.Time) {
		s := report.Summary{Name: name, Mutant: mutant, Began: began, Command: "seed " + string(rune('0'+seed)), Verdicts: []judge.Verdict{{Invariant: "I1", Checked: 1}}}
		if err := s.WriteFile(filepath.Join(dir, name+summarySuffix)); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	save(one, "zzz", "", 1, now)
	save(one, "node-term", "", 2, now)
	save(two, "node-term", "", 3, now.Add(time.Hour))
	save(two, mutantPrefix+"cache", "cache", 4, now)
	if err := writeReport(out, one, two); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	first, latest := strings.Index(string(text), "seed 1"), strings.Index(string(text), "seed 3")
	if first < 0 || latest < first || strings.Contains(string(text), "seed 2") || !strings.Contains(string(text), "| cache | a value that was read") {
		t.Errorf("report:\n%s", text)
	}
}
