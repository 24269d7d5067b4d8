package load

import (
	"math"
	"slices"
	"strings"
	"testing"
)

var everything = Mix{Get: 900, Set: 150, Touch: 5, Delete: 20, Miss: 30, Keys: Zipf}

// draw returns the first n choices.
func draw(m Mix, d Dataset, seed uint64, n int) []choice {
	c := newChooser(m, d, seed)
	var all []choice
	for range n {
		all = append(all, c.next())
	}
	return all
}

func TestChooser_KeepsProportions(t *testing.T) {
	const n = 200_000
	counts := map[string]float64{}
	for _, c := range draw(everything, Dataset{1000, 1}, 1, n) {
		if c.from == fromNobody {
			counts["miss"]++
		} else {
			counts[[...]string{"get", "set", "touch", "delete"}[c.method]]++
		}
	}
	for what, rate := range map[string]float64{"get": everything.Get, "set": everything.Set, "touch": everything.Touch, "delete": everything.Delete, "miss": everything.Miss} {
		want := n * rate / everything.Rate()
		if math.Abs(counts[what]-want) > 5*math.Sqrt(want) { // five standard deviations, with a fixed seed
			t.Errorf("%.0f requests are %s, want about %.0f", counts[what], what, want)
		}
	}
}

func TestChooser_FollowsFromSeed(t *testing.T) {
	d := Dataset{1000, 1}
	if !slices.Equal(draw(everything, d, 7, 1000), draw(everything, d, 7, 1000)) {
		t.Error("the same seed draws other requests")
	}
	if slices.Equal(draw(everything, d, 7, 1000), draw(everything, d, 8, 1000)) {
		t.Error("another seed draws the same requests")
	}
}

func TestChooser_DeletesOnlyKeysOfItsOwn(t *testing.T) {
	var made, deletes int
	for _, c := range draw(everything, Dataset{1000, 1}, 1, 100_000) {
		switch {
		case c.from == fromLogin:
			if made++; c.method != Set || c.index != uint64(made) {
				t.Fatalf("login %d is %+v", made, c)
			}
		case c.from == fromLogout:
			if deletes++; c.method != Delete {
				t.Fatalf("%+v", c)
			}
		case c.method == Delete:
			t.Fatalf("a delete of the data set: %+v", c)
		case c.from == fromData && c.index >= 1000:
			t.Fatalf("beyond the data set: %+v", c)
		}
	}
	if deletes == 0 || math.Abs(float64(made-deletes)) > 5*math.Sqrt(float64(deletes)) {
		t.Errorf("%d keys made, %d deleted", made, deletes)
	}
}

func TestChooser_DistributesKeys(t *testing.T) {
	const n, values = 200_000, 5000
	share := func(keys Keys) (first, last float64) {
		for _, c := range draw(Mix{Get: 1, Keys: keys}, Dataset{values, 1}, 1, n) {
			switch c.index {
			case 0:
				first++
			case values - 1:
				last++
			}
		}
		return first / n, last / n
	}
	if first, last := share(Zipf); math.Abs(first-0.158) > 0.005 || last > 0.001 { // 1/Σ k^-1.1
		t.Errorf("zipf: %v of the first key, %v of the last", first, last)
	}
	if first, last := share(Uniform); first > 0.0005 || last == 0 {
		t.Errorf("uniform: %v of the first key, %v of the last", first, last)
	}
	if first, _ := share(One); first != 1 {
		t.Errorf("one: %v of the first key", first)
	}
}

func TestMix_RejectsNonsense(t *testing.T) {
	for want, change := range map[string]func(*Mix, *Dataset){
		"must not be negative":            func(m *Mix, _ *Dataset) { m.Get = -1 },
		"one of them must be positive":    func(m *Mix, _ *Dataset) { *m = Mix{Keys: Zipf} },
		"not be negative, and one":        func(m *Mix, _ *Dataset) { m.Get = math.NaN() },
		"each delete needs a key":         func(m *Mix, _ *Dataset) { m.Delete = m.Set + 1 },
		"zipf, uniform or one":            func(m *Mix, _ *Dataset) { m.Keys = "" },
		"at least one value of one byte,": func(_ *Mix, d *Dataset) { d.Values = 0 },
	} {
		m, d := everything, Dataset{1, 1}
		change(&m, &d)
		if err := m.check(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
}
