package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/access"
)

// undetected is the time that a delete at EachQuorum takes to fail while Cassandra has not noticed a cut.
const undetected = 2 * time.Second

// deleteFor is delete, and returns how long it took.
func (i *instance) deleteFor(key access.Key, want error) time.Duration {
	i.Helper()
	start := time.Now()
	i.delete(key, want)
	return time.Since(start)
}

// cutUndetected cuts the datacentres apart. applied says how many of them apply deletes that fail.
func (c *datacentres) cutUndetected(applied int) {
	c.change(func() { c.cut, c.applied, c.latency = true, applied, undetected })
}

// heal ends a cut. Deletes are confirmed after latency.
func (c *datacentres) heal(latency time.Duration) {
	c.change(func() { c.cut, c.latency = false, latency })
}

// hurry makes deletes of the instance hurried, with two deletes that are not confirmed.
func (i *instance) hurry() {
	i.Helper()
	i.delete("first", ErrNotEverywhere)
	i.delete("second", ErrNotEverywhere)
	time.Sleep(undetected)
	synctest.Wait()
	if !i.isHurried() {
		i.Fatal("deletes are not hurried")
	}
}

func (i *instance) isHurried() bool {
	c := i.collection.confirmations
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unconfirmed >= unconfirmedLimit
}

func TestConfirmations_LaterDeletesDoNotWaitForCut(t *testing.T) {
	for applied, name := range []string{"no datacentre applies the attempt", "the local datacentre applies it", "every datacentre applies it"} {
		for _, pause := range []time.Duration{0, 40 * time.Millisecond, time.Second} {
			t.Run(fmt.Sprintf("%s, a delete every %v", name, pause), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testCut(t, applied, pause) })
			})
		}
	}
}

// testCut deletes 20 keys during a cut: a new one after each pause or, if pause is 0, when the delete before has returned.
func testCut(t *testing.T, applied int, pause time.Duration) {
	const n = 20
	c := newDatacentres()
	local, remote := c.instance(t, 0, testFence), c.instance(t, 1, testFence)
	for k := range n {
		local.set(access.Key(fmt.Sprint("k", k)))
	}
	c.cutUndetected(applied)
	var deletes sync.WaitGroup
	for k := range n {
		key := access.Key(fmt.Sprint("k", k))
		one := func() {
			if took := local.deleteFor(key, ErrNotEverywhere); k >= 2 && took > 500*time.Millisecond {
				t.Errorf("delete %d took %v", k, took)
			}
			// At the moment of the answer, its promise must be true already.
			local.wantFound("after the answer", key, false)
			page, err := local.table.Memory.ListPending(t.Context(), PendingBucket(key), n)
			if err != nil || !containsKey(page, key) {
				t.Errorf("delete %d was answered before it was recorded", k)
			}
		}
		if pause == 0 {
			one()
		} else {
			deletes.Go(one)
			time.Sleep(pause)
		}
	}
	deletes.Wait()
	local.wantPending("during the cut", n)
	c.heal(20 * time.Millisecond)
	local.start()
	time.Sleep(recoveryTime)
	synctest.Wait()
	local.wantPending("after the return", 0)
	for k := range n {
		remote.wantFound("after the return", access.Key(fmt.Sprint("k", k)), false)
	}
}

func containsKey(page []PendingDelete, key access.Key) bool {
	for _, p := range page {
		if p.Key == key {
			return true
		}
	}
	return false
}

func TestConfirmations_ConfirmedDeleteEndsHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local, remote := c.instance(t, 0, testFence), c.instance(t, 1, testFence)
		local.set("third")
		c.cutUndetected(0)
		local.hurry()
		c.heal(20 * time.Millisecond)
		if took := local.deleteFor("third", nil); took > longestWait {
			t.Errorf("the first delete after the cut took %v", took)
		}
		remote.wantFound("after the answer", "third", false)
		if local.isHurried() {
			t.Error("deletes are still hurried after one was confirmed")
		}
		local.wantPending("after the first delete", 3) // recorded at the same time as it was confirmed
		local.delete("fourth", nil)
		local.wantPending("after the second delete", 3)
		local.wantLogged("a datacentre does not confirm deletes", 1)
		local.wantLogged("every datacentre confirms deletes again", 1)
	})
}

func TestConfirmations_LateConfirmationEndsHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		c.cutUndetected(0)
		local.hurry()
		c.heal(time.Second)
		local.delete("third", ErrNotEverywhere)
		if !local.isHurried() {
			t.Error("deletes are not hurried before the attempt has ended")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if local.isHurried() {
			t.Error("deletes are still hurried after the attempt was confirmed")
		}
		if got := testutil.ToFloat64(local.collection.metrics.hurried); got != 2 { // the second and the third
			t.Errorf("%v deletes count as hurried, want 2", got)
		}
	})
}

func TestConfirmations_WaitAsLongAsConfirmedDeletesTake(t *testing.T) {
	for latency, want := range map[time.Duration]time.Duration{
		0: shortestWait, 60 * time.Millisecond: 120 * time.Millisecond, 400 * time.Millisecond: longestWait,
	} {
		t.Run(latency.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newDatacentres()
				local := c.instance(t, 0, testFence)
				c.heal(latency)
				for k := range 100 {
					local.delete(access.Key(fmt.Sprint("k", k)), nil)
				}
				c.cutUndetected(0)
				local.hurry()
				if took := local.deleteFor("third", ErrNotEverywhere); (took - want).Abs() > time.Millisecond {
					t.Errorf("a hurried delete took %v, want %v", took, want)
				}
			})
		})
	}
}

func TestConfirmations_OneFailingPartitionDoesNotHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		c.change(func() { c.broken["broken"], c.latency = true, 100*time.Millisecond })
		for k := range 10 {
			var both sync.WaitGroup
			both.Go(func() { local.delete("broken", ErrNotEverywhere) })
			both.Go(func() { local.delete(access.Key(fmt.Sprint("k", k)), nil) })
			both.Wait()
			if local.isHurried() {
				t.Fatalf("round %d: deletes are hurried", k)
			}
		}
		local.wantPending("at the end", 1)
		local.hurryByPartition("broken")
		local.delete("k", nil) // hurried, and confirmed in its usual time
		if local.isHurried() {
			t.Error("deletes are still hurried after one was confirmed")
		}
	})
}

// hurryByPartition makes deletes hurried with two deletes of a key whose partition fails.
func (i *instance) hurryByPartition(key access.Key) {
	i.Helper()
	i.delete(key, ErrNotEverywhere)
	i.delete(key, ErrNotEverywhere)
	if !i.isHurried() {
		i.Fatal("deletes are not hurried")
	}
}

func TestConfirmations_SlowDeletesThatAreConfirmedAreNotHurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		c.heal(overdueAfter * 2)
		for k := range 5 {
			local.delete(access.Key(fmt.Sprint("k", k)), nil)
		}
		local.wantPending("at the end", 0)
	})
}

func TestConfirmations_DeletesOverASlowLinkAreNotHurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		c.heal(600 * time.Millisecond)
		for k := range 10 {
			local.delete(access.Key(fmt.Sprint("k", k)), nil)
		}
		var both sync.WaitGroup
		both.Go(func() { local.delete("a", nil) })
		both.Go(func() { local.delete("b", nil) })
		both.Wait()
		local.wantPending("at the end", 0)
	})
}

func TestConfirmations_MinuteWithoutDeletesEndsHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		c.cutUndetected(0)
		local.hurry()
		time.Sleep(forgetAfter + time.Second)
		if took := local.deleteFor("third", ErrNotEverywhere); took != undetected {
			t.Errorf("the first delete after a minute took %v, want %v", took, undetected)
		}
	})
}

func TestConfirmations_HurriedDeleteThatCannotBeFinished(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*datacentres, *instance)
		want   error
		counts float64 // of userinfo_pending_deletes_unrecorded_total
	}{
		{"recording fails", func(c *datacentres, _ *instance) { c.change(func() { c.noWrites = true }) }, ErrUnavailable, 1},
		{"recording fails, but every datacentre confirms", func(c *datacentres, _ *instance) {
			c.heal(20 * time.Millisecond)
			c.change(func() { c.noWrites = true })
		}, nil, 0},
		{"the local datacentre fails", func(_ *datacentres, i *instance) { i.collection.rows = noLocalDelete{i.table} }, ErrUnavailable, 0},
		{"the local datacentre fails, but every datacentre confirms", func(c *datacentres, i *instance) {
			c.heal(20 * time.Millisecond)
			i.collection.rows = noLocalDelete{i.table}
		}, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newDatacentres()
				local := c.instance(t, 0, testFence)
				c.cutUndetected(0)
				local.hurry()
				test.change(c, local)
				local.delete("k", test.want)
				local.wantMetrics("after the delete", map[string]float64{"_unrecorded_total": test.counts})
			})
		})
	}
}

// noLocalDelete is a table whose deletes at LocalQuorum fail.
type noLocalDelete struct{ Rows }

func (n noLocalDelete) Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error {
	if c == LocalQuorum {
		return errNoDatacentre
	}
	return n.Rows.Delete(ctx, key, d, c)
}

func TestConfirmations_LimitsAttemptsOfHurriedDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		c.cutUndetected(0)
		local.hurry()
		const n = 2 * maxHurriedAttempts
		var all sync.WaitGroup
		for k := range n {
			all.Go(func() {
				if took := local.deleteFor(access.Key(fmt.Sprint("k", k)), ErrNotEverywhere); took > longestWait {
					t.Errorf("a delete took %v", took)
				}
			})
		}
		all.Wait()
		local.wantPending("at the end", 2+n)
		if _, most := c.deletes(); most != maxHurriedAttempts {
			t.Errorf("%d attempts ran at the same time, want %d", most, maxHurriedAttempts)
		}
	})
}

func TestConfirmations_AttemptOutlivesItsRequestButNotItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		c.cutUndetected(0)
		local.hurry()
		c.change(func() { c.latency = time.Hour })
		ctx, cancel := context.WithTimeout(t.Context(), 2800*time.Millisecond)
		start := time.Now()
		if err := local.collection.Delete(ctx, newCaller(t, access.Delete, "k"), "k"); !errors.Is(err, ErrNotEverywhere) {
			t.Errorf("got error %v, want %v", err, ErrNotEverywhere)
		}
		cancel()
		synctest.Wait()
		if running := c.runningDeletes(); running != 1 {
			t.Errorf("%d attempts run after the answer, want 1", running)
		}
		time.Sleep(time.Until(start.Add(2800*time.Millisecond - localReserve)))
		synctest.Wait()
		if running := c.runningDeletes(); running != 0 {
			t.Errorf("%d attempts run after the deadline, want 0", running)
		}
	})
}

func (c *datacentres) runningDeletes() (running int) {
	c.change(func() { running = c.running })
	return running
}

func TestConfirmations_CloseCancelsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		c.cutUndetected(0)
		local.hurry()
		local.delete("third", ErrNotEverywhere)
		start := time.Now()
		local.collection.confirmations.Close()
		if took := time.Since(start); took > 0 || c.runningDeletes() != 0 {
			t.Errorf("Close took %v, and %d attempts still run", took, c.runningDeletes())
		}
		local.delete("fourth", ErrNotEverywhere)
		local.wantPending("after a delete after Close", 4)
	})
}

// panickingRows panics in every Delete at EachQuorum, and in RecordPending if record is set.
type panickingRows struct {
	Rows
	record bool
}

func (r panickingRows) Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error {
	if c == EachQuorum {
		panic("in the attempt")
	}
	return r.Rows.Delete(ctx, key, d, c)
}

func (r panickingRows) RecordPending(ctx context.Context, key access.Key, d Deletion) error {
	if r.record {
		panic("while recording")
	}
	return r.Rows.RecordPending(ctx, key, d)
}

func TestConfirmations_PanicOfAttemptIsUnconfirmedDelete(t *testing.T) {
	for record, want := range map[bool]error{false: ErrNotEverywhere, true: ErrUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			c := newTestCollection(t, panickingRows{NewMemory(1<<20, time.Now), record}, time.Minute, 0)
			for range 3 {
				if err := c.Delete(t.Context(), newCaller(t, access.Delete, testKey), testKey); !errors.Is(err, want) {
					t.Errorf("%v; want %v", err, want)
				}
			}
			if n := testutil.ToFloat64(c.metrics.unrecorded); (n > 0) != record {
				t.Errorf("%v deletes could not be recorded; recording panics: %v", n, record)
			}
			c.confirmations.Close() // returns only if no attempt counts as running
		})
	}
}
