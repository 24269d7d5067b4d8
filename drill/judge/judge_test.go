package judge_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

func TestEvaluate_ListsTheFirstViolationsWithTheActiveFault(t *testing.T) {
	r := newRecording()
	r.fault(history.Fault{Name: "first", Begin: sec(1), End: sec(5), Recovered: sec(5)})
	r.fault(history.Fault{Name: "second", Begin: sec(2), End: sec(3), Recovered: sec(3)})
	for i := range 30 {
		r.get("dc1", 30-float64(i), 30.5, reads(history.Torn))
	}
	verdicts := judge.Evaluate(&r.History)
	v := verdicts[2]
	if len(verdicts) != 11 || v.Invariant != "I3" || v.Checked != 30 || v.Broken != 30 || len(v.Violations) != 20 {
		t.Fatalf("%d verdicts, third: %+v", len(verdicts), v)
	}
	for i, want := range []string{"first", "second", "second", "first", "first", "first"} {
		w := v.Violations[i]
		if w.At != sec(float64(i+1)) || w.Fault != want || len(w.Operations) != 1 || w.Operations[0] != int64(30-i) {
			t.Errorf("violation %d, expected under %s: %+v", i, want, w)
		}
	}
}

func TestEvaluate_SaysThatAnEmptyHistoryChecksNothing(t *testing.T) {
	for _, v := range judge.Evaluate(&history.History{}) {
		if v.Checked != 0 || v.Broken != 0 || v.Note == "" {
			t.Errorf("%+v", v)
		}
	}
}

func TestEvaluate_NeverBlamesACorrectService(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scenario{
			seed:       rapid.Uint64().Draw(t, "seed"),
			operations: rapid.SampledFrom([]int{3, 30, 300, 1500}).Draw(t, "operations"),
			fence:      rapid.SampledFrom([]time.Duration{60 * time.Second, 20 * time.Second, 0}).Draw(t, "fence"),
			cut:        rapid.Bool().Draw(t, "cut"),
			lossy:      rapid.Bool().Draw(t, "lossy"),
			deletes:    rapid.IntRange(0, 5).Draw(t, "deletes"),
			nodes:      rapid.SampledFrom([]time.Duration{0, 0, 10 * time.Second}).Draw(t, "nodes"),
			skew:       rapid.SampledFrom([]time.Duration{0, time.Second, 10 * time.Second}).Draw(t, "skew"),
			short:      rapid.Bool().Draw(t, "short"),
		}
		for _, v := range judge.Evaluate(simulate(s, bugs{})) {
			for _, w := range v.Violations {
				t.Errorf("%s: %v %s", v.Invariant, w.Operations, w.What)
			}
		}
	})
}

// usual is a scenario in which most bugs have an effect.
var usual = scenario{operations: 2500, fence: 60 * time.Second, cut: true, deletes: 3}

func TestEvaluate_CatchesEveryPlantedBug(t *testing.T) {
	clocks, expiring, quiet := usual, usual, usual
	clocks.cut, clocks.skew, clocks.deletes = false, 10*time.Second, 5
	expiring.short = true
	quiet.cut = false
	for _, c := range []struct {
		name  string
		bugs  bugs
		in    scenario
		want  string // one of these must be broken
		other string // these may be broken too
	}{
		{"a delete at LOCAL_QUORUM", bugs{localDelete: true}, usual, "I1", "I4"},
		{"a touch with the current time", bugs{touchAtNow: true}, quiet, "I3", "L"},
		{"no datacentre filter", bugs{noFilter: true}, usual, "I5", ""},
		{"a new timestamp for each attempt", bugs{freshTimestamp: true}, quiet, "I3 L", ""},
		{"no fence marker", bugs{noMarker: true}, usual, "I1", "I2 L"},
		{"a tombstone with the current time and skewed clocks", bugs{tombstoneAtNow: true}, clocks, "I1", "I2 I4"},
		{"a set that ignores its TTL", bugs{noTTL: true}, expiring, "I4", "I3"},
		{"a cache of one second", bugs{cache: true}, quiet, "I1 I3", "I4 L"},
		{"204 after a failed delete", bugs{claimsDeleted: true}, quiet, "I1", "I4 L"},
		{"pending deletes that are dropped", bugs{dropsPending: true}, usual, "I2", "I4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const seeds = 8
			caught := 0
			for seed := range uint64(seeds) {
				c.in.seed = seed
				hit := false
				for _, name := range strings.Fields(violated(simulate(c.in, c.bugs))) {
					if strings.Contains(c.want, name) {
						hit = true
					} else if !strings.Contains(c.other, name) {
						t.Errorf("seed %d: %s is reported too", seed, name)
					}
				}
				if hit {
					caught++
				}
			}
			if caught <= seeds/2 {
				t.Errorf("caught in %d of %d seeds", caught, seeds)
			}
		})
	}
}
