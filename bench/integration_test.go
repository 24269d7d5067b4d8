//go:build integration

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"userinfo/bench/result"
)

// program builds the benchmark, which starts itself as a baseline.
func program(t *testing.T) func(args ...string) string {
	file := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), file, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("bench %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
}

func TestProgram_MeasuresInTurnsAndReports(t *testing.T) {
	bench, dir := program(t), filepath.Join(t.TempDir(), "run")
	bench("run", "get", "fresh/mtls+resumption", "fresh/sidecar", "-memory", "-against", "userinfo,handler",
		"-rounds", "2", "-seconds", "1", "-warm", "1", "-data", "100kB", "-out", dir)
	run, err := result.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Samples) != 10 {
		t.Fatalf("%d samples", len(run.Samples))
	}
	for i := range run.Samples {
		s := &run.Samples[i]
		kind := map[string]string{result.Memory: result.KindService, result.Sidecar: result.KindSidecar, result.Handler: result.KindBaseline}[s.Target]
		if s.Done == 0 || s.ErrorCount() > 0 || s.CPU(kind) <= 0 || s.CPU(result.KindGenerator) <= 0 {
			t.Errorf("%s on %s: %d answers, errors %v, costs %+v", s.Workload, s.Target, s.Done, s.Errors, s.Costs)
		}
	}
	for i, target := range []string{result.Memory, result.Handler, result.Handler, result.Memory} {
		if s := run.Samples[i]; s.Target != target || s.Round != i/2 {
			t.Errorf("sample %d is of %s in round %d, want %s: targets take turns", i, s.Target, s.Round, target)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "report.md")); err != nil || !strings.Contains(string(text), "fresh/sidecar") {
		t.Errorf("the report has %d bytes (%v)", len(text), err)
	}
	if text := bench("compare", dir, dir); !strings.Contains(text, "get") {
		t.Errorf("the comparison is %q", text)
	}
	other := filepath.Join(t.TempDir(), "report")
	bench("report", "-to", other, dir)
	if _, err := os.Stat(filepath.Join(other, "report.md")); err != nil {
		t.Error(err)
	}
}

func TestProgram_MeasuresManyConnections(t *testing.T) {
	bench, dir := program(t), filepath.Join(t.TempDir(), "run")
	bench("grow", "connections", "-memory", "-connections", "200", "-rounds", "1", "-seconds", "1", "-warm", "1", "-data", "100kB", "-out", dir)
	run, err := result.Read(dir)
	if err != nil || len(run.Samples) != 3 {
		t.Fatalf("%+v (%v)", run, err)
	}
	if few, many := run.Samples[0], run.Samples[2]; few.Connections != 10 || many.Connections != 200 || many.Costs[0].RSS <= few.Costs[0].RSS {
		t.Errorf("%d connections: %+v; %d: %+v", few.Connections, few.Costs, many.Connections, many.Costs)
	}
}
