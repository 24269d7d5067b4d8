package store

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"userinfo/access"
)

const (
	fence = time.Minute
	// recovery is how long a delete may take from the datacentre's return on.
	recovery = time.Minute
)

// partition has a session in both datacentres, the link cut, and the session deleted through an instance of the first.
func partition(t *testing.T, key access.Key) (c *pair, taker, there *instance) {
	t.Helper()
	c = newPair()
	taker, there = c.instance(t, 0, fence), c.instance(t, 1, fence)
	taker.set(key)
	c.set(func() { c.cut = true })
	taker.delete(key, ErrNotEverywhere)
	return c, taker, there
}

func (c *pair) heal() { c.set(func() { c.cut = false }) }

func TestADeleteThatIsNotConfirmedIsListedBeforeTheAnswer(t *testing.T) {
	for applied, claim := range []string{"it was refused", "it may have been done here", "it may have been done everywhere"} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newPair()
				here, there := c.instance(t, 0, fence), c.instance(t, 1, fence)
				here.set("k")
				c.set(func() { c.cut, c.applied = true, applied })
				here.delete("k", ErrNotEverywhere)
				here.wantListed("at the answer", 1)
				here.want("at the answer, here", "k", false)
				there.want("at the answer, there", "k", applied < 2)
				here.wantMetrics("at the answer", nil)
				c.heal()
				here.start()
				synctest.Wait()
				there.want("after the return", "k", false)
				here.wantListed("after the return", 0)
			})
		})
	}
}

func TestADeleteThatIsConfirmedIsNotListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := newPair().instance(t, 0, fence)
		here.set("k")
		here.delete("k", nil)
		here.wantListed("at the answer", 0)
	})
}

func TestAPendingDeleteIsDoneWithinAMinuteOfTheDatacentresReturnAndNobodyNeedAsk(t *testing.T) {
	for claim, away := range map[string]time.Duration{
		"after seconds": 5 * time.Second, "after minutes": 10 * time.Minute, "after more than hints are kept": 4 * time.Hour,
	} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, taker, there := partition(t, "k")
				taker.start()
				time.Sleep(away)
				synctest.Wait()
				if away < time.Hour {
					there.want("while it is away", "k", true)
				}
				taker.wantListed("while it is away", 1)
				c.heal()
				time.Sleep(recovery)
				synctest.Wait()
				there.want("after its return", "k", false)
				taker.wantListed("after its return", 0)
				taker.wantLogged("deletes are pending", 1)
				taker.wantLogged("all pending deletes are done", 1)
			})
		})
	}
}

func TestAValueThatTouchesKeepAliveInTheDatacentreThatIsCutOffIsDeletedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, taker, there := partition(t, "k")
		for range 6 { // three times the largest TTL
			there.touch("k")
			time.Sleep(12 * time.Hour)
		}
		there.want("while it is away", "k", true)
		c.heal()
		taker.start()
		synctest.Wait()
		there.want("after its return", "k", false)
	})
}

func TestAnotherInstanceFinishesWhatTheFirstLeft(t *testing.T) {
	for claim, dc := range map[string]int{"in the same datacentre": 0, "in the other": 1} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, taker, there := partition(t, "k")
				stop := taker.start()
				time.Sleep(time.Minute)
				stop()
				if dc == 1 { // its ledger gets the entry when Cassandra's replicas are one again
					r := PendingDelete{}
					for bucket := range PendingBuckets {
						if page, err := taker.rows.Memory.ListPending(t.Context(), bucket, 1); err != nil || len(page) > 0 {
							r = page[0]
						}
					}
					if err := c.dcs[1].RecordPending(t.Context(), r.Key, r.Deletion); err != nil {
						t.Fatal(err)
					}
				}
				c.heal()
				heir := c.instance(t, dc, fence)
				heir.start()
				synctest.Wait()
				there.want("once another instance is up", "k", false)
				heir.wantListed("once another instance is up", 0)
			})
		})
	}
}

func TestInstancesThatCarryTheSameDeleteDoNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, taker, there := partition(t, "k")
		c.set(func() { c.cost = 100 * time.Millisecond })
		c.heal()
		for range 3 {
			c.instance(t, 0, fence).start()
		}
		time.Sleep(recovery)
		synctest.Wait()
		there.want("after all have carried it", "k", false)
		taker.wantListed("after all have carried it", 0)
	})
}

func TestAClientThatAsksAgainIsToldAsSoonAsItIsTrueAndNothingIsLeftPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, taker, there := partition(t, "k")
		taker.start()
		time.Sleep(time.Second)
		taker.delete("k", ErrNotEverywhere)
		taker.wantListed("asked twice", 1)
		c.heal()
		taker.delete("k", nil)
		there.want("at that answer", "k", false)
		time.Sleep(2 * carryInterval)
		synctest.Wait()
		taker.wantListed("a look later", 0)
		taker.wantMetrics("a look later", map[string]float64{"_done_total": 1, "_failed_total": 1})
	})
}

func TestWhatIsSetAfterADeleteSurvivesTheCarryingOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPair()
		here, there := c.instance(t, 0, 0), c.instance(t, 1, 0) // without a fence keys are used again
		here.set("k")
		c.set(func() { c.cut = true })
		here.delete("k", ErrNotEverywhere)
		time.Sleep(time.Second)
		here.set("k")
		c.heal()
		here.start()
		synctest.Wait()
		here.wantListed("after the return", 0)
		here.want("after the return, here", "k", true)
		there.want("after the return, there", "k", false) // it was set during the cut, and nothing but a hint takes it there
	})
}

// In the order in which two deletes of one key are listed, and the first perhaps struck out in between.
func TestALaterDeleteOfTheSameKeyStaysPendingWhenAnEarlierIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, taker, _ := partition(t, "k")
		earlier, err := taker.rows.Memory.ListPending(t.Context(), PendingBucket("k"), 1)
		if err != nil || len(earlier) != 1 {
			t.Fatal(earlier, err)
		}
		time.Sleep(time.Second)
		taker.delete("k", ErrNotEverywhere)
		if err := c.in(0).RemovePending(t.Context(), earlier[0]); err != nil {
			t.Fatal(err)
		}
		taker.wantListed("once the earlier is done", 1)
	})
}

func TestOfTwoDeletesTheOneThatHidesMoreStaysPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPair()
		here, there := c.instance(t, 0, fence), c.instance(t, 1, fence)
		ahead := time.Now().Add(time.Hour).UnixMicro() // of an instance whose clock is wrong by more than the fence
		if err := here.rows.Write(t.Context(), "k", []byte("v"), ahead, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		c.set(func() { c.cut = true })
		here.delete("k", ErrNotEverywhere) // saw the value and hides it
		time.Sleep(time.Second)
		here.delete("k", ErrNotEverywhere) // saw none and hides less
		c.heal()
		here.start()
		synctest.Wait()
		there.want("after the return", "k", false)
		time.Sleep(3 * time.Hour)
		there.want("when the markers are over", "k", false)
	})
}

func TestTheMarkerOfACarriedDeleteLivesNoLongerThanItWould(t *testing.T) {
	day := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	d := Deletion{Tombstone: 7, Marker: day.UnixMicro(), MarkerTTL: 92 * time.Second}
	for _, c := range []struct {
		claim       string
		after, want time.Duration
	}{
		{"by a clock that is behind", -time.Hour, 92 * time.Second},
		{"at once", 0, 92 * time.Second},
		{"a part of a second later", time.Millisecond, 91 * time.Second},
		{"half way", 46 * time.Second, 46 * time.Second},
		{"in its last second", 91*time.Second + 1, 0},
		{"when it is over", time.Hour, 0},
	} {
		got := d.rest(day.Add(c.after))
		if got.MarkerTTL != c.want || got.Tombstone != d.Tombstone || got.Marker != d.Marker {
			t.Errorf("%s: carried with %+v, want a marker of %v and the same timestamps", c.claim, got, c.want)
		}
	}
	if got := (Deletion{Marker: day.UnixMicro()}).rest(day); got.MarkerTTL != 0 {
		t.Errorf("a delete without a marker is carried with one of %v", got.MarkerTTL)
	}
}

func TestTheFenceHoldsInADatacentreThatTheDeleteReachesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, taker, there := partition(t, "k")
		deleted := time.Now()
		taker.start()
		time.Sleep(20 * time.Second)
		c.heal()
		time.Sleep(2 * carryInterval)
		set := func() error {
			return there.store.Set(t.Context(), there.caller(access.Set, "k"), "k", []byte("straggler"), time.Hour)
		}
		if err := set(); err == nil {
			t.Error("a straggler was taken within the fence")
		}
		over := deleted.Add(TombstoneLead(fence) + fence/2 + 3*time.Second) // not later than where it came in time
		time.Sleep(time.Until(over))
		if err := set(); err != nil {
			t.Errorf("after the fence: %v", err)
		}
		there.want("after the fence", "k", true)
	})
}

// flood has values deleted in the first datacentre that have yet to be in the second, which is away, and returns their
// keys.
func flood(t *testing.T, c *pair, i *instance, n int) (keys []access.Key) {
	t.Helper()
	now := time.Now()
	for k := range n {
		key := access.Key(fmt.Sprintf("flood:%d", k))
		keys = append(keys, key)
		r := Deletion{Tombstone: now.Add(fence).UnixMicro(), Marker: now.UnixMicro(), MarkerTTL: 92 * time.Second}
		if err := errors.Join(
			c.dcs[0].Delete(t.Context(), key, r, LocalQuorum), c.dcs[0].RecordPending(t.Context(), key, r),
			c.dcs[1].Write(t.Context(), key, []byte("v"), now.UnixMicro(), time.Hour),
		); err != nil {
			t.Fatal(err)
		}
	}
	c.set(func() { c.cut = true })
	i.wantListed("in a flood", n)
	return keys
}

func TestWhileADatacentreIsAwayALookTriesOneOfAllThatIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPair()
		here := c.instance(t, 0, fence)
		flood(t, c, here, 200)
		here.start()
		synctest.Wait()
		if attempts, _ := c.tried(); attempts != 1 {
			t.Errorf("the first look made %d attempts, want 1", attempts)
		}
		here.wantMetrics("after the first look", map[string]float64{"": 200, "_failed_total": 1})
		time.Sleep(time.Minute)
		synctest.Wait()
		looks := 1 + int(time.Minute/(carryInterval*4/5+carryInterval/5))
		if attempts, _ := c.tried(); attempts != looks {
			t.Errorf("in a minute there were %d attempts, want one for each of %d looks", attempts, looks)
		}
		here.wantMetrics("after a minute", map[string]float64{"": 200, "_oldest_seconds": 60, "_failed_total": float64(looks)})
		here.wantLogged("deletes are pending", 1)
	})
}

func TestAFloodIsDoneAtHundredsASecondAndNeverManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000 // minutes of logouts at 25 a second
		c := newPair()
		here, there := c.instance(t, 0, fence), c.instance(t, 1, fence)
		keys := flood(t, c, here, n)
		here.start()
		time.Sleep(time.Minute)
		synctest.Wait()
		// What a look reads is bounded, so that this is all it can tell.
		here.wantMetrics("while it is away", map[string]float64{"": PendingBuckets * carryPage, "_oldest_seconds": 60, "_failed_total": 13})
		c.set(func() { c.cost = 40 * time.Millisecond }) // for a round trip between datacentres
		c.heal()
		time.Sleep(n * 40 * time.Millisecond / carryAtOnce * 5 / 4)
		time.Sleep(carryInterval * 6 / 5) // until it looks
		synctest.Wait()
		for _, key := range keys {
			if r, err := there.rows.Read(t.Context(), key); err != nil || !r.Absent() {
				t.Fatalf("a deleted value is still there: %v (%v)", !r.Absent(), err)
			}
		}
		here.wantListed("after the return", 0)
		here.wantMetrics("after the return", map[string]float64{"_done_total": n, "_failed_total": 13})
		if _, most := c.tried(); most != carryAtOnce {
			t.Errorf("%d were carried at once, want %d", most, carryAtOnce)
		}
	})
}

func TestDeletesThatFailAgainAndAgainDoNotKeepOthersWaitingForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPair()
		here := c.instance(t, 0, fence)
		keys := flood(t, c, here, 100)
		first := make(map[int]access.Key) // of each bucket
		for _, key := range keys {
			if old, ok := first[PendingBucket(key)]; !ok || key < old {
				first[PendingBucket(key)] = key
			}
		}
		c.set(func() {
			for _, key := range first {
				c.broken[key] = true
			}
		})
		c.heal()
		coin := uint32(1) // a small generator, the same in every run
		here.carrier.tools.Random = func(n int) int {
			coin = coin*1664525 + 1013904223
			return int(coin>>16) % n
		}
		here.start()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		here.wantListed("with some that cannot be done", len(first))
		c.set(func() { clear(c.broken) })
		time.Sleep(recovery)
		synctest.Wait()
		here.wantListed("once they can be done", 0)
	})
}

func TestADeleteThatCannotBeListedIsDoneHereAndSaidAloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPair()
		here := c.instance(t, 0, fence)
		here.set("k")
		c.set(func() { c.cut, c.unlisted = true, true })
		here.delete("k", ErrNotEverywhere)
		here.want("at the answer", "k", false)
		here.wantMetrics("at the answer", map[string]float64{"_unrecorded_total": 1})
		here.wantLogged("level=ERROR", 1)
		here.wantLogged("could not be recorded", 1)
	})
}

func TestADeleteThatCannotBeStruckOutIsDoneAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, taker, there := partition(t, "k")
		c.set(func() { c.cut, c.unlisted = false, true })
		taker.start()
		synctest.Wait()
		there.want("after the return", "k", false)
		taker.wantMetrics("while it cannot be struck out", map[string]float64{"": 1, "_failed_total": 1})
		c.set(func() { c.unlisted = false })
		time.Sleep(2 * carryInterval)
		synctest.Wait()
		taker.wantListed("once it can", 0)
	})
}

func TestALedgerThatCannotBeReadIsNotTakenForAnEmptyOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, taker, _ := partition(t, "k")
		taker.start()
		synctest.Wait()
		c.set(func() { c.unread = true })
		time.Sleep(2 * carryInterval)
		synctest.Wait()
		taker.wantMetrics("while it cannot be read", map[string]float64{"": 1, "_failed_total": 3})
		taker.wantLogged("cannot look for pending deletes", 1)
		taker.wantLogged("all pending deletes are done", 0)
		c.set(func() { c.unread, c.cut = false, false })
		time.Sleep(2 * carryInterval)
		synctest.Wait()
		taker.wantListed("once it can", 0)
	})
}

func TestACarrierEndsWithItsContextInTheMiddleOfItsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, taker, _ := partition(t, "k")
		c.set(func() { c.cost = time.Second })
		c.heal()
		stop := taker.start()
		synctest.Wait()
		begun := time.Now()
		stop()
		if took := time.Since(begun); took > 0 {
			t.Errorf("it took %v to stop", took)
		}
		taker.wantListed("after it was stopped", 1)
		taker.wantMetrics("after it was stopped", nil)
	})
}

func TestNoKeyIsInTheLogOfPendingDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const key = "a-secret-session-key"
		c, taker, _ := partition(t, key)
		c.set(func() { c.unlisted = true })
		taker.delete(key, ErrNotEverywhere)
		taker.start()
		time.Sleep(time.Minute)
		c.set(func() { c.unlisted, c.cut = false, false })
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, message := range []string{"is pending", "could not be recorded", "deletes are pending", "all pending deletes are done"} {
			taker.wantLogged(message, 1)
		}
		taker.wantLogged("secret", 0)
	})
}
