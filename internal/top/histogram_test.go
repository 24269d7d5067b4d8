package top

import (
	"math"
	"testing"
)

func TestHistogram_Quantile(t *testing.T) {
	inf := math.Inf(1)
	for name, c := range map[string]struct {
		buckets map[float64]float64
		q, want float64
	}{
		"empty":                    {nil, .5, math.NaN()},
		"in the middle":            {map[float64]float64{1: 10, 2: 10, inf: 0}, .75, 1.5},
		"in the first bucket":      {map[float64]float64{1: 10, 2: 10}, .25, .5},
		"beyond the largest bound": {map[float64]float64{1: 1, 2: 0, inf: 99}, .5, 2},
		"all":                      {map[float64]float64{1: 10, 2: 0, inf: 0}, 1, 1},
	} {
		got := (&histogram{c.buckets}).quantile(c.q)
		if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %v; want %v", name, got, c.want)
		}
	}
}
