package load

import (
	"context"
	"errors"
	"testing"
	"time"

	"userinfo/bench/result"
)

// heating answers rounds of a second with what at says, and counts them.
func heating(asked *int, at func(second int) (done int64, p50 time.Duration, failed int64)) func(context.Context, Round) (result.Sample, error) {
	return func(_ context.Context, r Round) (result.Sample, error) {
		done, p50, failed := at(*asked)
		*asked++
		s := result.Sample{Mode: r.Mode, Seconds: r.Seconds, Done: done, Errors: map[string]int64{"503": failed}, Latency: result.NewHistogram()}
		s.Latency.Add(p50)
		return s, nil
	}
}

func TestWarmUpLastsUntilTheTargetHasSettled(t *testing.T) {
	for name, c := range map[string]struct {
		mode    result.Mode
		at      func(i int) (int64, time.Duration, int64)
		seconds float64
		settled bool
	}{
		"steady from the beginning": {result.Closed, func(int) (int64, time.Duration, int64) { return 1000, 1, 0 }, 10, true},
		"noise about one rate":      {result.Closed, func(i int) (int64, time.Duration, int64) { return 1000 + 20*int64(i%3), 1, 0 }, 10, true},
		"one slow second":           {result.Closed, func(i int) (int64, time.Duration, int64) { return 1000 - 900*int64(max(0, 1-i)), 1, 0 }, 10, true},
		"ten seconds of compiling":  {result.Closed, func(i int) (int64, time.Duration, int64) { return int64(min(i+1, 10)) * 100, 1, 0 }, 17, true},
		"open looks at latency": {result.Open, func(i int) (int64, time.Duration, int64) {
			return 100, time.Duration(max(20-i, 10)) * time.Millisecond, 0
		}, 18, true},
		"it never settles":     {result.Closed, func(i int) (int64, time.Duration, int64) { return int64(i+1) * 1000, 1, 0 }, 20, false},
		"errors that increase": {result.Closed, func(i int) (int64, time.Duration, int64) { return 1000, 1, int64(i) }, 20, false},
		"nothing ever answers": {result.Closed, func(int) (int64, time.Duration, int64) { return 0, 0, 9 }, 20, false},
	} {
		asked := 0
		seconds, settled, err := Warm(t.Context(), WarmUp{Most: 20}, Round{Mode: c.mode, Seconds: 99}, heating(&asked, c.at))
		if err != nil || seconds != c.seconds || settled != c.settled || asked != int(seconds) {
			t.Errorf("%s: %v s in %d rounds, settled %t, %v; want %v s, %t", name, seconds, asked, settled, err, c.seconds, c.settled)
		}
	}
}

func TestWarmUpCanBeSet(t *testing.T) {
	var lasted []float64
	seconds, settled, err := Warm(t.Context(), WarmUp{Seconds: 7}, Round{Seconds: 99}, func(_ context.Context, r Round) (result.Sample, error) {
		lasted = append(lasted, r.Seconds)
		return result.Sample{}, nil
	})
	if err != nil || seconds != 7 || !settled || len(lasted) != 1 || lasted[0] != 7 {
		t.Errorf("%v s, rounds of %v, settled %t, %v", seconds, lasted, settled, err)
	}
}

func TestWarmUpEndsWithAnError(t *testing.T) {
	_, settled, err := Warm(t.Context(), WarmUp{}, Round{}, func(context.Context, Round) (result.Sample, error) {
		return result.Sample{}, errBroken
	})
	if settled || !errors.Is(err, errBroken) {
		t.Errorf("settled %t, %v", settled, err)
	}
}
