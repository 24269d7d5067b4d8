package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/access"
)

// call is a call of a table that can fail.
type call string

const (
	readCall   call = "read"
	markerCall call = "read marker"
	writeCall  call = "write"
	deleteCall call = "delete"
	recordCall call = "record pending"
	readyCall  call = "ready"
)

// failure is how a call fails.
type failure struct {
	call    call
	applied bool // it fails, but is applied
}

// failingTable is a table in which some calls fail. Its keys begin with a prefix, so that the row keys of two tables differ.
type failingTable struct {
	*Memory
	prefix string
	fails  *failure
}

var errLost = unavailable(errors.New("connection lost"))

// do runs a call, or fails.
func (f *failingTable) do(c call, run func() error) error {
	fails := f.fails != nil && f.fails.call == c
	if !fails || f.fails.applied {
		if err := run(); err != nil {
			return err
		}
	}
	if fails {
		return errLost
	}
	return nil
}

func (f *failingTable) rowKey(key access.Key) access.Key { return access.Key(f.prefix) + key }

func (f *failingTable) Read(ctx context.Context, key access.Key) (row Row, err error) {
	err = f.do(readCall, func() (err error) { row, err = f.Memory.Read(ctx, f.rowKey(key)); return err })
	return row, err
}

func (f *failingTable) Deleted(ctx context.Context, key access.Key) (deleted bool, err error) {
	err = f.do(markerCall, func() (err error) { deleted, err = f.Memory.Deleted(ctx, f.rowKey(key)); return err })
	return deleted, err
}

func (f *failingTable) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	return f.do(writeCall, func() error { return f.Memory.Write(ctx, f.rowKey(key), data, timestamp, ttl) })
}

func (f *failingTable) Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error {
	return f.do(deleteCall, func() error { return f.Memory.Delete(ctx, f.rowKey(key), d, c) })
}

func (f *failingTable) RecordPending(ctx context.Context, key access.Key, d Deletion) error {
	return f.do(recordCall, func() error { return f.Memory.RecordPending(ctx, f.rowKey(key), d) })
}

func (f *failingTable) Ready(context.Context) error {
	return f.do(readyCall, func() error { return nil })
}

// twoTables is a ReadThrough of two tables that can fail.
type twoTables struct {
	*testing.T
	*ReadThrough
	own, beneath *failingTable
	metrics      *Metrics
}

func newTwoTables(t *testing.T) *twoTables {
	own := &failingTable{Memory: NewMemory(1<<20, time.Now), prefix: "own:"}
	beneath := &failingTable{Memory: NewMemory(1<<20, time.Now)}
	metrics := NewMetrics(prometheus.NewRegistry())
	return &twoTables{t, NewReadThrough(own, beneath, "sessions", metrics, nil), own, beneath, metrics}
}

// heal ends all failures.
func (w *twoTables) heal() { w.own.fails, w.beneath.fails = nil, nil }

func (w *twoTables) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// value returns the value of testKey, or "none".
func (w *twoTables) value() string {
	w.Helper()
	row, err := w.Read(w.Context(), testKey)
	w.must(err)
	if row.Absent() {
		return "none"
	}
	return string(row.Data)
}

// failures calls test with each failure of the calls, in each of the tables.
func failures(t *testing.T, calls []call, test func(t *testing.T, w *twoTables, fail func())) {
	for _, inOwn := range []bool{true, false} {
		for _, c := range calls {
			for _, applied := range []bool{false, true} {
				table := map[bool]string{true: "own", false: "beneath"}[inOwn]
				t.Run(fmt.Sprintf("%s table, %s, applied: %v", table, c, applied), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newTwoTables(t)
						failing := map[bool]*failingTable{true: w.own, false: w.beneath}[inOwn]
						test(t, w, func() { failing.fails = &failure{c, applied} })
					})
				})
			}
		}
	}
}

func TestReadThrough_Read_IsUnknownIfATableCannotAnswer(t *testing.T) {
	failures(t, []call{readCall}, func(t *testing.T, w *twoTables, fail func()) {
		for _, table := range []Rows{w.own, w.beneath} {
			w.must(table.Write(t.Context(), testKey, []byte("v"), time.Now().UnixMicro(), time.Hour))
		}
		fail()
		if row, err := w.Read(t.Context(), testKey); !errors.Is(err, ErrUnavailable) || row.Data != nil {
			t.Errorf("got %d bytes, error %v; want %v", len(row.Data), err, ErrUnavailable)
		}
	})
	failures(t, []call{markerCall}, func(t *testing.T, w *twoTables, fail func()) {
		fail()
		if _, err := w.Deleted(t.Context(), testKey); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Deleted: %v, want %v", err, ErrUnavailable)
		}
	})
	failures(t, []call{readyCall}, func(t *testing.T, w *twoTables, fail func()) {
		fail()
		if err := w.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Ready: %v, want %v", err, ErrUnavailable)
		}
	})
}

// TestReadThrough_Write_LosesNothingIfItFails writes a value over an older one. If a call fails, the error says so, one
// of the two values is there, and a repeated write succeeds.
func TestReadThrough_Write_LosesNothingIfItFails(t *testing.T) {
	for name, ttl := range map[string]time.Duration{"the older value expires earlier": 2 * time.Hour, "the older value expires later": time.Minute} {
		for _, olderBeneath := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, beneath: %v", name, olderBeneath), func(t *testing.T) {
				failures(t, []call{readCall, writeCall, deleteCall}, func(t *testing.T, w *twoTables, fail func()) {
					older := map[bool]Rows{false: w.own, true: w.beneath}[olderBeneath]
					w.must(older.Write(t.Context(), testKey, []byte("older"), time.Now().UnixMicro(), time.Hour))
					time.Sleep(time.Second)
					timestamp := time.Now().UnixMicro()
					fail()
					err := w.Write(t.Context(), testKey, []byte("newer"), timestamp, ttl)
					w.heal()
					switch v := w.value(); {
					case err == nil && v != "newer":
						t.Errorf("the write succeeded, but the value is %q", v)
					case err != nil && (!errors.Is(err, ErrUnavailable) || v == "none"):
						t.Errorf("error %v, value %q; want %v and one of the two values", err, v, ErrUnavailable)
					}
					w.must(w.Write(t.Context(), testKey, []byte("newer"), timestamp, ttl))
					if v := w.value(); v != "newer" {
						t.Errorf("after the repetition the value is %q", v)
					}
					time.Sleep(ttl + time.Second)
					if v := w.value(); v != "none" {
						t.Errorf("after the newer value has expired, the value is %q", v)
					}
				})
			})
		}
	}
}

func TestReadThrough_Write_ChangesNothingIfTheTableBeneathCannotBeRead(t *testing.T) {
	w := newTwoTables(t)
	w.beneath.fails = &failure{call: readCall}
	if err := w.Write(t.Context(), testKey, []byte("v"), time.Now().UnixMicro(), time.Hour); !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v, want %v", err, ErrUnavailable)
	}
	w.heal()
	if v := w.value(); v != "none" {
		t.Errorf("the value is %q", v)
	}
}

// TestReadThrough_Write_KeepsWhatExpiresEarlier shows when a write deletes beneath: another datacentre may get the delete
// before the new value.
func TestReadThrough_Write_KeepsWhatExpiresEarlier(t *testing.T) {
	for _, c := range []struct {
		name         string
		beneath, new time.Duration
		want         string // what the table beneath has then
	}{
		{"earlier", time.Hour, 2 * time.Hour, "older"},
		{"at the same time", time.Hour, time.Hour, "older"},
		{"later", 2 * time.Hour, time.Hour, "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTwoTables(t)
			now := time.Now().UnixMicro()
			w.must(w.beneath.Write(t.Context(), testKey, []byte("older"), now, c.beneath))
			w.must(w.Write(t.Context(), testKey, []byte("newer"), now+1, c.new))
			row, err := w.beneath.Read(t.Context(), testKey)
			w.must(err)
			if got := string(row.Data); got != c.want && (got != "" || c.want != "none") {
				t.Errorf("beneath is %q, want %q", got, c.want)
			}
			if v := w.value(); v != "newer" {
				t.Errorf("the value is %q", v)
			}
		})
	}
}

// neverExpires is a table whose values have no TTL, as other programs can write them.
type neverExpires struct{ *failingTable }

func (n neverExpires) Read(ctx context.Context, key access.Key) (Row, error) {
	row, err := n.failingTable.Read(ctx, key)
	row.TTL = 0
	return row, err
}

func TestReadThrough_Write_DeletesAValueBeneathThatNeverExpires(t *testing.T) {
	w := newTwoTables(t)
	r := NewReadThrough(w.own, neverExpires{w.beneath}, "sessions", w.metrics, nil)
	now := time.Now().UnixMicro()
	w.must(w.beneath.Write(t.Context(), testKey, []byte("older"), now, time.Hour))
	if row, err := r.Read(t.Context(), testKey); err != nil || string(row.Data) != "older" || row.TTL != 0 {
		t.Errorf("got %q with a TTL of %v, %v", row.Data, row.TTL, err)
	}
	w.must(r.Write(t.Context(), testKey, []byte("newer"), now+1, LargestTTL))
	if row, err := w.beneath.Read(t.Context(), testKey); err != nil || row.Data != nil {
		t.Errorf("beneath is %q, %v; want none", row.Data, err)
	}
}

func TestReadThrough_Write_IsIgnoredIfOlderThanTheValueBeneath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTwoTables(t)
		now := time.Now().UnixMicro()
		w.must(w.beneath.Write(t.Context(), testKey, []byte("newer"), now+1, time.Minute))
		w.must(w.Write(t.Context(), testKey, []byte("older"), now, time.Hour))
		if v := w.value(); v != "newer" {
			t.Errorf("the value is %q", v)
		}
		time.Sleep(2 * time.Minute)
		if v := w.value(); v != "none" {
			t.Errorf("after the newer value has expired, the value is %q", v)
		}
	})
}

// TestReadThrough_Write_KeepsTheLongerOfTwoTouches writes with the timestamp of the value beneath, as two touches of a
// value do.
func TestReadThrough_Write_KeepsTheLongerOfTwoTouches(t *testing.T) {
	w := newTwoTables(t)
	now := time.Now().UnixMicro()
	w.must(w.beneath.Write(t.Context(), testKey, []byte("v"), now, 2*time.Hour))
	w.must(w.Write(t.Context(), testKey, []byte("v"), now, time.Hour))
	row, err := w.Read(t.Context(), testKey)
	w.must(err)
	if row.TTL < 119*time.Minute {
		t.Errorf("the TTL is %v, want the two hours of the longer touch", row.TTL)
	}
}

// sealedTable is a table whose value cannot be opened.
type sealedTable struct{ Rows }

func (s sealedTable) Read(ctx context.Context, key access.Key) (Row, error) {
	row, err := s.Rows.Read(ctx, key)
	if err == nil && !row.Absent() {
		row.Data, err = nil, ErrSealed
	}
	return row, err
}

func TestReadThrough_Read_ReturnsTheNewerValue(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	type written struct {
		data      string
		timestamp int64
		ttl       time.Duration
	}
	for _, c := range []struct {
		name         string
		own, beneath written
		want         string
	}{
		{"own", written{"o", 2, hour}, written{"b", 1, day}, "o"},
		{"beneath", written{"o", 1, day}, written{"b", 2, hour}, "b"},
		{"own only", written{"o", 1, hour}, written{}, "o"},
		{"beneath only", written{}, written{"b", 1, hour}, "b"},
		{"same timestamp, own expires later", written{"o", 1, day}, written{"b", 1, hour}, "o"},
		{"same timestamp, beneath expires later", written{"o", 1, hour}, written{"b", 1, day}, "b"},
		{"same timestamp and expiry: the larger bytes, own", written{"z", 1, hour}, written{"b", 1, hour}, "z"},
		{"same timestamp and expiry: the larger bytes, beneath", written{"a", 1, hour}, written{"b", 1, hour}, "b"},
		{"an empty value is a value", written{"", 2, hour}, written{"b", 1, hour}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTwoTables(t)
				for table, v := range map[Rows]written{w.own: c.own, w.beneath: c.beneath} {
					if v.ttl > 0 {
						w.must(table.Write(t.Context(), testKey, []byte(v.data), v.timestamp, v.ttl))
					}
				}
				if v := w.value(); v != c.want {
					t.Errorf("the value is %q, want %q", v, c.want)
				}
			})
		})
	}
	t.Run("a newer value that cannot be opened is an error, and its timestamp is known", func(t *testing.T) {
		w := newTwoTables(t)
		r := NewReadThrough(sealedTable{w.own}, w.beneath, "sessions", w.metrics, nil)
		w.must(w.own.Write(t.Context(), testKey, []byte("?"), 2, hour))
		w.must(w.beneath.Write(t.Context(), testKey, []byte("b"), 1, hour))
		if row, err := r.Read(t.Context(), testKey); !errors.Is(err, ErrSealed) || row.Data != nil || row.Timestamp != 2 {
			t.Errorf("got %+v, %v", row, err)
		}
		w.must(w.beneath.Write(t.Context(), testKey, []byte("newest"), 3, hour))
		if row, err := r.Read(t.Context(), testKey); err != nil || string(row.Data) != "newest" {
			t.Errorf("got %q, %v", row.Data, err)
		}
		w.beneath.fails = &failure{call: readCall}
		if _, err := r.Read(t.Context(), testKey); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrSealed) {
			t.Errorf("error %v, want %v only", err, ErrUnavailable)
		}
	})
}

func TestReadThrough_Read_CountsWhereValuesAre(t *testing.T) {
	w := newTwoTables(t)
	now := time.Now().UnixMicro()
	w.value()
	w.must(w.beneath.Write(t.Context(), testKey, []byte("v"), now, time.Hour))
	w.value()
	w.value()
	w.must(w.Write(t.Context(), testKey, []byte("v"), now+1, time.Hour))
	w.value()
	own, beneath := testutil.ToFloat64(w.found.own), testutil.ToFloat64(w.found.beneath)
	if own != 1 || beneath != 2 {
		t.Errorf("own %v, beneath %v; want 1 and 2", own, beneath)
	}
}

// TestReadThrough_Delete_SucceedsOnlyInBothTables deletes through a collection, whose first attempt is at EACH_QUORUM.
func TestReadThrough_Delete_SucceedsOnlyInBothTables(t *testing.T) {
	failures(t, []call{deleteCall, recordCall, readCall}, func(t *testing.T, w *twoTables, fail func()) {
		for _, table := range []Rows{w.own, w.beneath} {
			w.must(table.Write(t.Context(), testKey, []byte("v"), time.Now().UnixMicro(), time.Hour))
		}
		c := newTestCollection(t, w.ReadThrough, testFence, 0)
		fail()
		err := c.Delete(t.Context(), newCaller(t, access.Delete, testKey), testKey)
		w.heal()
		own, beneath := w.gone(w.own), w.gone(w.beneath)
		if err == nil && !(own && beneath) {
			t.Errorf("the delete succeeded; deleted in own: %v, beneath: %v", own, beneath)
		}
		if err != nil && !errors.Is(err, ErrUnavailable) {
			t.Errorf("error %v, want %v", err, ErrUnavailable)
		}
		if (own || beneath) && w.value() != "none" {
			t.Error("one table has the delete, but the value is found")
		}
		if err := c.Delete(t.Context(), newCaller(t, access.Delete, testKey), testKey); err != nil {
			t.Errorf("repeated: %v", err)
		}
		time.Sleep(10 * time.Minute) // the markers are gone
		if v := w.value(); v != "none" {
			t.Errorf("after the fence the value is %q", v)
		}
	})
}

// gone reports whether a table has the tombstone of testKey.
func (w *twoTables) gone(table Rows) bool {
	w.Helper()
	row, err := table.Read(w.Context(), testKey)
	w.must(err)
	return row.Data == nil
}

// panickingTable panics when it is read.
type panickingTable struct{ Rows }

func (panickingTable) Read(context.Context, access.Key) (Row, error) { panic("planted") }

func TestReadThrough_Read_PanicBeneathIsAnError(t *testing.T) {
	w := newTwoTables(t)
	w.must(w.own.Write(t.Context(), testKey, []byte("v"), 1, time.Hour))
	r := NewReadThrough(w.own, panickingTable{w.beneath}, "sessions", w.metrics, nil)
	if row, err := r.Read(t.Context(), testKey); err == nil || row.Data != nil {
		t.Errorf("got %d bytes, %v; want an error", len(row.Data), err)
	}
}

// hashedKeys is a table with other row keys, as a sealed table has.
type hashedKeys struct{ localTable }

func hashOf(key access.Key) access.Key {
	sum := sha256.Sum256([]byte(key))
	return access.Key(sum[:])
}

func (h hashedKeys) Read(ctx context.Context, key access.Key) (Row, error) {
	return h.localTable.Read(ctx, hashOf(key))
}

func (h hashedKeys) Deleted(ctx context.Context, key access.Key) (bool, error) {
	return h.localTable.Deleted(ctx, hashOf(key))
}

func (h hashedKeys) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	return h.localTable.Write(ctx, hashOf(key), data, timestamp, ttl)
}

func (h hashedKeys) Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error {
	return h.localTable.Delete(ctx, hashOf(key), d, c)
}

func (h hashedKeys) RecordPending(ctx context.Context, key access.Key, d Deletion) error {
	return h.localTable.RecordPending(ctx, hashOf(key), d)
}

// movingCluster is two datacentres with a sealed table and a table of Kask.
type movingCluster struct{ sealed, kask *datacentres }

// instance returns an instance in step 2 of a move. Its Replayer runs after start.
func (m movingCluster) instance(t *testing.T, dc int) *instance {
	t.Helper()
	i := m.sealed.instance(t, dc, testFence)
	sealed, kask := m.sealed.table(dc), m.kask.table(dc)
	metrics := NewMetrics(prometheus.NewRegistry())
	rows := NewReadThrough(hashedKeys{sealed}, kask, "sessions", metrics, nil)
	i.collection = newTestCollection(t, rows, testFence, 0)
	i.replayer = NewReplayer([]PendingList{
		PendingList{Collection: "sessions", Deletes: sealed}.Through(LayoutUserInfo, kask, nil),
		PendingList{Collection: "sessions", Deletes: kask}.Through(LayoutKask, sealed, nil),
	}, ReplayerOptions{Now: time.Now, Random: func(n int) int { return n / 2 }, Log: slog.New(slog.DiscardHandler), Metrics: metrics})
	return i
}

// testReplayed calls test for each place of the value, and for each choice of tables in which the datacentres cannot
// reach each other. The row keys of the tables differ, so the two rows of a session can have replicas on different nodes.
func testReplayed(t *testing.T, test func(t *testing.T, m movingCluster, remoteHidden bool, setCut func(bool))) {
	type tables struct{ sealed, kask bool }
	all := map[string]tables{"both tables": {true, true}, "Kask's table": {false, true}, "the sealed table": {true, false}}
	for valueName, value := range all {
		for cutName, cut := range all {
			t.Run("value in "+valueName+", cut in "+cutName, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := movingCluster{newDatacentres(), newDatacentres()}
					if value.sealed {
						_ = hashedKeys{m.sealed.table(0)}.Write(t.Context(), "k", []byte("v"), time.Now().UnixMicro(), time.Hour)
					}
					if value.kask {
						_ = m.kask.table(0).Write(t.Context(), "k", []byte("v"), time.Now().UnixMicro(), time.Hour)
					}
					test(t, m, cut != all["both tables"], func(on bool) {
						m.sealed.change(func() { m.sealed.cut = on && cut.sealed })
						m.kask.change(func() { m.kask.cut = on && cut.kask })
					})
				})
			})
		}
	}
}

func TestReadThrough_Delete_IsReplayedInBothTables(t *testing.T) {
	testReplayed(t, func(t *testing.T, m movingCluster, remoteHidden bool, setCut func(bool)) {
		local, remote := m.instance(t, 0), m.instance(t, 1)
		setCut(true)
		local.delete("k", ErrNotEverywhere)
		local.wantFound("during the cut, local", "k", false)
		remote.wantFound("during the cut, remote", "k", !remoteHidden) // one marker is enough
		setCut(false)
		remote.start() // the instance that took the delete need not come back
		local.start()
		time.Sleep(recoveryTime)
		synctest.Wait()
		remote.wantFound("after the return", "k", false)
		time.Sleep(10 * time.Minute) // the markers are gone
		remote.wantFound("after the fence", "k", false)
		local.wantFound("after the fence, local", "k", false)
		local.wantPending("after the return", 0)
	})
}

func TestReadThrough_Delete_StaysDeletedHereWhileACutOutlastsTheFence(t *testing.T) {
	testReplayed(t, func(t *testing.T, m movingCluster, _ bool, setCut func(bool)) {
		local, remote := m.instance(t, 0), m.instance(t, 1)
		setCut(true)
		local.start()
		remote.start()
		local.delete("k", ErrNotEverywhere)
		time.Sleep(10 * time.Minute) // the markers are gone, the value lives
		local.wantFound("after the fence, local", "k", false)
		setCut(false)
		time.Sleep(recoveryTime)
		synctest.Wait()
		local.wantFound("after the return, local", "k", false)
		remote.wantFound("after the return", "k", false)
		local.wantPending("after the return", 0)
	})
}

func TestPendingList_Through_FinishesADeleteFromBeforeTheStep(t *testing.T) {
	for _, key := range []access.Key{"k", "a session key as long as a hash."} {
		t.Run(string(key), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := movingCluster{newDatacentres(), newDatacentres()}
				now := time.Now()
				_ = m.kask.table(1).Write(t.Context(), key, []byte("v"), now.UnixMicro(), time.Hour)
				local, remote := m.instance(t, 0), m.instance(t, 1)
				// All tables of a collection share one list in Cassandra. The entry has the row key of Kask's table.
				entry := Deletion{Tombstone: now.Add(time.Minute).UnixMicro(), Marker: now.UnixMicro()}
				if err := m.sealed.table(0).RecordPending(t.Context(), key, entry); err != nil {
					t.Fatal(err)
				}
				remote.wantFound("before", key, true)
				local.start()
				time.Sleep(recoveryTime)
				synctest.Wait()
				remote.wantFound("after the replay", key, false)
				local.wantPending("after the replay", 0)
			})
		})
	}
}

// sealedRows are rows that say that they are sealed.
type sealedRows struct{ Rows }

func (sealedRows) Sealed() bool { return true }

func TestReadThrough_Sealed_ReportsTheOwnTable(t *testing.T) {
	w := newTwoTables(t)
	for _, c := range []struct {
		own, beneath Rows
		want         bool
	}{
		{w.own, w.beneath, false},
		{w.own, sealedRows{w.beneath}, false},
		{sealedRows{w.own}, w.beneath, true},
	} {
		if got := NewReadThrough(c.own, c.beneath, "sessions", w.metrics, nil).Sealed(); got != c.want {
			t.Errorf("Sealed is %v, want %v", got, c.want)
		}
	}
}
