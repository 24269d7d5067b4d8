package clockskew

import (
	"slices"
	"testing"
	"time"
)

func TestWrongClocks_DifferFromMajority(t *testing.T) {
	clock := func(name string, ahead, maxError time.Duration) skew { return skew{"cassandra", name, ahead, maxError} }
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		others   []skew
		want     []string
		majority bool
	}{
		"no other clock":          {nil, nil, true},
		"all agree":               {[]skew{clock("a", 0, ms), clock("b", 20*ms, ms)}, nil, true},
		"one is ahead":            {[]skew{clock("a", 0, ms), clock("b", time.Second, ms)}, []string{"cassandra b ahead by 1s ±1ms"}, true},
		"this instance is behind": {[]skew{clock("a", time.Second, ms), clock("b", time.Second, ms)}, []string{"this instance behind by 1s"}, true},
		"two clocks differ":       {[]skew{clock("a", time.Second, ms)}, []string{"cassandra a ahead by 1s ±1ms"}, false},
		"three clocks differ": {[]skew{clock("a", time.Second, ms), clock("b", -time.Second, ms)},
			[]string{"cassandra b behind by 1s ±1ms", "cassandra a ahead by 1s ±1ms"}, false},
		"less than the tolerance": {[]skew{clock("a", 0, 0), clock("b", tolerance-1, 0)}, nil, true},
		"exactly the tolerance":   {[]skew{clock("a", 0, 0), clock("b", tolerance, 0)}, []string{"cassandra b ahead by 100ms"}, true},
		"within the error":        {[]skew{clock("a", 0, 0), clock("b", time.Second, 950*ms)}, nil, true},
	} {
		wrong, majority := wrongClocks(c.others)
		var got []string
		for _, s := range wrong {
			got = append(got, s.String())
		}
		if !slices.Equal(got, c.want) || majority != c.majority {
			t.Errorf("%s: wrong are %q, majority %v; want %q, %v", name, got, majority, c.want, c.majority)
		}
	}
}
