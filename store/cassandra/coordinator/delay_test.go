package coordinator

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

func TestHedgeDelay_HedgesOneReadInFifty(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) // the same in every run
	for name, took := range map[string]func() time.Duration{
		"even latencies":          func() time.Duration { return time.Duration(random.Int64N(int64(25 * time.Millisecond))) },
		"latencies with a tail":   func() time.Duration { return time.Duration(random.ExpFloat64() * float64(6*time.Millisecond)) },
		"latencies of two kinds":  func() time.Duration { return []time.Duration{10, 10, 25}[random.IntN(3)] * time.Millisecond },
		"equal latencies":         func() time.Duration { return 10*time.Millisecond + time.Duration(random.IntN(1000)) },
		"very long, but very few": func() time.Duration { return []time.Duration{9, 3000}[random.IntN(200)/199] * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			var d hedgeDelay
			const reads = 20_000
			hedged := 0
			for n := range 2 * reads {
				latency := took()
				if n >= reads && latency > d.get() {
					hedged++
				}
				d.observe(Read, latency)
			}
			if hedged > reads/40 {
				t.Errorf("%d of %d reads would be hedged", hedged, reads)
			}
		})
	}
}

func TestHedgeDelay_HedgesOneDeleteInTen(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) // the same in every run
	var d hedgeDelay
	const deletes = 20_000
	hedged := 0
	for range deletes {
		latency := 10*time.Millisecond + time.Duration(random.ExpFloat64()*float64(6*time.Millisecond))
		if latency > d.get() {
			hedged++
		}
		d.observe(EachQuorum, latency)
	}
	if hedged < deletes/12 || hedged > deletes/8 {
		t.Errorf("%d of %d deletes would be hedged", hedged, deletes)
	}
}

func TestHedgeDelay_FollowsFewDeletes(t *testing.T) {
	var d hedgeDelay
	for range 50 {
		d.observe(EachQuorum, 20*time.Millisecond)
	}
	if got := d.get(); got > 30*time.Millisecond {
		t.Errorf("got %v after 50 deletes of 20 ms", got)
	}
}

func TestHedgeDelay_IsMaxHedgeDelayBeforeFirstRead(t *testing.T) {
	var d hedgeDelay
	if got := d.get(); got != maxHedgeDelay {
		t.Errorf("got %v, want %v", got, maxHedgeDelay)
	}
}

func TestHedgeDelay_ReachesItsMaximumWhenAllCallsAreSlow(t *testing.T) {
	for _, kind := range []Kind{Read, Write, EachQuorum} {
		var d hedgeDelay
		d.observe(kind, 10*time.Millisecond)
		for range 40 {
			d.observe(kind, time.Second)
		}
		if got := d.get(); got != maxHedgeDelay {
			t.Errorf("kind %d: got %v, want %v", kind, got, maxHedgeDelay)
		}
	}
}

func TestHedgeDelay_IgnoresOtherKindsAndFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usualReads()
		before := c.delays[Read].get()
		setAll := func(r reply) {
			for _, id := range []string{"a", "b", "c"} {
				c.set(id, r)
			}
		}
		for _, r := range []reply{quick, {after: 100 * time.Millisecond}} {
			setAll(r)
			for range 20 {
				if _, err := c.run(CallPolicy{}, time.Minute); err != nil {
					t.Fatal(err)
				}
			}
		}
		setAll(fails)
		for range 20 {
			_, _ = c.run(CallPolicy{Kind: Read}, 20*time.Millisecond)
		}
		if after := c.delays[Read].get(); after != before {
			t.Errorf("the hedge delay was %v and is %v after other statements and failures", before, after)
		}
	})
}
