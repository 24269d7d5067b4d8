package store

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// reading is the plan of a read, whose hedges follow the pace.
var reading = plan{read: true}

// accustomed has a cluster whose coordinators answer reads within usual, and which has known three in a hundred to take
// rare.
func accustomed(t *testing.T, usual, rare time.Duration) *cluster {
	t.Helper()
	c := newTestCluster(t, map[string]reply{"a": {after: usual}, "b": {after: usual}, "c": {after: usual}})
	for n := range 10_000 {
		if n%100 < 3 {
			c.reads.observe(rare)
		} else {
			c.reads.observe(usual)
		}
	}
	return c
}

// read reads n times, each time answered by want unless that is empty, and returns who was asked in all.
func (c *cluster) read(t *testing.T, n int, want string) (asked []string) {
	t.Helper()
	for range n {
		if got, err := c.run(reading, time.Minute); err != nil || (got != want && want != "") {
			t.Fatalf("answered by %q with error %v, want %q", got, err, want)
		}
		asked = append(asked, c.order()...)
	}
	return asked
}

func (c *cluster) failures(id string) int32 { return c.coordinators.of(id).failures.Load() }

func TestAReadThatTakesLongerThanAlmostAllIsHedged(t *testing.T) {
	for _, c := range []struct {
		claim             string
		usual, rare, want time.Duration
	}{
		{"after what is rare", 10 * time.Millisecond, 40 * time.Millisecond, 40 * time.Millisecond},
		{"but not at once where all are short", 100 * time.Microsecond, 200 * time.Microsecond, soonestHedge},
		{"and as ever where rare ones are long", 10 * time.Millisecond, time.Second, hedgeAfter},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := accustomed(t, c.usual, c.rare)
				cl.set("a", never)
				start := time.Now()
				asked := cl.read(t, 1, "b")
				if took := time.Since(start) - c.usual; took < c.want*9/10 || took > c.want*11/10 {
					t.Errorf("hedged after %v, want %v", took, c.want)
				}
				if !slices.Equal(asked, []string{"a", "b"}) {
					t.Errorf("asked %v", asked)
				}
			})
		})
	}
}

func TestOneReadInFiftyIsHedgedWhateverTheLatencies(t *testing.T) {
	seed := rand.New(rand.NewPCG(1, 2)) // the same in every run
	for claim, took := range map[string]func() time.Duration{
		"even":          func() time.Duration { return time.Duration(seed.Int64N(int64(100 * time.Millisecond))) },
		"with a tail":   func() time.Duration { return time.Duration(seed.ExpFloat64() * float64(20*time.Millisecond)) },
		"of two kinds":  func() time.Duration { return []time.Duration{10, 10, 150}[seed.IntN(3)] * time.Millisecond },
		"all the same":  func() time.Duration { return 10*time.Millisecond + time.Duration(seed.IntN(1000)) },
		"very long one": func() time.Duration { return []time.Duration{9, 3000}[seed.IntN(200)/199] * time.Millisecond },
	} {
		var p pace
		const reads = 20_000
		hedged := 0
		for n := range 2 * reads {
			d := took()
			if n >= reads && d > p.hedgeAfter() {
				hedged++
			}
			p.observe(d)
		}
		if hedged > reads/40 {
			t.Errorf("latencies %s: %d of %d reads would be hedged", claim, hedged, reads)
		}
	}
}

func TestAWriteIsNotHedgedAtTheReadsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", never)
		start := time.Now()
		if got, err := c.run(plan{}, time.Minute); got != "b" || err != nil {
			t.Errorf("answered by %q with error %v", got, err)
		}
		if took := time.Since(start); took != hedgeAfter+10*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestWhereAllReadsBecomeSlowTheirHedgesSoonAreAsLateAsThoseOfWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		for range 40 {
			c.reads.observe(300 * time.Millisecond)
		}
		if after := c.reads.hedgeAfter(); after != hedgeAfter {
			t.Errorf("hedged after %v, want %v", after, hedgeAfter)
		}
	})
}

func TestACoordinatorThatIsALittleSlowIsOvertakenAndNotSuspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", reply{after: hedgeAfter - 10*time.Millisecond})
		for range 5 * breakerFailures {
			if asked := c.read(t, 1, "b"); !slices.Equal(asked, []string{"a", "b"}) {
				t.Fatalf("asked %v", asked)
			}
			time.Sleep(hedgeAfter)
		}
		if n := c.failures("a"); n > 0 {
			t.Errorf("its breaker has counted %d failures", n)
		}
	})
}

func TestAnAnswerThatWasOvertakenSetsThePaceAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", reply{after: 100 * time.Millisecond})
		before := c.reads.hedgeAfter()
		c.read(t, 1, "b")
		time.Sleep(hedgeAfter)
		synctest.Wait()
		if after := c.reads.hedgeAfter(); after <= before {
			t.Errorf("hedged after %v, and after %v since", before, after)
		}
	})
}

func TestACoordinatorThatIsDeadIsSuspectedThoughOthersAnswerInItsPlace(t *testing.T) {
	slowly := hedgeAfter - 10*time.Millisecond
	for claim, r := range map[string]reply{
		"it never answers": never, "its connection ends": {after: slowly, err: errDown}, "nothing can be sent to it": {after: time.Hour, unsent: true},
	} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
				c.set("a", r)
				c.read(t, breakerFailures, "b")
				time.Sleep(hedgeAfter)
				synctest.Wait()
				if n := c.failures("a"); n != breakerFailures {
					t.Errorf("its breaker has counted %d failures, want %d", n, breakerFailures)
				}
				if asked := c.read(t, 1, "b"); !slices.Equal(asked, []string{"b"}) {
					t.Errorf("asked %v, want b alone", asked)
				}
			})
		})
	}
}

func TestWhatSaysNothingOfAnOvertakenCoordinatorLeavesItsBreakerAsItWas(t *testing.T) {
	for claim, r := range map[string]reply{
		"an answer in time, of whatever kind": {after: 100 * time.Millisecond}, "a statement that is being prepared": {after: time.Hour, preparing: true},
	} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
				c.set("a", r)
				c.coordinators.of("a").failed(time.Now())
				c.read(t, 1, "b")
				time.Sleep(hedgeAfter)
				synctest.Wait()
				if n := c.failures("a"); n != 1 {
					t.Errorf("its breaker has counted %d failures, want the one of before", n)
				}
			})
		})
	}
}

func TestAHedgeThatIsSlowerIsNotSuspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", reply{after: 100 * time.Millisecond})
		c.set("b", never)
		c.read(t, 1, "a")
		time.Sleep(2 * hedgeAfter)
		synctest.Wait()
		if n := c.failures("a") + c.failures("b"); n > 0 {
			t.Errorf("breakers have counted %d failures", n)
		}
	})
}

func TestAHedgeHasItsTimeFromWhenItWasAskedItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", never)
		c.set("b", reply{after: hedgeAfter - 10*time.Millisecond}) // which is after the first is held for slow
		c.read(t, 1, "b")
		if a, b := c.failures("a"), c.failures("b"); a != 1 || b != 0 {
			t.Errorf("breakers have counted %d and %d failures, want 1 and 0", a, b)
		}
	})
}

func TestALosingHedgeIsLetGoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", reply{after: 60 * time.Millisecond})
		c.set("b", never)
		c.read(t, 1, "a")
		synctest.Wait()
		if n := c.flying.Load(); n != 0 {
			t.Errorf("%d attempts go on", n)
		}
	})
}

func TestOnlyReadsThatAreAnsweredSetThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		before := c.reads.hedgeAfter()
		for _, r := range []reply{quick, {after: 100 * time.Millisecond}} {
			for _, id := range []string{"a", "b", "c"} {
				c.set(id, r)
			}
			for range 20 {
				if _, err := c.run(plan{}, time.Minute); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, id := range []string{"a", "b", "c"} {
			c.set(id, fails)
		}
		for range 20 {
			_, _ = c.run(reading, 20*time.Millisecond)
		}
		if after := c.reads.hedgeAfter(); after != before {
			t.Errorf("hedged after %v, and %v once writes and failures have come", before, after)
		}
	})
}

func TestAClientThatGoesAwaySoonLeavesNoMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", never)
		_, _ = c.run(reading, 20*time.Millisecond)
		synctest.Wait()
		if n := c.flying.Load(); n != 0 {
			t.Errorf("%d attempts go on", n)
		}
		time.Sleep(hedgeAfter)
		if n := c.failures("a"); n != 0 {
			t.Errorf("its breaker has counted %d failures", n)
		}
	})
}

func TestAClientThatGoesAwayLeavesTheFirstItsTimeAndNoMarkOnTheHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", never)
		c.set("b", never)
		if got, err := c.run(reading, 100*time.Millisecond); err == nil {
			t.Errorf("answered by %q", got)
		}
		time.Sleep(hedgeAfter)
		synctest.Wait()
		if a, b := c.failures("a"), c.failures("b"); a != 1 || b != 0 {
			t.Errorf("breakers have counted %d and %d failures, want 1 and 0", a, b)
		}
	})
}

func TestHedgesAtTheReadsPaceAreATenthAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", reply{after: 100 * time.Millisecond})
		c.set("b", reply{after: 100 * time.Millisecond})
		const operations = 2000
		hedges := 0
		for range operations {
			c.reads.wait.Store(int64(40 * time.Millisecond)) // as if most reads had gone elsewhere
			hedges += len(c.read(t, 1, "a")) - 1
		}
		if most := operations/hedgeCost + hedgeSavings; hedges > most || hedges < most/2 {
			t.Errorf("%d hedges in %d operations, want close to %d", hedges, operations, most)
		}
	})
}

func TestAReadThatCannotAffordAHedgeAtItsPaceIsHeldForSlowLikeAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", never)
		c.savings.Store(0)
		start := time.Now()
		c.read(t, 1, "b")
		if took := time.Since(start); took != patience*hedgeAfter+10*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if n := c.failures("a"); n != 1 {
			t.Errorf("its breaker has counted %d failures, want 1", n)
		}
	})
}

func TestAFailureBeforeTheReadsPaceIsNotTakenForSlowness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", fails)
		c.set("b", never)
		start := time.Now()
		if asked := c.read(t, 1, "c"); !slices.Equal(asked, []string{"a", "b", "c"}) {
			t.Errorf("asked %v", asked)
		}
		if took := time.Since(start); took != time.Millisecond+hedgeAfter+10*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if n := c.failures("b"); n != 1 {
			t.Errorf("the breaker of the second has counted %d failures, want 1", n)
		}
	})
}

func TestHedgesThatWinAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := accustomed(t, 10*time.Millisecond, 40*time.Millisecond)
		c.set("a", never)
		c.read(t, 1, "b")
		c.set("a", reply{after: 45 * time.Millisecond}) // after the hedge and before its answer
		c.read(t, 1, "a")
		if sent, won := c.counted(t, "userinfo_cassandra_hedges_total"), c.counted(t, "userinfo_cassandra_hedges_won_total"); sent != 2 || won != 1 {
			t.Errorf("%v hedges, of which %v won, want 2 and 1", sent, won)
		}
	})
}

// counted is the value of one of the cluster's metrics without labels.
func (c *cluster) counted(t *testing.T, name string) float64 {
	t.Helper()
	families, err := c.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if m := f.GetMetric(); f.GetName() == name {
			return m[0].GetCounter().GetValue() + m[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
