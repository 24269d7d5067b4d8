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
	rows
	ledger
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
		if err := m.pend(t.Context(), key, removal{tombstone: 1}); (err == nil) != want {
			t.Errorf("listing: %v", err)
		}
	}
	if err := m.pend(t.Context(), "c", removal{tombstone: 1}); err != ErrFull {
		t.Errorf("listing one more: %v, want ErrFull", err)
	}
	if err := m.settle(t.Context(), pendingDelete{"a", removal{tombstone: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := m.pend(t.Context(), "c", removal{tombstone: 1}); err != nil {
		t.Errorf("listing once there is room: %v", err)
	}
}

// TestBucketsOfKeysNeverChange, for entries that an older version wrote must be found and struck out.
func TestBucketsOfKeysNeverChange(t *testing.T) {
	seen := make(map[int]int)
	for n := range 1600 {
		seen[bucketOf(access.Key(fmt.Sprint("key:", n)))]++
	}
	for bucket := range buckets {
		if seen[bucket] < 50 {
			t.Errorf("bucket %d has %d of 1600 keys", bucket, seen[bucket])
		}
	}
	for key, want := range map[access.Key]int{"": 5, "a": 12, "enwiki:session:1": 5, "\xff\x00": 10} {
		if got := bucketOf(key); got != want {
			t.Errorf("the bucket of %q is %d, want %d", string(key), got, want)
		}
	}
}

// ledgerOf is a collection's ledger and what tests ask of it.
type ledgerOf struct {
	*testing.T
	shelved
}

func (l ledgerOf) list(key access.Key, r removal) {
	l.Helper()
	if err := l.pend(l.Context(), key, r); err != nil {
		l.Fatal(err)
	}
}

func (l ledgerOf) strikeOut(key access.Key, r removal) {
	l.Helper()
	if err := l.settle(l.Context(), pendingDelete{key, r}); err != nil {
		l.Fatal(err)
	}
}

// all is what is listed, each entry looked for in its own bucket.
func (l ledgerOf) all() map[access.Key]removal {
	l.Helper()
	found := make(map[access.Key]removal)
	for bucket := range buckets {
		page, err := l.pending(l.Context(), bucket, 100)
		if err != nil {
			l.Fatal(err)
		}
		for _, p := range page {
			if bucketOf(p.key) != bucket {
				l.Errorf("bucket %d has an entry of bucket %d", bucket, bucketOf(p.key))
			}
			found[p.key] = p.removal
		}
	}
	return found
}

func (l ledgerOf) want(when string, want map[access.Key]removal) {
	l.Helper()
	if got := l.all(); !reflect.DeepEqual(got, want) {
		l.Errorf("%s: listed are %v, want %v", when, got, want)
	}
}

func checkLedger(t *testing.T, open func(name string, layout Layout) shelved) {
	const now = 1_700_000_000_000_000
	first := removal{tombstone: now + 60_000_000, marker: now, markerTTL: 92 * time.Second}
	later := removal{tombstone: now + 61_000_000, marker: now + 1_000_000, markerTTL: 92 * time.Second}
	none := map[access.Key]removal{}
	for claim, test := range map[string]func(*testing.T, ledgerOf){
		"lists what is recorded, of any bytes, until it is struck out": func(_ *testing.T, l ledgerOf) {
			want := map[access.Key]removal{"a": first, "\x00\xff/ü": later, "b": {tombstone: now, marker: now}}
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
			l.want("the later came later", map[access.Key]removal{"a": later})
			l.list("a", first)
			l.want("the earlier came again", map[access.Key]removal{"a": later})
			l.list("a", removal{tombstone: first.tombstone, marker: later.marker + 1, markerTTL: time.Second})
			l.want("one came that was asked for later and hides less", map[access.Key]removal{"a": later})
		},
		"leaves a later delete when an earlier one is struck out": func(_ *testing.T, l ledgerOf) {
			l.list("a", first)
			l.list("a", later)
			l.strikeOut("a", first)
			l.want("the earlier struck out after", map[access.Key]removal{"a": later})
			l.list("b", first)
			l.strikeOut("b", first)
			l.list("b", later)
			l.want("the earlier struck out before", map[access.Key]removal{"a": later, "b": later})
		},
		"reads no more than it is asked for": func(t *testing.T, l ledgerOf) {
			l.list("a", first)
			l.list("\x00\xff/ü", first)
			for bucket := range buckets {
				if page, err := l.pending(l.Context(), bucket, 1); err != nil || len(page) > 1 {
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
		t.Run("a Carrier finishes what is listed, layout "+string(layout), func(t *testing.T) {
			checkCarrying(t, ledgerOf{t, open("carried"+rand.Text(), layout)})
		})
	}
}

// checkCarrying has a value, a pending delete of it, and one round of a Carrier.
func checkCarrying(t *testing.T, l ledgerOf) {
	key := access.Key("carried:" + rand.Text())
	now := time.Now()
	if err := l.write(t.Context(), key, []byte("v"), now.UnixMicro(), time.Hour); err != nil {
		t.Fatal(err)
	}
	l.list(key, removal{tombstone: now.Add(time.Minute).UnixMicro(), marker: now.UnixMicro(), markerTTL: 92 * time.Second})
	newCarrier([]ledger{l}, CarrierTools{
		Now: time.Now, Random: mathrand.IntN, Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
	}).round(t.Context())
	l.want("after a round", map[access.Key]removal{})
	if r, err := l.read(t.Context(), key); err != nil || r.data != nil || !r.gone {
		t.Errorf("after a round the row is there: %v, its marker: %v (%v)", r.data != nil, r.gone, err)
	}
}
