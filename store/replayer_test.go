package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"userinfo/access"
)

const (
	testFence = time.Minute
	// recoveryTime is how long a delete may stay pending after a datacentre has returned.
	recoveryTime = time.Minute
)

// deleteDuringCut sets a value in both datacentres, cuts them apart, and deletes the value through local, an instance of
// the first datacentre. remote is an instance of the second.
func deleteDuringCut(t *testing.T, key access.Key) (c *datacentres, local, remote *instance) {
	t.Helper()
	c = newDatacentres()
	local, remote = c.instance(t, 0, testFence), c.instance(t, 1, testFence)
	local.set(key)
	c.change(func() { c.cut = true })
	local.delete(key, ErrNotEverywhere)
	return c, local, remote
}

func TestReplayer_FinishesWithinAMinuteOfTheReturn(t *testing.T) {
	for name, outage := range map[string]time.Duration{
		"after seconds": 5 * time.Second, "after minutes": 10 * time.Minute, "after longer than hints are kept": 4 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, local, remote := deleteDuringCut(t, "k")
				local.start()
				time.Sleep(outage)
				synctest.Wait()
				if outage < time.Hour { // the TTL
					remote.wantFound("during the cut", "k", true)
				}
				local.wantPending("during the cut", 1)
				c.reconnect()
				time.Sleep(recoveryTime)
				synctest.Wait()
				remote.wantFound("after the return", "k", false)
				local.wantPending("after the return", 0)
				local.wantLogged("deletes are pending", 1)
				local.wantLogged("all pending deletes are done", 1)
			})
		})
	}
}

// TestReplayer_DeletesValueThatTouchesKeepAlive shows why entries have no TTL.
func TestReplayer_DeletesValueThatTouchesKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, remote := deleteDuringCut(t, "k")
		for range 6 { // three times the largest TTL
			remote.touch("k")
			time.Sleep(12 * time.Hour)
		}
		remote.wantFound("during the cut", "k", true)
		c.reconnect()
		local.start()
		synctest.Wait()
		remote.wantFound("after the return", "k", false)
	})
}

func TestReplayer_FinishesDeletesOfAnotherInstance(t *testing.T) {
	for name, dc := range map[string]int{"in the same datacentre": 0, "in the other datacentre": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, local, remote := deleteDuringCut(t, "k")
				stop := local.start()
				time.Sleep(time.Minute)
				stop()
				if dc == 1 { // Cassandra repairs the entry there sooner or later; the fake cluster does not
					page, err := local.table.Memory.ListPending(t.Context(), PendingBucket("k"), 1)
					if err != nil || len(page) != 1 {
						t.Fatal(page, err)
					}
					if err := c.memories[1].RecordPending(t.Context(), page[0].Key, page[0].Deletion); err != nil {
						t.Fatal(err)
					}
				}
				c.reconnect()
				other := c.instance(t, dc, testFence)
				other.start()
				synctest.Wait()
				remote.wantFound("after the other instance has started", "k", false)
				other.wantPending("after the other instance has started", 0)
			})
		})
	}
}

func TestReplayer_SeveralInstancesReplayTheSameDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, remote := deleteDuringCut(t, "k")
		c.change(func() { c.latency = 100 * time.Millisecond })
		c.reconnect()
		for range 3 {
			c.instance(t, 0, testFence).start()
		}
		time.Sleep(recoveryTime)
		synctest.Wait()
		remote.wantFound("after all have replayed it", "k", false)
		local.wantPending("after all have replayed it", 0)
	})
}

func TestReplayer_RemovesEntryAfterTheClientHasDeletedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, remote := deleteDuringCut(t, "k")
		local.start()
		time.Sleep(time.Second)
		local.delete("k", ErrNotEverywhere)
		local.wantPending("after the second delete", 1)
		c.reconnect()
		local.delete("k", nil)
		remote.wantFound("after the third delete", "k", false)
		time.Sleep(2 * scanInterval)
		synctest.Wait()
		local.wantPending("after the next scan", 0)
		local.wantMetrics("after the next scan", map[string]float64{"_done_total": 1, "_failed_total": 1})
	})
}

func TestReplayer_KeepsValueThatWasSetAfterTheDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local, remote := c.instance(t, 0, 0), c.instance(t, 1, 0) // without a fence keys are used again
		local.set("k")
		c.change(func() { c.cut = true })
		local.delete("k", ErrNotEverywhere)
		time.Sleep(time.Second)
		local.set("k")
		c.reconnect()
		local.start()
		synctest.Wait()
		local.wantPending("after the return", 0)
		local.wantFound("after the return, local", "k", true)
		remote.wantFound("after the return, remote", "k", false) // only a hint would bring the second set there
	})
}

func TestReplayer_KeepsLaterDeleteIfAnEarlierOneIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, _ := deleteDuringCut(t, "k")
		earlier, err := local.table.Memory.ListPending(t.Context(), PendingBucket("k"), 1)
		if err != nil || len(earlier) != 1 {
			t.Fatal(earlier, err)
		}
		time.Sleep(time.Second)
		local.delete("k", ErrNotEverywhere)
		if err := c.table(0).RemovePending(t.Context(), earlier[0]); err != nil {
			t.Fatal(err)
		}
		local.wantPending("after the earlier delete is done", 1)
	})
}

func TestReplayer_ReplaysTheDeleteWithTheLargerTombstone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local, remote := c.instance(t, 0, testFence), c.instance(t, 1, testFence)
		ahead := time.Now().Add(time.Hour).UnixMicro() // from a clock that is ahead by more than the fence
		if err := local.table.Write(t.Context(), "k", []byte("v"), ahead, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		c.change(func() { c.cut = true })
		local.delete("k", ErrNotEverywhere) // sees the value: a large tombstone
		time.Sleep(time.Second)
		local.delete("k", ErrNotEverywhere) // sees no value: a smaller tombstone
		c.reconnect()
		local.start()
		synctest.Wait()
		remote.wantFound("after the return", "k", false)
		time.Sleep(3 * time.Hour)
		remote.wantFound("after the markers have expired", "k", false)
	})
}

func TestDeletion_Remaining(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	d := Deletion{Tombstone: 7, Marker: start.UnixMicro(), MarkerTTL: 92 * time.Second}
	for _, c := range []struct {
		name        string
		after, want time.Duration
	}{
		{"by a clock that is behind", -time.Hour, 92 * time.Second},
		{"at once", 0, 92 * time.Second},
		{"after a part of a second", time.Millisecond, 91 * time.Second},
		{"after half of the TTL", 46 * time.Second, 46 * time.Second},
		{"in the last second", 91*time.Second + 1, 0},
		{"after the TTL", time.Hour, 0},
	} {
		got := d.remaining(start.Add(c.after))
		if got.MarkerTTL != c.want || got.Tombstone != d.Tombstone || got.Marker != d.Marker {
			t.Errorf("%s: got %+v, want a marker of %v and the same timestamps", c.name, got, c.want)
		}
	}
	if got := (Deletion{Marker: start.UnixMicro()}).remaining(start); got.MarkerTTL != 0 {
		t.Errorf("without a marker: got a marker of %v", got.MarkerTTL)
	}
}

func TestReplayer_FenceEndsAsIfTheDeleteHadArrivedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, remote := deleteDuringCut(t, "k")
		deleted := time.Now()
		local.start()
		time.Sleep(20 * time.Second)
		c.reconnect()
		time.Sleep(2 * scanInterval)
		if err := remote.trySet("k"); !errors.Is(err, ErrDeleted) {
			t.Errorf("set within the fence: error %v, want %v", err, ErrDeleted)
		}
		time.Sleep(time.Until(deleted.Add(TombstoneLead(testFence) + testFence/2 + 3*time.Second)))
		remote.set("k")
		remote.wantFound("after the fence", "k", true)
	})
}

// deleteMany writes n values in the second datacentre, records pending deletes of them in the first, and cuts the
// datacentres apart. local is an instance of the first datacentre.
func deleteMany(t *testing.T, c *datacentres, local *instance, n int) (keys []access.Key) {
	t.Helper()
	now := time.Now()
	for k := range n {
		key := access.Key(fmt.Sprintf("flood:%d", k))
		keys = append(keys, key)
		d := Deletion{Tombstone: now.Add(testFence).UnixMicro(), Marker: now.UnixMicro(), MarkerTTL: 92 * time.Second}
		if err := errors.Join(
			c.memories[0].Delete(t.Context(), key, d, LocalQuorum), c.memories[0].RecordPending(t.Context(), key, d),
			c.memories[1].Write(t.Context(), key, []byte("v"), now.UnixMicro(), time.Hour),
		); err != nil {
			t.Fatal(err)
		}
	}
	c.change(func() { c.cut = true })
	local.wantPending("at first", n)
	return keys
}

func TestReplayer_TriesOneDeletePerScanDuringACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		deleteMany(t, c, local, 200)
		local.start()
		synctest.Wait()
		if attempts, _ := c.deletes(); attempts != 1 {
			t.Errorf("the first scan made %d attempts, want 1", attempts)
		}
		local.wantMetrics("after the first scan", map[string]float64{"": 200, "_failed_total": 1})
		time.Sleep(time.Minute)
		synctest.Wait()
		scans := 1 + int(time.Minute/scanInterval)
		if attempts, _ := c.deletes(); attempts != scans {
			t.Errorf("%d attempts in a minute, want one for each of %d scans", attempts, scans)
		}
		local.wantMetrics("after a minute", map[string]float64{"": 200, "_oldest_seconds": 60, "_failed_total": float64(scans)})
		local.wantLogged("deletes are pending", 1)
	})
}

func TestReplayer_LimitsConcurrentReplays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			n       = 5000 // minutes of logouts, at 25 a second
			latency = 40 * time.Millisecond
		)
		c := newDatacentres()
		local, remote := c.instance(t, 0, testFence), c.instance(t, 1, testFence)
		keys := deleteMany(t, c, local, n)
		local.start()
		time.Sleep(time.Minute)
		synctest.Wait()
		// A scan reads a limited number of entries, so it cannot count more.
		local.wantMetrics("during the cut", map[string]float64{"": PendingBuckets * scanLimit, "_oldest_seconds": 60, "_failed_total": 13})
		c.change(func() { c.latency = latency })
		c.reconnect()
		time.Sleep(scanInterval * 6 / 5) // until the next scan begins
		time.Sleep(n * latency / maxConcurrentReplays / 2)
		if left, _ := local.metric("userinfo_pending_deletes"); left != PendingBuckets*scanLimit {
			t.Errorf("while the backlog is replayed, %v deletes are pending, want the number of the last scan that reported", left)
		}
		time.Sleep(n * latency / maxConcurrentReplays * 3 / 4)
		synctest.Wait()
		for _, key := range keys {
			if row, err := remote.table.Read(t.Context(), key); err != nil || !row.Absent() {
				t.Fatalf("a deleted value still exists: %v (%v)", !row.Absent(), err)
			}
		}
		local.wantPending("after the return", 0)
		local.wantMetrics("after the return", map[string]float64{"_done_total": n, "_failed_total": 13})
		local.wantLogged("all pending deletes are done", 1)
		if _, most := c.deletes(); most != maxConcurrentReplays {
			t.Errorf("%d replays ran at the same time, want %d", most, maxConcurrentReplays)
		}
	})
}

func TestReplayer_FailingDeletesDoNotBlockOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		keys := deleteMany(t, c, local, 100)
		first := make(map[int]access.Key) // the first entry of each bucket
		for _, key := range keys {
			if old, ok := first[PendingBucket(key)]; !ok || key < old {
				first[PendingBucket(key)] = key
			}
		}
		c.change(func() {
			for _, key := range first {
				c.broken[key] = true
			}
		})
		c.reconnect()
		state := uint32(1) // of a small generator that is the same in every run
		local.replayer.options.Random = func(n int) int {
			state = state*1664525 + 1013904223
			return int(state>>16) % n
		}
		local.start()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		local.wantPending("while some deletes fail", len(first))
		c.change(func() { clear(c.broken) })
		time.Sleep(recoveryTime)
		synctest.Wait()
		local.wantPending("after they work", 0)
	})
}

func TestReplayer_ReplaysAgainIfRemovingTheEntryFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, remote := deleteDuringCut(t, "k")
		c.change(func() { c.cut, c.noWrites = false, true })
		local.start()
		synctest.Wait()
		remote.wantFound("after the return", "k", false)
		local.wantMetrics("while the entry cannot be removed", map[string]float64{"": 1, "_failed_total": 1})
		c.change(func() { c.noWrites = false })
		time.Sleep(2 * scanInterval)
		synctest.Wait()
		local.wantPending("after the entry can be removed", 0)
	})
}

func TestReplayer_StopsDuringAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, _ := deleteDuringCut(t, "k")
		c.change(func() { c.latency = time.Second })
		c.reconnect()
		stop := local.start()
		synctest.Wait()
		before := time.Now()
		stop()
		if took := time.Since(before); took > 0 {
			t.Errorf("stopping took %v", took)
		}
		local.wantPending("after it was stopped", 1)
		local.wantMetrics("after it was stopped", map[string]float64{"": math.NaN(), "_oldest_seconds": math.NaN()})
	})
}

func TestReplayer_LogsNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const key = "a-secret-session-key"
		c, local, _ := deleteDuringCut(t, key)
		c.change(func() { c.noWrites = true })
		local.delete(key, ErrUnavailable)
		local.start()
		time.Sleep(time.Minute)
		c.change(func() { c.noWrites, c.cut = false, false })
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, text := range []string{"is now pending", "could not be recorded", "deletes are pending", "all pending deletes are done"} {
			local.wantLogged(text, 1)
		}
		local.wantLogged("secret", 0)
	})
}

// panickingDeletes is a list that panics in one call of each kind.
type panickingDeletes struct {
	PendingDeletes
	list, delete, remove atomic.Bool // it has panicked
}

func once(done *atomic.Bool) {
	if !done.Swap(true) {
		panic("once")
	}
}

func (d *panickingDeletes) ListPending(ctx context.Context, bucket, limit int) ([]PendingDelete, error) {
	if bucket == PendingBucket("k") {
		once(&d.list)
	}
	return d.PendingDeletes.ListPending(ctx, bucket, limit)
}

func (d *panickingDeletes) Delete(ctx context.Context, key access.Key, deletion Deletion, c Consistency) error {
	once(&d.delete)
	return d.PendingDeletes.Delete(ctx, key, deletion, c)
}

func (d *panickingDeletes) RemovePending(ctx context.Context, p PendingDelete) error {
	once(&d.remove)
	return d.PendingDeletes.RemovePending(ctx, p)
}

func TestReplayer_GoesOnAfterPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, remote := deleteDuringCut(t, "k")
		c.reconnect()
		var d *panickingDeletes
		for _, b := range local.replayer.buckets {
			if d == nil {
				d = &panickingDeletes{PendingDeletes: b.list.Deletes}
				b.list.Deletes = d // all buckets share the list
			}
		}
		local.start()
		time.Sleep(recoveryTime)
		synctest.Wait()
		if !d.list.Load() || !d.delete.Load() || !d.remove.Load() {
			t.Fatal("not every call has panicked")
		}
		remote.wantFound("after three panics", "k", false)
		local.wantPending("after three panics", 0)
	})
}
