package report

import (
	"bytes"
	"strings"
	"testing"

	"userinfo/bench/result"
)

// onlyOf is a run of userinfo's gets with noise, and all its costs and latencies so many times as high.
func onlyOf(seed uint64, rounds int, slower float64) *result.Run {
	m := newMaker(seed, 0.04)
	s := service(kept(result.Get, 0), 12_000/slower, 50*slower)
	s.p50 = durationOf(2 * slower)
	m.add(rounds, s)
	return &m.run
}

func compareRuns(t *testing.T, before, after *result.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := Compare(&b, before, after); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func verdicts(before, after *result.Run) map[string]verdict {
	all := make(map[string]verdict)
	for _, c := range changes(samplesOf(before), samplesOf(after)) {
		all[c.metric.Name] = c.verdict
	}
	return all
}

func TestTenPercentAreFoundAboveTheNoise(t *testing.T) {
	got := verdicts(onlyOf(1, 8, 1), onlyOf(2, 8, 1.1))
	for _, name := range []string{"requests/s", "p50", "p99", "own CPU per request"} {
		if got[name] != worse {
			t.Errorf("%s: %q", name, got[name])
		}
	}
	if got := verdicts(onlyOf(2, 8, 1.1), onlyOf(1, 8, 1)); got["requests/s"] != better || got["p50"] != better {
		t.Errorf("the other way round: %v", got)
	}
	if got["Cassandra CPU per request"] != noise || got["allocations per request"] != noise {
		t.Errorf("what has not changed: %v", got)
	}
}

// Of so many runs that are alike, about one test in twenty errs: that is what its level says.
func TestNoiseAloneIsNotFound(t *testing.T) {
	tests, found := 0, 0
	for seed := range uint64(20) {
		for name, v := range verdicts(onlyOf(100+2*seed, 6, 1), onlyOf(101+2*seed, 6, 1)) {
			if name == "requests/s" || name == "own CPU per request" {
				tests++
				if v == better || v == worse {
					found++
				}
			}
		}
	}
	if tests != 40 || found > 4 {
		t.Errorf("%d of %d", found, tests)
	}
}

func TestTooFewRoundsTellNothing(t *testing.T) {
	for _, test := range []struct {
		before, after int
		want          verdict
	}{{1, 1, tooFew}, {3, 3, tooFew}, {1, 8, tooFew}, {4, 4, worse}, {3, 8, worse}} {
		got := verdicts(onlyOf(1, test.before, 1), onlyOf(2, test.after, 3))
		if got["own CPU per request"] != test.want {
			t.Errorf("%d and %d rounds: %q", test.before, test.after, got["own CPU per request"])
		}
	}
	if text := compareRuns(t, onlyOf(1, 3, 1), onlyOf(2, 3, 3)); !strings.Contains(text, "takes at least 4 rounds") {
		t.Error(text)
	}
}

func TestWhatOnlyOneRunHasIsTold(t *testing.T) {
	text := compareRuns(t, &result.Run{}, onlyOf(1, 5, 1))
	if !strings.Contains(text, "in one run only") || !strings.Contains(text, "–  → 11,") {
		t.Error(text)
	}
	if text := compareRuns(t, &result.Run{}, &result.Run{}); !strings.Contains(text, "Nothing to compare") {
		t.Error(text)
	}
}

func TestAnotherEnvironmentIsTold(t *testing.T) {
	before, after := onlyOf(1, 4, 1), onlyOf(2, 4, 1)
	after.Environment.Commit, after.Environment.Redis = "abcdef0", ""
	after.Environment.Settings = map[string]string{"GOMAXPROCS": "2", "GOGC": "400"}
	text := compareRuns(t, before, after)
	for _, want := range []string{"Commit differs: 70ee462+, then abcdef0\n", "Redis differs: 7.0.15, then not known\n", "GOGC differs: not known, then 400\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "GOMAXPROCS") {
		t.Error("what is the same is told")
	}
}

func TestAFloorThatHasChangedIsTold(t *testing.T) {
	floor := func(seed uint64, us float64) *result.Run {
		m := newMaker(seed, 0.02)
		m.add(5, service(kept(result.Get, 0), 12_000, us), other(result.Handler, kept(result.Get, 0).floor(), 40_000, "floor", us/2))
		return &m.run
	}
	if text := compareRuns(t, floor(1, 40), floor(2, 50)); !strings.Contains(text, "Floors have changed") || !strings.Contains(text, "handler in get: own CPU per request +") {
		t.Error(text)
	}
	if text := compareRuns(t, floor(1, 40), floor(3, 40)); strings.Contains(text, "handler in get: own CPU") {
		t.Error(text)
	}
}

func TestErrorsThatAreNewAreWorse(t *testing.T) {
	before, after := onlyOf(1, 5, 1), onlyOf(2, 5, 1)
	for i := range after.Samples {
		after.Samples[i].Errors = map[string]int64{"503": int64(10 + i)}
	}
	if got := verdicts(before, after); got["failed requests"] != worse {
		t.Errorf("%v", got)
	}
	if got, ok := verdicts(before, before)["failed requests"]; ok {
		t.Errorf("no failures are %q", got)
	}
}

func TestNamesDoNotBreakTheTable(t *testing.T) {
	run := onlyOf(1, 4, 1)
	for i := range run.Samples {
		run.Samples[i].Target = "a\tb\nc\x1b[31m" + strings.Repeat("x", 300)
	}
	for line := range strings.Lines(compareRuns(t, run, run)) {
		if strings.Contains(line, "xxx") && !strings.Contains(line, string(noise)) || strings.ContainsAny(line, "\t\x1b") {
			t.Errorf("%q", line)
		}
	}
}
