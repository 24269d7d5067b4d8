//go:build integration

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"userinfo/bench/result"
)

// program builds the benchmark, which calls itself.
func program(t *testing.T) func(args ...string) string {
	file := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(context.Background(), file, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("bench %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
}

func TestARunMeasuresInTurnsChargesWhoWorkedAndReports(t *testing.T) {
	bench, dir := program(t), filepath.Join(t.TempDir(), "run")
	bench("run", "get", "fresh/mtls+resumption", "fresh/sidecar", "-memory", "-against", "userinfo,handler", "-generators", "2",
		"-rounds", "2", "-seconds", "1", "-warm", "1", "-data", "100kB", "-out", dir)
	run, err := result.Read(filepath.Join(dir, runFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Samples) < 8 {
		t.Fatalf("%d samples", len(run.Samples))
	}
	for i := range run.Samples {
		s := &run.Samples[i]
		if s.Done == 0 || s.Errored() > 0 {
			t.Errorf("%s on %s: %d answers, errors %v", s.Workload, s.Target, s.Done, s.Errors)
		}
		kind := map[string]string{result.Memory: result.KindService, result.Sidecar: result.KindSidecar, result.Handler: result.KindFloor}[s.Target]
		for _, kind := range []string{kind, result.KindGenerator} {
			if s.CPU(kind) <= 0 {
				t.Errorf("%s on %s: no CPU time of %s", s.Workload, s.Target, kind)
			}
		}
	}
	for i, target := range []string{result.Memory, result.Handler, result.Handler, result.Memory} {
		if s := run.Samples[i]; s.Target != target || s.Round != i/2 {
			t.Errorf("sample %d is of %s in round %d, want %s in turns", i, s.Target, s.Round, target)
		}
	}
	if page, err := os.ReadFile(filepath.Join(dir, "index.html")); err != nil || !strings.Contains(string(page), "fresh/sidecar") {
		t.Errorf("the report: %v, %d bytes", err, len(page))
	}
	if text := bench("compare", dir, dir); !strings.Contains(text, "get") {
		t.Errorf("a comparison says %q", text)
	}
}

func TestALoadedDataSetIsThereForTheNextRun(t *testing.T) {
	bench := program(t)
	out := bench("run", "latency", "-memory", "-against", "userinfo", "-rounds", "1", "-seconds", "1", "-warm", "1", "-data", "200kB", "-out", t.TempDir())
	if !strings.Contains(out, "100.0 %") || strings.Contains(out, "ERRORS") {
		t.Errorf("it said:\n%s", out)
	}
}
