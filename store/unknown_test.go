package store

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"userinfo/access"
)

// useUnknown gives a Replayer that has not started the lists of unknown collections. A bucket for which fails is true cannot be
// searched.
func (i *instance) useUnknown(c *datacentres, lists func() []PendingList, fails func(bucket int) bool) {
	i.replayer.options.Unknown = func(_ context.Context, bucket int) (found []PendingList, err error) {
		c.change(func() {
			if found = lists(); fails(bucket) {
				found, err = nil, errNoDatacentre
			}
		})
		return found, err
	}
}

// newRemoved returns the list of a collection that was removed from the configuration.
func newRemoved(t *testing.T, keys ...access.Key) PendingList {
	t.Helper()
	removed := NewMemory(1<<20, time.Now)
	for _, key := range keys {
		if err := removed.RecordPending(t.Context(), key, Deletion{Tombstone: 1}); err != nil {
			t.Fatal(err)
		}
	}
	return PendingList{Collection: "removed", Deletes: removed}
}

func TestReplayer_CountsDeletesOfUnknownCollections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		removed := newRemoved(t, "a", "b", "c")
		lists := []PendingList{removed, {Collection: "empty", Deletes: NewMemory(1<<20, time.Now)}}
		local.useUnknown(c, func() []PendingList { return lists }, func(int) bool { return false })
		local.start()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		local.wantMetrics("while a collection is unknown", map[string]float64{"_unknown_collection": 3})
		local.wantLogged("collection=removed pending=3", 1)
		local.wantLogged("collection=empty", 0)
		if page, err := removed.Deletes.ListPending(t.Context(), PendingBucket("a"), 1); err != nil || len(page) != 1 {
			t.Errorf("a delete of an unknown collection was removed: %v, %v", page, err)
		}
		c.change(func() { lists = nil })
		time.Sleep(unknownInterval + 2*scanInterval)
		synctest.Wait()
		if n, ok := local.metric("userinfo_pending_deletes_unknown_collection"); ok {
			t.Errorf("after it is configured again, the metric has the value %v", n)
		}
	})
}

func TestReplayer_UnknownCollectionIsCountedInReadableBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		bad, failing := PendingBucket("a"), true
		if PendingBucket("b") == bad {
			t.Fatal("the test needs keys of two buckets")
		}
		lists := []PendingList{newRemoved(t, "a", "b")}
		local.useUnknown(c, func() []PendingList { return lists }, func(bucket int) bool { return failing && bucket == bad })
		local.start()
		time.Sleep(unknownInterval - time.Second)
		synctest.Wait()
		const attempts = 12 // one at the start and one every 5 s
		local.wantMetrics("while a bucket cannot be searched", map[string]float64{"_unknown_collection": 1, "_failed_total": attempts, "_unreadable_buckets": 1})
		local.wantLogged("cannot be searched", 1)

		c.change(func() { failing = false })
		time.Sleep(2 * scanInterval)
		synctest.Wait()
		local.wantMetrics("after it can be searched", map[string]float64{"_unknown_collection": 2, "_failed_total": attempts})

		c.change(func() { failing = true })
		time.Sleep(unknownInterval + 2*scanInterval)
		synctest.Wait()
		local.wantLogged("cannot be searched", 2)
		c.change(func() { lists = nil })
		time.Sleep(unknownInterval + 2*scanInterval)
		synctest.Wait()
		if n, _ := local.metric("userinfo_pending_deletes_unknown_collection"); n != 1 {
			t.Errorf("a bucket that cannot be searched has %v deletes, want 1, the number of its last complete read", n)
		}
	})
}

func TestReplayer_UnknownBucketThatPanicsDoesNotStopOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		bad := min(PendingBucket("a"), PendingBucket("b")) // the other one is read after it
		local.useUnknown(c, func() []PendingList { return []PendingList{newRemoved(t, "a", "b")} }, func(bucket int) bool {
			if bucket == bad {
				panic("in the test")
			}
			return false
		})
		local.start()
		time.Sleep(2 * scanInterval)
		synctest.Wait()
		if n, _ := local.metric("userinfo_pending_deletes_unknown_collection"); n != 1 {
			t.Errorf("%v deletes were counted, want 1", n)
		}
		if n, _ := local.metric("userinfo_pending_deletes_unreadable_buckets"); n != 1 {
			t.Errorf("%v buckets are unreadable, want 1", n)
		}
	})
}

// TestReplayer_UnknownBucketsThatTimeOutDelayNoScan has every bucket of an unknown collection time out.
func TestReplayer_UnknownBucketsThatTimeOutDelayNoScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, _ := deleteDuringCut(t, "k")
		hanging := newDatacentres()
		hanging.slowReads = allBuckets()
		lists := []PendingList{{Collection: "removed", Deletes: hanging.table(0)}}
		local.useUnknown(c, func() []PendingList { return lists }, func(int) bool { return false })
		local.start()
		time.Sleep(3 * scanInterval)
		synctest.Wait()
		if reads := c.readsOf(PendingBucket("k")); reads < 3 {
			t.Errorf("a bucket was scanned %d times in %v, want 3", reads, 3*scanInterval)
		}
		c.reconnect()
		time.Sleep(2 * scanInterval)
		synctest.Wait()
		local.wantPending("after the return", 0)
		time.Sleep(PendingBuckets*replayTimeout + 2*scanInterval)
		synctest.Wait()
		if n, _ := local.metric("userinfo_pending_deletes_unreadable_buckets"); n != PendingBuckets {
			t.Errorf("%v buckets are unreadable, want %d", n, PendingBuckets)
		}
	})
}
