//go:build integration

package cassandra_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/internal/testcluster"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
	"userinfo/store/storetest"
)

// pendingCluster is a cluster of two datacentres, whose nodes refuse reads that cross more than 1,200 tombstones.
type pendingCluster struct {
	*testcluster.Cluster
	admin      *cassandra.Admin
	near, far  *cassandra.Session // in dc1 and dc2
	collection store.CollectionConfig
}

// TestPendingDeletes_AreAlwaysFound tests the layout of the list of pending deletes.
func TestPendingDeletes_AreAlwaysFound(t *testing.T) {
	c := startPendingCluster(t)
	t.Run("a scan goes on however many entries were removed", c.removesMany)
	t.Run("an entry that is recorded while its segment is finished is found", c.recordsWhileFinishing)
	t.Run("a datacentre that has the segment but not the entry keeps it", c.asksOtherDatacentre)
	t.Run("entries of earlier versions are found", c.migrates)
	t.Run("deletes of collections that are not configured are found", c.findsUnknown)
}

func startPendingCluster(t *testing.T) *pendingCluster {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cluster, config := startCluster(t, ctx, testcluster.Options{NodesPerDC: 1,
		YAML: "tombstone_warn_threshold: 1100\ntombstone_failure_threshold: 1200\n"})
	config.Timeout = 2300 * time.Millisecond
	log := slog.New(slog.DiscardHandler)
	admin, err := cassandra.OpenAdmin(ctx, config, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	c := &pendingCluster{Cluster: cluster, admin: admin,
		collection: store.CollectionConfig{Name: "sessions", Table: storetest.TableName, Layout: store.LayoutUserInfo, MaxTTL: storetest.MaxTTL, Fence: time.Minute}}
	err = schema.Apply(ctx, admin, schema.Spec{
		Keyspace: config.Keyspace, Replication: map[string]int{"dc1": 1, "dc2": 1}, LocalDatacentre: "dc1",
		Tables: []schema.Table{{Name: c.collection.Table, Layout: c.collection.Layout, MaxTTL: c.collection.MaxTTL, Fence: c.collection.Fence}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func(dc string) *cassandra.Session {
		config.LocalDatacentre, config.Hosts = dc, cluster.Hosts(dc)
		s, err := cassandra.Open(ctx, config, cassandra.NewMetrics(prometheus.NewRegistry()), log, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	c.near, c.far = open("dc1"), open("dc2")
	return c
}

// newDeletion returns a delete of now.
func newDeletion() store.Deletion {
	now := time.Now().UnixMicro()
	return store.Deletion{Tombstone: now + 63_000_000, Marker: now, MarkerTTL: 95 * time.Second}
}

// keysOf returns n keys of bucket 0.
func keysOf(prefix string, n int) (keys []access.Key) {
	for k := 0; len(keys) < n; k++ {
		if key := access.Key(fmt.Sprintf("%s:%d", prefix, k)); store.PendingBucket(key) == 0 {
			keys = append(keys, key)
		}
	}
	return keys
}

// forAll calls do for all elements, 32 at a time.
func forAll[T any](all []T, do func(T)) {
	for part := range slices.Chunk(all, 32) {
		var running sync.WaitGroup
		for _, one := range part {
			running.Go(func() { do(one) })
		}
		running.Wait()
	}
}

func (c *pendingCluster) record(t *testing.T, table *cassandra.Table, keys ...access.Key) {
	t.Helper()
	forAll(keys, func(key access.Key) {
		if err := table.RecordPending(t.Context(), key, newDeletion()); err != nil {
			t.Error(err)
		}
	})
}

// list returns up to 500 entries of bucket 0.
func list(t *testing.T, deletes store.PendingDeletes) []store.PendingDelete {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	page, err := deletes.ListPending(ctx, 0, 500)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// wantKeys checks the keys of bucket 0.
func wantKeys(t *testing.T, when string, deletes store.PendingDeletes, want ...access.Key) {
	t.Helper()
	var keys []access.Key
	for _, p := range list(t, deletes) {
		keys = append(keys, p.Key)
	}
	slices.Sort(keys)
	if !slices.Equal(keys, want) {
		t.Errorf("%s: pending are %q, want %q", when, keys, want)
	}
}

func removeAll(t *testing.T, deletes store.PendingDeletes) (removed int) {
	t.Helper()
	for page := list(t, deletes); len(page) > 0; page = list(t, deletes) {
		forAll(page, func(p store.PendingDelete) {
			if err := deletes.RemovePending(t.Context(), p); err != nil {
				t.Error(err)
			}
		})
		removed += len(page)
	}
	return removed
}

// removesMany removes more entries of one bucket than a read may cross. In the table of earlier versions that many
// cannot be crossed.
func (c *pendingCluster) removesMany(t *testing.T) {
	const n = 3500
	table := c.near.Table(c.collection)
	keys := keysOf("many", n)
	c.record(t, table, keys...)
	segments, err := table.ListSegments(t.Context(), 0)
	if err != nil || len(segments) < 4 {
		t.Fatalf("%d entries are in %d segments (%v), want at least 4", n, len(segments), err)
	}
	if removed := removeAll(t, table); removed < n {
		t.Errorf("%d of %d entries were listed", removed, n)
	}
	c.record(t, table, keys[0])
	wantKeys(t, "after all were removed", table, keys[0])
	removeAll(t, table)
	if segments, err := table.ListSegments(t.Context(), 0); err != nil || len(segments) > 0 {
		t.Errorf("at the end, %d segments are listed (%v), want none", len(segments), err)
	}
}

// recordsWhileFinishing records an entry between the two steps of finishing a segment.
func (c *pendingCluster) recordsWhileFinishing(t *testing.T) {
	table, other := c.near.Table(c.collection), c.far.Table(c.collection)
	keys := keysOf("race", 2)
	c.record(t, table, keys[0])
	read, err := table.ListSegments(t.Context(), 0)
	if err != nil || len(read) != 1 {
		t.Fatalf("segments: %v, %v", read, err)
	}
	removed := list(t, table)
	if err := table.RemovePending(t.Context(), removed[0]); err != nil {
		t.Fatal(err)
	}
	c.record(t, table, keys[1])
	for _, one := range []*cassandra.Table{other, table} {
		if err := one.UnlistSegment(t.Context(), 0, read[0]); err != nil {
			t.Fatal(err)
		}
	}
	wantKeys(t, "after the segment was finished as it was before", table, keys[1])
	removeAll(t, table)
}

// asksOtherDatacentre has an entry in dc1 only. dc2 has the row of its segment, as if its hint had come and the entry's
// had been lost.
func (c *pendingCluster) asksOtherDatacentre(t *testing.T) {
	ctx := t.Context()
	table, other := c.near.Table(c.collection), c.far.Table(c.collection)
	key := keysOf("cut", 1)[0]
	if _, err := c.Nodes("dc1")[0].Nodetool(ctx, "disablehandoff"); err != nil {
		t.Fatal(err)
	}
	cut := c.LinkBetween("dc1", "dc2")
	if err := c.Cut(ctx, cut); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.HealAll(context.Background()) })
	c.record(t, table, key)
	segments, err := table.ListSegments(ctx, 0)
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments: %v, %v", segments, err)
	}
	if err := other.ListSegment(ctx, 0, segments[0]); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, "in dc2, during the cut", other)
	if kept, err := other.ListSegments(ctx, 0); err != nil || !slices.Equal(kept, segments) {
		t.Errorf("in dc2, during the cut: segments %v, %v, want %v", kept, err, segments)
	}
	if err := c.Heal(ctx, cut); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitAllUp(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, "dc2 finds the entry of dc1", func() bool {
		page := list(t, other)
		return len(page) == 1 && page[0].Key == key
	})
	wantKeys(t, "in dc1, after the cut", table, key)
	removeAll(t, other)
	await(t, "the list is empty in dc1", func() bool { return len(list(t, table)) == 0 })
	if _, err := c.Nodes("dc1")[0].Nodetool(ctx, "enablehandoff"); err != nil {
		t.Fatal(err)
	}
}

const oldTable = "CREATE TABLE contract.pending_deletes (bucket int, collection text, key blob, tombstone bigint, marker bigint, marker_ttl int, " +
	"PRIMARY KEY (bucket, collection, key)) WITH gc_grace_seconds = 600"

func (c *pendingCluster) query(t *testing.T, cql string, args ...any) {
	t.Helper()
	if _, err := c.admin.Query(t.Context(), cql, args...); err != nil {
		t.Fatal(err)
	}
}

// recordOld records a delete as earlier versions do.
func (c *pendingCluster) recordOld(t *testing.T, collection string, key access.Key, d store.Deletion) {
	t.Helper()
	c.query(t, "UPDATE contract.pending_deletes USING TIMESTAMP ? SET tombstone = ?, marker = ?, marker_ttl = ? WHERE bucket = ? AND collection = ? AND key = ?",
		d.Tombstone, d.Tombstone, d.Marker, int(d.MarkerTTL/time.Second), store.PendingBucket(key), collection, []byte(key))
}

// migrates has entries in both layouts. A Replayer finishes all. Then more entries were removed from the old table than
// a read may cross.
func (c *pendingCluster) migrates(t *testing.T) {
	table := c.near.Table(c.collection)
	lists := table.PendingLists()
	old := lists[1].Deletes
	wantKeys(t, "without the old table", old)
	c.query(t, oldTable)
	keys := keysOf("moved", 2)
	for _, key := range keys {
		if err := table.Write(t.Context(), key, []byte("v"), time.Now().UnixMicro(), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	c.recordOld(t, c.collection.Name, keys[0], newDeletion())
	c.record(t, table, keys[1])
	wantKeys(t, "in the old table", old, keys[0])
	c.replay(t, lists)
	wantKeys(t, "in the old table, after the replay", old)
	wantKeys(t, "after the replay", table)
	for _, key := range keys {
		if row, err := table.Read(t.Context(), key); err != nil || !row.Absent() {
			t.Errorf("the value of %q still exists (%v)", key, err)
		}
	}

	forAll(keysOf("struck", 1300), func(key access.Key) {
		c.query(t, "DELETE FROM contract.pending_deletes WHERE bucket = 0 AND collection = ? AND key = ?", c.collection.Name, []byte(key))
	})
	limited, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := old.ListPending(limited, 0, 1); err == nil {
		t.Error("the old table could be read: the test needs more tombstones")
	}
	c.record(t, table, keys[0])
	wantKeys(t, "while the old table cannot be read", table, keys[0])
	removeAll(t, table)

	// The remedy of docs/monitoring.md, without the wait of ten minutes.
	c.query(t, "ALTER TABLE contract.pending_deletes WITH gc_grace_seconds = 0")
	time.Sleep(1100 * time.Millisecond) // tombstones are purged a whole second later
	for _, dc := range []string{"dc1", "dc2"} {
		for _, args := range [][]string{{"flush"}, {"compact", "contract", "pending_deletes"}} {
			if _, err := c.Nodes(dc)[0].Nodetool(t.Context(), args...); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantKeys(t, "in the old table, after a compaction", old)
}

// replay runs a Replayer until the lists are empty.
func (c *pendingCluster) replay(t *testing.T, lists []store.PendingList) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	replayer := store.NewReplayer(lists, store.ReplayerOptions{
		Now: time.Now, Random: rand.IntN, Log: slog.New(slog.DiscardHandler), Metrics: store.NewMetrics(prometheus.NewRegistry()),
	})
	var running sync.WaitGroup
	running.Go(func() { replayer.Run(ctx) })
	defer func() { cancel(); running.Wait() }()
	await(t, "the pending deletes are done", func() bool {
		for _, l := range lists {
			if len(list(t, l.Deletes)) > 0 {
				return false
			}
		}
		return true
	})
}

// findsUnknown needs the table of migrates.
func (c *pendingCluster) findsUnknown(t *testing.T) {
	known := []string{c.collection.Name, "zebras"}
	unknown := func() []string {
		t.Helper()
		var names []string
		for bucket := range store.PendingBuckets {
			lists, err := c.near.UnknownPendingLists(t.Context(), bucket, known)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range lists {
				page, err := l.Deletes.ListPending(t.Context(), bucket, 10)
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, slices.Repeat([]string{l.Collection}, len(page))...)
			}
		}
		slices.Sort(names)
		return names
	}
	key := keysOf("removed", 1)[0]
	c.record(t, c.near.Table(c.collection), key)
	if got := unknown(); got != nil {
		t.Errorf("unknown are %q, want none", got)
	}
	for _, name := range []string{"a_first", "tigers", "zz_last"} {
		c.record(t, c.near.Table(store.CollectionConfig{Name: name}), key)
	}
	c.recordOld(t, "tigers", key, newDeletion())
	if got, want := unknown(), []string{"a_first", "tigers", "tigers", "zz_last"}; !slices.Equal(got, want) {
		t.Errorf("unknown are %q, want %q", got, want)
	}
	c.query(t, "DROP TABLE contract.pending_deletes")
	if got, want := unknown(), []string{"a_first", "tigers", "zz_last"}; !slices.Equal(got, want) {
		t.Errorf("after the old table was dropped: unknown are %q, want %q", got, want)
	}
}
