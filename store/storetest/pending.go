package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/store"
)

// longList is how many entries a long list has: more than ListPending returns at once.
const longList = 2500

// RunPendingDeletes tests the pending deletes of a table, and that a Replayer works them off. Each collection that open
// gets has a name of its own.
func RunPendingDeletes(t *testing.T, open func(store.CollectionConfig) Table) {
	newTable := func(t *testing.T, layout store.Layout) pendingTable {
		config := store.CollectionConfig{Name: "pending_" + rand.Text(), Table: tableOf(layout), Layout: layout, Fence: time.Minute}
		return pendingTable{t, open(config)}
	}
	const now = 1_700_000_000_000_000
	first := store.Deletion{Tombstone: now + 60_000_000, Marker: now, MarkerTTL: 92 * time.Second}
	later := store.Deletion{Tombstone: now + 61_000_000, Marker: now + 1_000_000, MarkerTTL: 92 * time.Second}
	none := map[access.Key]store.Deletion{}
	for name, test := range map[string]func(*testing.T, pendingTable){
		"an entry is listed until it is removed, whatever the bytes of its key": func(_ *testing.T, p pendingTable) {
			want := map[access.Key]store.Deletion{"a": first, "\x00\xff/ü": later, "b": {Tombstone: now, Marker: now}}
			for key, d := range want {
				p.record(key, d)
			}
			p.want("after recording", want)
			for key := range want {
				found := p.entries(key)
				p.removeAll(found)
				p.removeAll(found)
			}
			p.want("after removing", none)
		},
		"of two deletes of a key the one with the larger tombstone is listed": func(_ *testing.T, p pendingTable) {
			p.record("a", first)
			p.record("a", later)
			p.want("the later one recorded last", map[access.Key]store.Deletion{"a": later})
			p.record("a", first)
			p.want("the earlier one recorded again", map[access.Key]store.Deletion{"a": later})
			p.record("a", store.Deletion{Tombstone: first.Tombstone, Marker: later.Marker + 1, MarkerTTL: time.Second})
			p.want("a later delete with a smaller tombstone", map[access.Key]store.Deletion{"a": later})
		},
		"removing an earlier delete of a key keeps a later one": func(_ *testing.T, p pendingTable) {
			p.record("a", first)
			earlier := p.entries("a")
			p.record("a", later)
			p.removeAll(earlier)
			p.want("removed after the later one was recorded", map[access.Key]store.Deletion{"a": later})
			p.record("b", first)
			p.remove("b")
			p.record("b", later)
			p.want("removed before the later one was recorded", map[access.Key]store.Deletion{"a": later, "b": later})
		},
		"an entry that is recorded after many were removed is listed": func(_ *testing.T, p pendingTable) {
			for round := range 3 {
				key := access.Key(fmt.Sprint("round ", round))
				p.record(key, first)
				p.want("recorded", map[access.Key]store.Deletion{key: first})
				p.remove(key)
				p.want("removed", none)
				p.want("removed, listed again", none)
			}
		},
		"all entries of a long list are listed in turn": func(t *testing.T, p pendingTable) {
			want := make(map[access.Key]bool)
			var recording sync.WaitGroup
			for n := range longList {
				key := access.Key(fmt.Sprintf("long:%04d", n))
				want[key] = true
				recording.Go(func() { p.record(key, first) })
			}
			recording.Wait()
			for len(want) > 0 {
				found := p.entries("")
				if len(found) == 0 {
					t.Fatalf("%d of %d entries were not listed", len(want), longList)
				}
				for _, entry := range found {
					delete(want, entry.Key)
				}
				p.removeAll(found)
			}
			p.want("after all were removed", none)
		},
		"a list has at most as many entries as asked for": func(t *testing.T, p pendingTable) {
			p.record("a", first)
			p.record("\x00\xff/ü", first)
			for bucket := range store.PendingBuckets {
				if page, err := p.ListPending(p.Context(), bucket, 1); err != nil || len(page) > 1 {
					t.Errorf("got %d entries, %v, want at most 1", len(page), err)
				}
			}
		},
		"each collection has its own list": func(t *testing.T, p pendingTable) {
			p.record("a", first)
			newTable(t, store.LayoutUserInfo).want("in another collection", none)
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, newTable(t, store.LayoutUserInfo)) })
	}
	t.Run("a Replayer finishes a pending delete in both tables of a move", func(t *testing.T) { replayMoved(t, open) })
	for _, layout := range []store.Layout{store.LayoutUserInfo, store.LayoutKask} {
		t.Run("a Replayer finishes a pending delete, layout "+string(layout), func(t *testing.T) {
			replay(t, newTable(t, layout))
		})
	}
}

// pendingTable is a table under test.
type pendingTable struct {
	*testing.T
	Table
}

func (p pendingTable) record(key access.Key, d store.Deletion) {
	p.Helper()
	if err := p.RecordPending(p.Context(), key, d); err != nil {
		p.Error(err)
	}
}

// entries returns up to 100 entries of each bucket, or only those of a key.
func (p pendingTable) entries(only access.Key) (found []store.PendingDelete) {
	p.Helper()
	for bucket := range store.PendingBuckets {
		page, err := p.ListPending(p.Context(), bucket, 100)
		if err != nil {
			p.Fatal(err)
		}
		for _, entry := range page {
			if right := store.PendingBucket(entry.Key); right != bucket {
				p.Errorf("bucket %d has an entry of bucket %d", bucket, right)
			}
			if only == "" || entry.Key == only {
				found = append(found, entry)
			}
		}
	}
	return found
}

// remove removes all entries of a key.
func (p pendingTable) remove(key access.Key) {
	p.Helper()
	p.removeAll(p.entries(key))
}

func (p pendingTable) removeAll(entries []store.PendingDelete) {
	p.Helper()
	var removing sync.WaitGroup
	for _, entry := range entries {
		removing.Go(func() {
			if err := p.RemovePending(p.Context(), entry); err != nil {
				p.Error(err)
			}
		})
	}
	removing.Wait()
}

// list returns for each key the entry with the largest tombstone.
func (p pendingTable) list() map[access.Key]store.Deletion {
	p.Helper()
	found := make(map[access.Key]store.Deletion)
	for _, entry := range p.entries("") {
		if d, ok := found[entry.Key]; !ok || entry.Tombstone > d.Tombstone {
			found[entry.Key] = entry.Deletion
		}
	}
	return found
}

func (p pendingTable) want(when string, want map[access.Key]store.Deletion) {
	p.Helper()
	if got := p.list(); !reflect.DeepEqual(got, want) {
		p.Errorf("%s: got %v, want %v", when, got, want)
	}
}

// replay runs a Replayer until it has finished the pending delete of a value.
func replay(t *testing.T, p pendingTable) {
	key := access.Key("replayed:" + rand.Text())
	now := time.Now()
	if err := p.Write(t.Context(), key, []byte("v"), now.UnixMicro(), time.Hour); err != nil {
		t.Fatal(err)
	}
	p.record(key, store.Deletion{Tombstone: now.Add(time.Minute).UnixMicro(), Marker: now.UnixMicro(), MarkerTTL: 92 * time.Second})
	runReplayer(t, []store.PendingList{{Collection: "pending", Deletes: p}}, func() bool { return len(p.list()) == 0 })
	if row, err := p.Read(t.Context(), key); err != nil || row.Data != nil || !row.Deleted {
		t.Errorf("value exists: %v, marker exists: %v (%v); want the marker only", row.Data != nil, row.Deleted, err)
	}
}

// runReplayer runs a Replayer until its lists are empty.
func runReplayer(t *testing.T, lists []store.PendingList, empty func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	replayer := store.NewReplayer(lists, store.ReplayerOptions{
		Now: time.Now, Random: mathrand.IntN, Log: slog.New(slog.DiscardHandler), Metrics: store.NewMetrics(prometheus.NewRegistry()),
	})
	var running sync.WaitGroup
	running.Go(func() { replayer.Run(ctx) })
	await(t, 20*time.Second, "the replay of the deletes", empty)
	cancel()
	running.Wait()
}

// replayMoved records a delete in both tables of a move. A value is in each of them.
func replayMoved(t *testing.T, open func(store.CollectionConfig) Table) {
	name := "pending_" + rand.Text()
	table := func(layout store.Layout) pendingTable {
		return pendingTable{t, open(store.CollectionConfig{Name: name, Table: tableOf(layout), Layout: layout, Fence: time.Minute})}
	}
	sealed, kask := table(store.LayoutUserInfo), table(store.LayoutKask)
	sealedRows := NewSealedRows(t, sealed, CollectionName)
	rows := store.NewReadThrough(sealedRows, kask, CollectionName, store.NewMetrics(prometheus.NewRegistry()), nil)
	key := access.Key("replayed:" + rand.Text())
	now := time.Now()
	for _, each := range []store.Rows{sealedRows, kask} {
		if err := each.Write(t.Context(), key, []byte("v"), now.UnixMicro(), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	d := store.Deletion{Tombstone: now.Add(time.Minute).UnixMicro(), Marker: now.UnixMicro(), MarkerTTL: 92 * time.Second}
	if err := rows.RecordPending(t.Context(), key, d); err != nil {
		t.Fatal(err)
	}
	runReplayer(t, []store.PendingList{
		store.PendingList{Collection: name, Deletes: sealed}.Through(store.LayoutUserInfo, kask, nil),
		store.PendingList{Collection: name, Deletes: kask}.Through(store.LayoutKask, sealed, nil),
	}, func() bool { return len(sealed.list()) == 0 && len(kask.list()) == 0 })
	for _, each := range []store.Rows{sealedRows, kask} {
		if row, err := each.Read(t.Context(), key); err != nil || row.Data != nil || !row.Deleted {
			t.Errorf("value exists: %v, marker exists: %v (%v); want the marker only", row.Data != nil, row.Deleted, err)
		}
	}
	if row, err := sealed.Read(t.Context(), key); err != nil || row.Deleted {
		t.Errorf("the sealed table has the marker under the session key in clear: %v (%v)", row.Deleted, err)
	}
}
