package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"userinfo/access"
)

func TestReplayer_CountsDeletesOfUnknownCollections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local := c.instance(t, 0, testFence)
		removed, failing := NewMemory(1<<20, time.Now), false
		for _, key := range []access.Key{"a", "b", "c"} {
			if err := removed.RecordPending(t.Context(), key, Deletion{Tombstone: 1}); err != nil {
				t.Fatal(err)
			}
		}
		lists := []PendingList{{Collection: "removed", Deletes: removed}, {Collection: "empty", Deletes: NewMemory(1<<20, time.Now)}}
		local.replayer.options.Unknown = func(context.Context) (found []PendingList, err error) {
			c.change(func() {
				if found = lists; failing {
					found, err = nil, errNoDatacentre
				}
			})
			return found, err
		}
		local.start()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		local.wantMetrics("while a collection is unknown", map[string]float64{"_unknown_collection": 3})
		local.wantLogged("collection=removed pending=3", 1)
		local.wantLogged("collection=empty", 0)
		if page, err := removed.ListPending(t.Context(), PendingBucket("a"), 1); err != nil || len(page) != 1 {
			t.Errorf("a delete of an unknown collection was removed: %v, %v", page, err)
		}

		c.change(func() { failing = true })
		time.Sleep(unknownInterval + 2*scanInterval)
		synctest.Wait()
		local.wantMetrics("while the count fails", map[string]float64{"_unknown_collection": 3, "_failed_total": 1})

		c.change(func() { failing, lists = false, nil })
		time.Sleep(unknownInterval + 2*scanInterval)
		synctest.Wait()
		local.wantMetrics("after it is configured again", map[string]float64{"_failed_total": 1})
	})
}

func TestReplayer_UnknownCollectionThatCannotBeReadKeepsItsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDatacentres()
		local, other := c.instance(t, 0, testFence), c.instance(t, 0, testFence)
		c.change(func() { c.noReads = allBuckets() })
		local.replayer.options.Unknown = func(context.Context) ([]PendingList, error) {
			return []PendingList{{Collection: "removed", Deletes: other.table}}, nil
		}
		if _, err := local.replayer.readUnknown(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("error %v, want %v", err, ErrUnavailable)
		}
	})
}
