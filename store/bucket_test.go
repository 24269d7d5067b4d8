package store

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestReplayer_UnreadableListIsNotAnEmptyList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, _ := deleteDuringCut(t, "k")
		local.start()
		synctest.Wait()
		c.change(func() { c.noReads = allBuckets() })
		time.Sleep(2 * scanInterval)
		synctest.Wait()
		local.wantMetrics("while the list cannot be read", map[string]float64{
			"": 1, "_oldest_seconds": 10, "_failed_total": 1 + 2*PendingBuckets, "_unreadable_buckets": PendingBuckets})
		local.wantLogged("pending deletes cannot be read", 1)
		local.wantLogged("all pending deletes are done", 0)
		c.change(func() { c.noReads, c.cut = nil, false })
		time.Sleep(2 * scanInterval)
		synctest.Wait()
		local.wantPending("after the list can be read", 0)
		local.wantMetrics("after the list can be read", map[string]float64{"_done_total": 1, "_failed_total": 1 + 2*PendingBuckets})
		local.wantLogged("all pending deletes are done", 1)
	})
}

// startWithBacklog starts an instance that has 100 pending deletes and is cut off. It returns one of the buckets and its entries.
func startWithBacklog(t *testing.T) (c *datacentres, local *instance, bucket int, page []PendingDelete) {
	t.Helper()
	c = newDatacentres()
	local = c.instance(t, 0, testFence)
	deleteMany(t, c, local, 100)
	bucket = PendingBucket("flood:1")
	page, err := local.table.Memory.ListPending(t.Context(), bucket, 100)
	if err != nil {
		t.Fatal(err)
	}
	local.start()
	synctest.Wait()
	return c, local, bucket, page
}

func TestReplayer_UnreadableBucketDoesNotStopOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, bad, page := startWithBacklog(t)
		c.change(func() { c.noReads = map[int]bool{bad: true} })
		c.reconnect()
		time.Sleep(2 * scanInterval)
		synctest.Wait()
		local.wantPending("while a bucket cannot be read", len(page))
		local.wantMetrics("while a bucket cannot be read", map[string]float64{"": float64(len(page)), "_oldest_seconds": 10,
			"_done_total": float64(100 - len(page)), "_failed_total": 3, "_unreadable_buckets": 1})
		local.wantLogged(fmt.Sprintf("buckets=sessions/%d ", bad), 1)
		local.wantLogged("all pending deletes are done", 0)
		c.change(func() { c.noReads = nil })
		time.Sleep(2 * scanInterval)
		synctest.Wait()
		local.wantPending("after it can be read", 0)
		local.wantMetrics("after it can be read", map[string]float64{"_done_total": 100, "_failed_total": 3})
		c.change(func() { c.noReads = map[int]bool{bad: true} })
		time.Sleep(2 * scanInterval)
		synctest.Wait()
		local.wantLogged(fmt.Sprintf("buckets=sessions/%d ", bad), 2)
	})
}

func TestReplayer_ReplaysTheReadablePartOfABucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, bad, page := startWithBacklog(t)
		c.change(func() { c.partReads = map[int]bool{bad: true} })
		c.reconnect()
		time.Sleep(scanInterval * 6 / 5)
		synctest.Wait()
		local.wantPending("while a part of a bucket can be read", len(page)-1)
		local.wantMetrics("while a part of a bucket can be read", map[string]float64{"": float64(len(page)), "_oldest_seconds": 5,
			"_done_total": float64(100 - len(page) + 1), "_failed_total": 2, "_unreadable_buckets": 1})
		local.wantLogged("all pending deletes are done", 0)
	})
}

func TestReplayer_GaugesAreUnknownUntilEveryBucketWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, _ := deleteDuringCut(t, "k")
		unknown := map[string]float64{"": math.NaN(), "_oldest_seconds": math.NaN()}
		local.wantMetrics("before the start", unknown)
		c.change(func() { c.noReads = map[int]bool{PendingBucket("k"): true} })
		local.start()
		synctest.Wait()
		unknown["_unreadable_buckets"], unknown["_failed_total"] = 1, 1
		local.wantMetrics("after a scan that could not read a bucket", unknown)
		c.change(func() { c.noReads = nil })
		time.Sleep(2 * scanInterval)
		synctest.Wait()
		local.wantMetrics("after every bucket was read", map[string]float64{"": 1, "_oldest_seconds": 10, "_failed_total": 3})
	})
}

// TestReplayer_BucketsThatTimeOutDelayOthersLittle has every bucket but one time out.
func TestReplayer_BucketsThatTimeOutDelayOthersLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, _ := deleteDuringCut(t, "k")
		c.change(func() {
			c.slowReads = allBuckets()
			delete(c.slowReads, PendingBucket("k"))
		})
		c.reconnect()
		local.start()
		time.Sleep(PendingBuckets / maxConcurrentReads * replayTimeout)
		synctest.Wait()
		local.wantPending("after one scan", 0)
		local.wantMetrics("after one scan", map[string]float64{"": math.NaN(), "_oldest_seconds": math.NaN(), "_done_total": 1,
			"_failed_total": PendingBuckets - 1, "_unreadable_buckets": PendingBuckets - 1})
	})
}

// TestReplayer_RestsAfterAnEmptyBucket counts the reads of a list that is seldom filled.
func TestReplayer_RestsAfterAnEmptyBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local, _ := deleteDuringCut(t, "k")
		local.replayer.buckets[0].list.Rest = time.Minute
		local.start()
		time.Sleep(10*time.Minute - time.Second)
		synctest.Wait()
		if reads, most := c.readsOf(PendingBucket("k")), c.readsOf((PendingBucket("k")+1)%PendingBuckets); reads < 100 || most > 10 {
			t.Errorf("the bucket with an entry was read %d times in 10 minutes, an empty one %d times", reads, most)
		}
	})
}
