package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// broken returns held(100) with violations of one invariant.
func broken(invariant string, count int, listed ...judge.Violation) []judge.Verdict {
	all := held(100)
	for i := range all {
		if all[i].Invariant == invariant {
			all[i].Broken, all[i].Violations = count, listed
		}
	}
	return all
}

func markdown(t *testing.T, drills []Summary, mutants []MutantResult) string {
	t.Helper()
	d, err := newDocument(drills, mutants)
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func expect(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "%!") {
		t.Errorf("a format is wrong in\n%s", text)
	}
}

func TestWrite_ShowsVerdictsFaultsAndViolations(t *testing.T) {
	mix := newHistory("mix")
	mix.Faults = append(mix.Faults, history.Fault{Name: "cut", Begin: 46 * time.Second, End: 50 * time.Second, Recovered: 51 * time.Second})
	good := held(12345)
	good[4] = judge.Verdict{Invariant: "I5", Note: "no samples"}
	text := markdown(t, []Summary{
		Summarize(newHistory("pause"), good),
		Summarize(mix, broken("I2", 4, judge.Violation{At: 47 * time.Second, Fault: "cut", What: "read a deleted value", Operations: []int64{4, 5}})),
	}, nil)
	expect(t, text,
		"**2 drills, 3 faults, 1,202 operations: 4 violations of I2.**",
		"| pause | 12,345 | 12,345 | 12,345 | 12,345 | – | 12,345 |",
		"| mix | 100 | **4 broken** | 100 |",
		"| pause | pause | 20 s | 20 s | 251 | 2 | 0 | 5 s |  |",
		"| mix | cut | 46 s | 4 s | 51 | 0 | 0 | 1 s | I2 |",
		"| mix | I2 | cut | 47 s | read a deleted value | 4 5 |",
		"| pause | 10 | 71 s |  | 2026-11-24 09:30 | drill faults pause |",
		"- cassandra: 5.0 (all drills)",
	)
}

func TestWrite_NeverShowsAnUncheckedInvariantAsHeld(t *testing.T) {
	text := markdown(t, []Summary{Summarize(newHistory("all"), held(0)), Summarize(newHistory("pause"), []judge.Verdict{{Invariant: "I1", Checked: 5}})}, nil)
	expect(t, text, "| pause | 5 | – | – | – | – | – | – | – | – | – | – |", "no promise was broken.")
	for _, test := range []struct {
		verdict judge.Verdict
		want    string
	}{
		{judge.Verdict{}, "–"},
		{judge.Verdict{Checked: 1, Broken: 2}, "**2 broken**"},
		{judge.Verdict{Checked: 1, Violations: []judge.Violation{{}}}, "**1 broken**"},
	} {
		d := markdown(t, []Summary{Summarize(newHistory("x"), []judge.Verdict{{Invariant: "I1", Checked: test.verdict.Checked, Broken: test.verdict.Broken, Violations: test.verdict.Violations}})}, nil)
		expect(t, d, "| x | "+test.want+" |\n")
	}
}

func TestWrite_ShowsThePromisesOfPasswords(t *testing.T) {
	text := markdown(t, []Summary{
		Summarize(newHistory("pause"), held(7)),
		Summarize(newHistory("passwords-pause"), []judge.Verdict{{Invariant: "I5", Checked: 3}, {Invariant: "P1", Checked: 4}, {Invariant: "P4", Checked: 1, Broken: 1}}),
	}, nil)
	expect(t, text, "- **P4** The wrong guesses of strangers", "| L | P1 | P4 |", "| pause | 7 | 7 | 7 | 7 | 7 | 7 | 7 | 7 | 7 | 7 | 7 | – | – |",
		"| passwords-pause | – | – | – | – | 3 | – | – | – | – | – | – | 4 | **1 broken** |")
	for _, name := range judge.PasswordInvariants {
		if promises[name] == "" {
			t.Errorf("%s is not described", name)
		}
	}
}

func TestWrite_RejectsWhatWouldClaimTooMuch(t *testing.T) {
	mutant := Summarize(newHistory("m"), held(1))
	mutant.Mutant = "cache"
	for name, test := range map[string]struct {
		drills  []Summary
		mutants []MutantResult
		want    string
	}{
		"nothing":             {nil, nil, "no results"},
		"a mutant as a drill": {[]Summary{mutant}, nil, "planted bug"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Write(t.TempDir(), test.drills, test.mutants); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestWrite_ShowsFiguresOfLostNodes(t *testing.T) {
	verdicts := held(10)
	ms := func(p99 time.Duration) judge.Latency { return judge.Latency{P50: 1, P99: p99 * time.Millisecond} }
	verdicts[7].Figures = []judge.Figures{
		{Fault: "pause", DC: "dc1", Requests: 500, FirstSecondErrors: 1, LaterErrors: 2, Before: ms(5), During: ms(20), After: ms(6), FullSpeedAfter: 2 * time.Second},
		{Fault: "pause", DC: "dc2", FullSpeedAfter: -1, KnownCutDeletes: 3, SlowestDelete: 400 * time.Millisecond},
		{Fault: "pause", DC: "dc1", Before: ms(60), NotJudged: "machine too busy"},
	}
	expect(t, markdown(t, []Summary{Summarize(newHistory("pause"), verdicts)}, nil),
		"| pause | pause | dc1 | I8 | 500 | 1 | 2 | 5 ms | 20 ms | 6 ms | 0 | 2 s | – | – |",
		"| pause | pause | dc2 | I8 | 0 | 0 | 0 | 0 ms | 0 ms | 0 ms | 0 | not seen | 3 | 400 ms |",
		"| pause | pause | dc1 | I8 | 0 | 0 | 0 | 60 ms | 0 ms | 0 ms | 0 | not judged: machine too busy | – | – |",
		"| 10 (errors only) |", "no promise was broken. Machine too busy: I7 and I8 not judged for latency in 1 case.")
}

func TestWrite_ShowsWhetherMutantsWereCaught(t *testing.T) {
	result := func(name string, verdicts []judge.Verdict) MutantResult {
		s := Summarize(newHistory("mutant-"+name), verdicts)
		s.Mutant = name
		return MutantResult{Summary: s, Bug: "a bug", Invariant: "I3"}
	}
	text := markdown(t, nil, []MutantResult{
		result("found", broken("I3", 1, judge.Violation{What: "a stale read"})),
		result("other", broken("I1", 1)),
		result("missed", held(10)),
	})
	expect(t, text,
		"| found | a bug | I3 | caught | a stale read |",
		"| other | a bug | I3 | **not caught** |  |",
		"| missed | a bug | I3 | **not caught** |  |")
}

func TestWrite_EscapesNames(t *testing.T) {
	const hostile = `<script>alert("1")</script> | *cut*`
	h := newHistory(hostile)
	h.Faults[0].Name = hostile
	dir := t.TempDir()
	if err := Write(dir, []Summary{Summarize(h, broken("I1", 1, judge.Violation{Fault: hostile, What: hostile}))}, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "<script>") || strings.Contains(string(text), "| *cut*") {
		t.Errorf("markup is not escaped:\n%s", text)
	}
}

func TestWrite_AcceptsDrillsWithoutOperations(t *testing.T) {
	h := &history.History{Name: "empty", Datacentres: []string{"dc1"}}
	if err := Write(t.TempDir(), []Summary{Summarize(h, held(0))}, nil); err != nil {
		t.Error(err)
	}
}
