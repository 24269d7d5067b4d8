package store

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
)

// shelved are rows with a ledger.
type shelved interface {
	Rows
	PendingDeletes
}

// CheckLedger holds a Cassandra with the tables of the contract's suite to what a ledger promises.
func CheckLedger(t *testing.T, c *Cassandra) {
	checkLedger(t, func(name string, layout Layout) shelved {
		table := map[Layout]string{LayoutUserInfo: "sessions", LayoutKask: "kask"}[layout]
		return newTable(c.session, c.runner, c.keyspace, CollectionConfig{Name: name, Table: table, Layout: layout, Fence: time.Minute})
	})
}

func TestMemoryKeepsTheLedger(t *testing.T) {
	checkLedger(t, func(string, Layout) shelved { return NewMemory(1<<20, time.Now) })
}

func TestAMemoryThatIsFullListsNoDelete(t *testing.T) {
	m := NewMemory(2*rowOverhead+2, time.Now)
	for key, want := range map[access.Key]bool{"a": true, "b": true} {
		if err := m.RecordPending(t.Context(), key, Deletion{Tombstone: 1}); (err == nil) != want {
			t.Errorf("listing: %v", err)
		}
	}
	if err := m.RecordPending(t.Context(), "c", Deletion{Tombstone: 1}); err != ErrFull {
		t.Errorf("listing one more: %v, want ErrFull", err)
	}
	if err := m.RemovePending(t.Context(), PendingDelete{"a", Deletion{Tombstone: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := m.RecordPending(t.Context(), "c", Deletion{Tombstone: 1}); err != nil {
		t.Errorf("listing once there is room: %v", err)
	}
}

// TestBucketsOfKeysNeverChange, for entries that an older version wrote must be found and struck out.
func TestBucketsOfKeysNeverChange(t *testing.T) {
	seen := make(map[int]int)
	for n := range 1600 {
		seen[PendingBucket(access.Key(fmt.Sprint("key:", n)))]++
	}
	for bucket := range PendingBuckets {
		if seen[bucket] < 50 {
			t.Errorf("bucket %d has %d of 1600 keys", bucket, seen[bucket])
		}
	}
	for key, want := range map[access.Key]int{"": 5, "a": 12, "enwiki:session:1": 5, "\xff\x00": 10} {
		if got := PendingBucket(key); got != want {
			t.Errorf("the bucket of %q is %d, want %d", string(key), got, want)
		}
	}
}

// ledgerOf is a collection's ledger and what tests ask of it.
type ledgerOf struct {
	*testing.T
	shelved
}

func (l ledgerOf) list(key access.Key, r Deletion) {
	l.Helper()
	if err := l.RecordPending(l.Context(), key, r); err != nil {
		l.Fatal(err)
	}
}

func (l ledgerOf) strikeOut(key access.Key, r Deletion) {
	l.Helper()
	if err := l.RemovePending(l.Context(), PendingDelete{key, r}); err != nil {
		l.Fatal(err)
	}
}

// all is what is listed, each entry looked for in its own bucket.
func (l ledgerOf) all() map[access.Key]Deletion {
	l.Helper()
	found := make(map[access.Key]Deletion)
	for bucket := range PendingBuckets {
		page, err := l.ListPending(l.Context(), bucket, 100)
		if err != nil {
			l.Fatal(err)
		}
		for _, p := range page {
			if PendingBucket(p.Key) != bucket {
				l.Errorf("bucket %d has an entry of bucket %d", bucket, PendingBucket(p.Key))
			}
			found[p.Key] = p.Deletion
		}
	}
	return found
}

func (l ledgerOf) want(when string, want map[access.Key]Deletion) {
	l.Helper()
	if got := l.all(); !reflect.DeepEqual(got, want) {
		l.Errorf("%s: listed are %v, want %v", when, got, want)
	}
}

func checkLedger(t *testing.T, open func(name string, layout Layout) shelved) {
	const now = 1_700_000_000_000_000
	first := Deletion{Tombstone: now + 60_000_000, Marker: now, MarkerTTL: 92 * time.Second}
	later := Deletion{Tombstone: now + 61_000_000, Marker: now + 1_000_000, MarkerTTL: 92 * time.Second}
	none := map[access.Key]Deletion{}
	for claim, test := range map[string]func(*testing.T, ledgerOf){
		"lists what is recorded, of any bytes, until it is struck out": func(_ *testing.T, l ledgerOf) {
			want := map[access.Key]Deletion{"a": first, "\x00\xff/ü": later, "b": {Tombstone: now, Marker: now}}
			for key, r := range want {
				l.list(key, r)
			}
			l.want("recorded", want)
			for key, r := range want {
				l.strikeOut(key, r)
				l.strikeOut(key, r)
			}
			l.want("struck out", none)
		},
		"keeps the later of two deletes of a key": func(_ *testing.T, l ledgerOf) {
			l.list("a", first)
			l.list("a", later)
			l.want("the later came later", map[access.Key]Deletion{"a": later})
			l.list("a", first)
			l.want("the earlier came again", map[access.Key]Deletion{"a": later})
			l.list("a", Deletion{Tombstone: first.Tombstone, Marker: later.Marker + 1, MarkerTTL: time.Second})
			l.want("one came that was asked for later and hides less", map[access.Key]Deletion{"a": later})
		},
		"leaves a later delete when an earlier one is struck out": func(_ *testing.T, l ledgerOf) {
			l.list("a", first)
			l.list("a", later)
			l.strikeOut("a", first)
			l.want("the earlier struck out after", map[access.Key]Deletion{"a": later})
			l.list("b", first)
			l.strikeOut("b", first)
			l.list("b", later)
			l.want("the earlier struck out before", map[access.Key]Deletion{"a": later, "b": later})
		},
		"reads no more than it is asked for": func(t *testing.T, l ledgerOf) {
			l.list("a", first)
			l.list("\x00\xff/ü", first)
			for bucket := range PendingBuckets {
				if page, err := l.ListPending(l.Context(), bucket, 1); err != nil || len(page) > 1 {
					t.Errorf("got %d entries, %v, want at most 1", len(page), err)
				}
			}
		},
		"is a collection's own": func(t *testing.T, l ledgerOf) {
			l.list("a", first)
			ledgerOf{t, open("another"+rand.Text(), LayoutUserInfo)}.want("in another collection", none)
		},
	} {
		t.Run(claim, func(t *testing.T) { test(t, ledgerOf{t, open("ledger"+rand.Text(), LayoutUserInfo)}) })
	}
	for _, layout := range []Layout{LayoutUserInfo, LayoutKask} {
		t.Run("a Replayer finishes what is listed, layout "+string(layout), func(t *testing.T) {
			checkCarrying(t, ledgerOf{t, open("carried"+rand.Text(), layout)})
		})
	}
}

// checkCarrying has a value, a pending delete of it, and one round of a Replayer.
func checkCarrying(t *testing.T, l ledgerOf) {
	key := access.Key("carried:" + rand.Text())
	now := time.Now()
	if err := l.Write(t.Context(), key, []byte("v"), now.UnixMicro(), time.Hour); err != nil {
		t.Fatal(err)
	}
	l.list(key, Deletion{Tombstone: now.Add(time.Minute).UnixMicro(), Marker: now.UnixMicro(), MarkerTTL: 92 * time.Second})
	NewReplayer([]PendingDeletes{l}, ReplayerOptions{
		Now: time.Now, Random: mathrand.IntN, Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
	}).round(t.Context())
	l.want("after a round", map[access.Key]Deletion{})
	if r, err := l.Read(t.Context(), key); err != nil || r.Data != nil || !r.Deleted {
		t.Errorf("after a round the row is there: %v, its Marker: %v (%v)", r.Data != nil, r.Deleted, err)
	}
}
