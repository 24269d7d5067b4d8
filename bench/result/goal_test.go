package result

import (
	"strings"
	"testing"
	"time"

	"userinfo/internal/report"
)

func baselineOf(target, kind string, rate, us float64) behaviour {
	return behaviour{target, rate, time.Millisecond, map[string]time.Duration{kind: time.Duration(us * 1000)}, 0}
}

// outcomes returns the outcomes of a run by goal, up to the first word that names a target.
func outcomes(t *testing.T, samples []Sample) map[string]Outcome {
	t.Helper()
	all := make(map[string]Outcome)
	for _, o := range (&Run{Samples: samples}).Outcomes() {
		all[o.Goal] = o
	}
	return all
}

const (
	cpuGoal    = "service CPU per get ÷ (handler + driver with generator)"
	designGoal = "p99 at 9,000 reads/s and 100 writes/s, ms: userinfo"
)

func TestOutcomes_CPUPerGet(t *testing.T) {
	for us, want := range map[float64]string{50: "aim reached", 57: "reached", 61: "missed"} {
		got := outcomes(t, samples(1, 0, getCondition, 4, service(us), baselineOf(Handler, KindBaseline, 20_000, 20), baselineOf(Driver, KindGenerator, 15_000, 32)))
		if got[cpuGoal].Result != want {
			t.Errorf("%v µs against 20 + 32: %+v", us, got[cpuGoal])
		}
	}
}

func TestOutcomes_FailsClosed(t *testing.T) {
	failing := service(10)
	failing.errors = 1
	all := samples(1, 0, getCondition, 4, failing, baselineOf(Handler, KindBaseline, 20_000, 20), baselineOf(Driver, KindGenerator, 15_000, 32))
	if got := outcomes(t, all); got[cpuGoal].Result != "missed" {
		t.Errorf("with errors: %+v", got[cpuGoal])
	}
	if got := outcomes(t, samples(1, 0, getCondition, 4, service(10))); len(got) != 0 {
		t.Errorf("without a baseline: %+v", got)
	}
	if got := outcomes(t, nil); len(got) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
	if got := (goal{atMost: true, required: 5, aim: 5}).result(nil); got != "missed" {
		t.Errorf("without a value: %q", got)
	}
}

func TestOutcomes_DesignTarget(t *testing.T) {
	c := getCondition
	c.Workload, c.Mode, c.Rate = DesignTarget, Open, 9100
	fast, slow, other := service(20), service(800), service(20)
	other.target = "another-store"
	if got := outcomes(t, samples(1, 0, c, 3, fast, other)); got[designGoal].Result != "aim reached" || got[strings.Replace(designGoal, "userinfo", "another-store", 1)].Result != "aim reached" {
		t.Errorf("%+v", got)
	}
	if got := outcomes(t, samples(1, 0, c, 3, slow)); got[designGoal].Result != "reached" {
		t.Errorf("a p99 of 24 ms: %+v", got)
	}
	behind := samples(1, 0, c, 3, fast)
	behind[1].InTime = 0
	if got := outcomes(t, behind); got[designGoal].Result != "missed" {
		t.Errorf("behind in one round: %+v", got)
	}
}

func TestOutcomes_Memory(t *testing.T) {
	for mb, want := range map[int64]string{100: "aim reached", 300: "reached", 501: "missed", 0: "missed"} {
		c := getCondition
		c.Connections = manyConnections
		all := append(samples(1, 0, c, 3, service(50)), samples(1, 0, getCondition, 3, service(50))...)
		for i := range all {
			for j := range all[i].Costs {
				all[i].Costs[j].RSS = mb * 1e6
			}
		}
		got := outcomes(t, all)
		if o := got["memory with 10,000 connections, MB: userinfo"]; o.Result != want || len(got) != 1 {
			t.Errorf("%d MB: %+v", mb, got)
		}
	}
}

func TestMetric_RatiosPairRounds(t *testing.T) {
	all := groups(append(samples(1, 0.3, getCondition, 3, service(50)), samples(1, 0.3, getCondition, 2, behaviour{target: "b", rate: 100})...))
	if got := throughput.ratios(all[0], all[1]); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if spread(nil) != report.None || spread([]float64{1, 1}) != "1" || spread([]float64{3, 1, 2}) != "2 (1–3)" {
		t.Error(spread(nil), spread([]float64{1, 1}), spread([]float64{3, 1, 2}))
	}
}
