package load

import (
	"context"
	"fmt"
	"math"
	"slices"

	"userinfo/bench/result"
)

// WarmUp says how long load goes before anything counts: Seconds where that is set; otherwise until the target has
// settled, and Most at most (60 where it is 0).
type WarmUp struct{ Seconds, Most float64 }

// How a target is found to have settled: in the last settleSpan seconds the median of what each second showed (Closed:
// answers per second; Open: p50) is within settleWithin of the median of as many seconds before, and no more were errors. A JIT
// compiler that is at work makes each second a little better than the last, which neighbours do not show, but halves do.
const (
	settleSpan   = 5
	settleWithin = 0.05
)

// Warm puts the load of r on a target, by round, and counts none of it. It returns for how long, and whether it has
// settled, which is true where Seconds are set.
func Warm(ctx context.Context, w WarmUp, r Round, round func(context.Context, Round) (result.Sample, error)) (seconds float64, settled bool, err error) {
	if w.Seconds > 0 {
		r.Seconds = w.Seconds
		_, err := round(ctx, r)
		return w.Seconds, err == nil, err
	}
	if w.Most <= 0 {
		w.Most = 60
	}
	r.Seconds = 1
	var seen []result.Second
	for seconds = 0; seconds < w.Most && !settledAt(r.Mode, seen); seconds++ {
		s, err := round(ctx, r)
		if err != nil {
			return seconds, false, fmt.Errorf("warming up: %w", err)
		}
		seen = append(seen, result.Second{Done: s.Done, Errors: s.Errored(), P50: s.Latency.At(0.5)})
	}
	return seconds, settledAt(r.Mode, seen), nil
}

// settledAt is the rule.
func settledAt(mode result.Mode, seen []result.Second) bool {
	if len(seen) < 2*settleSpan {
		return false
	}
	seen = seen[len(seen)-2*settleSpan:]
	before, after := seen[:settleSpan], seen[settleSpan:]
	if errorsIn(after) > errorsIn(before) {
		return false
	}
	a, b := median(mode, before), median(mode, after)
	return b > 0 && math.Abs(a-b) <= settleWithin*max(a, b)
}

func errorsIn(seconds []result.Second) (n int64) {
	for _, s := range seconds {
		n += s.Errors
	}
	return n
}

func median(mode result.Mode, seconds []result.Second) float64 {
	var values []float64
	for _, s := range seconds {
		if mode == result.Closed {
			values = append(values, float64(s.Done))
		} else {
			values = append(values, float64(s.P50))
		}
	}
	slices.Sort(values)
	return values[len(values)/2]
}
