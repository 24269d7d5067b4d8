package result

import (
	"bytes"
	"strings"
	"testing"
)

func runOf(seed uint64, rounds int, us float64) *Run {
	return &Run{Samples: samples(seed, 0.04, getCondition, rounds, service(us)), Environment: map[string]string{"CPU": "x"}}
}

func compare(t *testing.T, before, after *Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := Compare(&b, before, after); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// verdict returns what follows a metric's line in a comparison.
func verdict(text, metric string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, "  "+metric+"  ") {
			fields := strings.Split(strings.TrimSpace(line), "  ")
			return strings.TrimSpace(fields[len(fields)-1])
		}
	}
	return ""
}

func TestCompare_FindsTenPercent(t *testing.T) {
	slower := compare(t, runOf(1, 8, 50), runOf(2, 8, 55))
	faster := compare(t, runOf(2, 8, 55), runOf(1, 8, 50))
	for _, metric := range []string{"requests/s", "p50", "p99", "own CPU per request"} {
		if verdict(slower, metric) != "worse" || verdict(faster, metric) != "better" {
			t.Errorf("%s: %q, the other way round %q", metric, verdict(slower, metric), verdict(faster, metric))
		}
	}
	if v := verdict(slower, "Cassandra CPU per request"); v != "no more than noise" {
		t.Errorf("what has not changed is %q", v)
	}
}

// The test's level is 5 %: about one comparison of twenty finds a change in noise.
func TestCompare_TakesNoiseForNoise(t *testing.T) {
	found := 0
	for seed := range uint64(40) {
		if v := verdict(compare(t, runOf(100+2*seed, 6, 50), runOf(101+2*seed, 6, 50)), "own CPU per request"); v != "no more than noise" {
			found++
		}
	}
	if found > 5 {
		t.Errorf("%d of 40 comparisons found a change", found)
	}
}

func TestCompare_NeedsFourRounds(t *testing.T) {
	for _, c := range []struct {
		before, after int
		want          string
	}{{1, 1, "too few"}, {3, 3, "too few"}, {1, 8, "too few"}, {4, 4, "worse"}, {3, 8, "worse"}} {
		if v := verdict(compare(t, runOf(1, c.before, 50), runOf(2, c.after, 150)), "own CPU per request"); !strings.HasPrefix(v, c.want) {
			t.Errorf("%d and %d rounds: %q", c.before, c.after, v)
		}
	}
}

func TestCompare_FindsNewErrors(t *testing.T) {
	before, after := runOf(1, 5, 50), runOf(2, 5, 50)
	for i := range after.Samples {
		after.Samples[i].Errors["503"] = int64(10 + i)
	}
	if v := verdict(compare(t, before, after), "failed requests"); v != "worse" {
		t.Errorf("new errors are %q", v)
	}
	if v := verdict(compare(t, before, before), "failed requests"); v != "" {
		t.Errorf("no errors are %q", v)
	}
}

func TestCompare_ShowsOtherEnvironmentAndConditions(t *testing.T) {
	before, after := runOf(1, 4, 50), runOf(2, 4, 50)
	after.Environment = map[string]string{"CPU": "y"}
	if text := compare(t, before, after); !strings.Contains(text, `CPU: "x", then "y"`) {
		t.Error(text)
	}
	if text := compare(t, &Run{}, after); !strings.Contains(text, "1 in the new run only") {
		t.Error(text)
	}
	if text := compare(t, before, &Run{}); !strings.Contains(text, "has no samples") {
		t.Error(text)
	}
}

func TestCompare_WritesNoControlCharacters(t *testing.T) {
	run := runOf(1, 4, 50)
	for i := range run.Samples {
		run.Samples[i].Target = "a\tb\nc\x1b[31m" + strings.Repeat("x", 300)
	}
	for line := range strings.Lines(compare(t, run, run)) {
		if strings.Contains(line, "xxx") && !strings.Contains(line, "noise") || strings.ContainsAny(line, "\t\x1b") {
			t.Errorf("%q", line)
		}
	}
}
