package load

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// drawn is n requests of a workload.
func drawn(w Workload, d Dataset, seed, share uint64, n int) []request {
	s := newSchedule(w, d, seed, share)
	var all []request
	for range n {
		all = append(all, s.next())
	}
	return all
}

func named(t *testing.T, name string) Workload {
	t.Helper()
	w, err := WorkloadNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestTheWorkloadsAreThoseOfTheDesign(t *testing.T) {
	for name, want := range map[string][4]float64{
		"target": {9000, 100, 0, 0}, "production": {1750, 600, 5, 25}, "peak": {9000, 1500, 0, 200},
	} {
		w := named(t, name)
		if got := [4]float64{w.Get, w.Set, w.Touch, w.Delete}; got != want || w.ValueBytes != 2048 || w.Keys != Zipf {
			t.Errorf("%s: %+v", name, w)
		}
	}
	if named(t, "large").ValueBytes != 100_000 || !named(t, "fresh").Fresh || named(t, "storm").Keys != One {
		t.Error("large, fresh and storm are not what they are called")
	}
	for _, w := range Workloads() {
		if err := w.check(Dataset{1, w.ValueBytes}); err != nil {
			t.Errorf("%s: %v", w.Name, err)
		}
	}
	if _, err := WorkloadNamed("tsrget"); err == nil || !strings.Contains(err.Error(), "target, production, peak") {
		t.Errorf("a workload that there is not: %v", err)
	}
}

func TestAMixIsInItsProportions(t *testing.T) {
	const n = 200_000
	for _, w := range Workloads() {
		counts := map[Method]float64{}
		absent := 0.0
		for _, r := range drawn(w, Dataset{1000, w.ValueBytes}, 1, 0, n) {
			if r.kind == ofNobody {
				absent++
			} else {
				counts[r.method]++
			}
		}
		near := func(what string, got, rate float64) {
			want := n * rate / w.Rate()
			if math.Abs(got-want) > 5*math.Sqrt(want) { // five standard deviations, and a fixed seed
				t.Errorf("%s: %.0f %s of %d, want about %.0f", w.Name, got, what, n, want)
			}
		}
		near("gets", counts[Get], w.Get)
		near("sets", counts[Set], w.Set)
		near("touches", counts[Touch], w.Touch)
		near("deletes", counts[Delete], w.Delete)
		near("misses", absent, w.Miss)
	}
}

func TestTheScheduleFollowsFromTheSeed(t *testing.T) {
	w, d := named(t, "production"), Dataset{1000, Session}
	first := drawn(w, d, 7, 1, 1000)
	if !slices.Equal(first, drawn(w, d, 7, 1, 1000)) {
		t.Error("the same seed and share draw other requests")
	}
	if slices.Equal(first, drawn(w, d, 8, 1, 1000)) || slices.Equal(first, drawn(w, d, 7, 2, 1000)) {
		t.Error("another seed or share draws the same requests")
	}
	a, b := newSchedule(w, d, 7, 1), newSchedule(w, d, 7, 1)
	for range 1000 {
		if a.pause(100, false) != b.pause(100, false) {
			t.Fatal("the same seed and share make other pauses")
		}
	}
}

func TestEachDeleteIsOfAKeyThatASetMadeAndNoneOfTheDataSet(t *testing.T) {
	var made, deletes int
	for _, r := range drawn(named(t, "peak"), Dataset{1000, Session}, 1, 0, 100_000) {
		switch {
		case r.kind == ofLogin:
			if made++; r.method != Set || r.index != uint64(made) {
				t.Fatalf("login %d is %+v", made, r)
			}
		case r.kind == ofLogout:
			if deletes++; r.method != Delete {
				t.Fatalf("%+v", r)
			}
		case r.method == Delete:
			t.Fatalf("a delete of the data set: %+v", r)
		case r.index >= 1000:
			t.Fatalf("beyond the data set: %+v", r)
		}
	}
	if deletes == 0 || math.Abs(float64(made-deletes)) > 5*math.Sqrt(float64(deletes)) {
		t.Errorf("%d keys made, %d deleted", made, deletes)
	}
}

func TestKeysAreDistributedAsTheyAreSaidToBe(t *testing.T) {
	const n, values = 200_000, 5000
	count := func(keys Keys) (first, last float64) {
		for _, r := range drawn(Workload{Get: 1, Keys: keys}, Dataset{values, 1}, 1, 0, n) {
			switch r.index {
			case 0:
				first++
			case values - 1:
				last++
			}
		}
		return first / n, last / n
	}
	if first, last := count(Zipf); math.Abs(first-0.158) > 0.005 || last > 0.001 { // 1/Σ k^-1.1
		t.Errorf("zipf: %v of the first, %v of the last", first, last)
	}
	if first, last := count(Uniform); first > 0.0005 || last == 0 {
		t.Errorf("uniform: %v of the first, %v of the last", first, last)
	}
	if first, _ := count(One); first != 1 {
		t.Errorf("one: %v of the first", first)
	}
}

func TestArrivalsArePoissonsOrEven(t *testing.T) {
	s := newSchedule(named(t, "target"), Dataset{1, 1}, 1, 0)
	const n = 100_000
	var sum, squares float64
	for range n {
		p := s.pause(1000, false).Seconds() * 1000 // mean 1, variance 1 where they are Poisson's
		sum, squares = sum+p, squares+p*p
	}
	mean := sum / n
	if variance := squares/n - mean*mean; math.Abs(mean-1) > 0.02 || math.Abs(variance-1) > 0.05 {
		t.Errorf("mean %v, variance %v", mean, variance)
	}
	if p := s.pause(1000, true); p != time.Millisecond {
		t.Errorf("an even pause is %v", p)
	}
}

func TestAWorkloadThatMakesNoSenseIsRefused(t *testing.T) {
	good, d := named(t, "peak"), Dataset{1, 1}
	for want, change := range map[string]func(*Workload, *Dataset){
		"rates that are not negative": func(w *Workload, _ *Dataset) { w.Get = -1 },
		"more than nothing":           func(w *Workload, _ *Dataset) { *w = Workload{Keys: Zipf} },
		"not negative, and":           func(w *Workload, _ *Dataset) { w.Get = math.NaN() },
		"deletes more than it sets":   func(w *Workload, _ *Dataset) { w.Delete = w.Set + 1 },
		"zipf, uniform or one":        func(w *Workload, _ *Dataset) { w.Keys = "" },
		"a value at least":            func(_ *Workload, d *Dataset) { d.Values = 0 },
	} {
		w, d := good, d
		change(&w, &d)
		if err := w.check(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
}
