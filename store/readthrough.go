package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/internal/panics"
)

// ReadThrough is Rows of two tables, for a collection that moves from one table to another while it is used:
//
//	Collection ──▶ ReadThrough ──▶ own       sets and touches write here
//	                    └────────▶ beneath   another layout; only values from before the move, which expire
//
// A move has two steps. In step 1, the old table is own and the new table is beneath. In step 2 it is the other way
// round. All instances take step 1 before the first one takes step 2. Then instances of both steps see each other's
// values, and a move can be undone in the same way.
//
// Invariants:
//
//  1. The value of a key is the newer one of both tables: Read reads both. The rules for equal timestamps are those of Rows.
//  2. Delete succeeds after both tables have confirmed the tombstone and the marker, at the consistency that the caller asks
//     for. A key counts as deleted while either table has the marker.
//  3. An older value beneath never outlives a newer one: if it would expire later, Write deletes it. A Write that is
//     older than the value beneath changes nothing.
//  4. RecordPending records the delete under the row keys of both tables. A Replayer finishes both: see PendingList.Through.
//  5. If one of the tables cannot answer, the result is unknown: ErrUnavailable.
//
// A ReadThrough does not see what is written by a program that knows one of the tables only. If such a program deletes a key
// that the other table has, the value comes back. If two instances of different steps write a key at the same moment with
// different TTLs, the older value can come back when the newer one expires.
type ReadThrough struct {
	own, beneath Rows
	panics       *panics.Recorder
	found        readThroughMetrics
}

var _ Rows = (*ReadThrough)(nil)

// NewReadThrough returns the rows of a collection in two tables. p recovers from panics in goroutines.
func NewReadThrough(own, beneath Rows, collection string, m *Metrics, p *panics.Recorder) *ReadThrough {
	return &ReadThrough{own: own, beneath: beneath, panics: p, found: m.readThrough(collection)}
}

// Read implements Rows.
func (r *ReadThrough) Read(ctx context.Context, key access.Key) (Row, error) {
	first, second := both(r.panics, func() (Row, error) { return r.own.Read(ctx, key) }, func() (Row, error) { return r.beneath.Read(ctx, key) })
	own, beneath := tableRow{first.value, first.err}, tableRow{second.value, second.err}
	if err := errors.Join(own.unknown(), beneath.unknown()); err != nil {
		return Row{}, fmt.Errorf("reading two tables: %w", err)
	}
	newer, found := own, r.found.own
	if beneath.wins(own) {
		newer, found = beneath, r.found.beneath
	}
	newer.Deleted = own.Deleted || beneath.Deleted
	if !newer.Absent() {
		found.Inc()
	}
	return newer.Row, newer.err
}

// tableRow is what one table returned for a key.
type tableRow struct {
	Row
	err error
}

// unknown returns the error if it is not known what the table has.
func (t tableRow) unknown() error {
	if errors.Is(t.err, ErrSealed) {
		return nil
	}
	return t.err
}

// hasValue reports whether there is a value, perhaps one that cannot be opened.
func (t tableRow) hasValue() bool { return t.Data != nil || t.err != nil }

// wins reports whether the value of t replaces the value of other, by the rules of Rows.
func (t tableRow) wins(other tableRow) bool {
	switch {
	case !t.hasValue() || !other.hasValue():
		return t.hasValue() && !other.hasValue()
	case t.Timestamp != other.Timestamp:
		return t.Timestamp > other.Timestamp
	case t.TTL != other.TTL:
		return t.outlives(other.TTL)
	default:
		return bytes.Compare(t.Data, other.Data) > 0
	}
}

// outlives reports whether the value expires later than a value with this TTL. A TTL of 0 never ends.
func (t tableRow) outlives(ttl time.Duration) bool { return ttl != 0 && (t.TTL == 0 || t.TTL > ttl) }

// Deleted implements Rows. It reads both markers, because a delete may have been confirmed in one table only.
func (r *ReadThrough) Deleted(ctx context.Context, key access.Key) (bool, error) {
	own, beneath := both(r.panics, func() (bool, error) { return r.own.Deleted(ctx, key) }, func() (bool, error) { return r.beneath.Deleted(ctx, key) })
	return own.value || beneath.value, errors.Join(own.err, beneath.err)
}

// Write implements Rows. It reads the table beneath first, so that nothing is written if that fails.
//
// The value beneath is not deleted if it expires in time. Otherwise another datacentre, to which the delete can be faster
// than the new value, would have no value for a moment.
func (r *ReadThrough) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	var beneath tableRow
	beneath.Row, beneath.err = r.beneath.Read(ctx, key)
	if err := beneath.unknown(); err != nil {
		return fmt.Errorf("reading the table beneath before a write: %w", err)
	}
	if beneath.hasValue() && beneath.Timestamp > timestamp {
		return nil
	}
	if err := r.own.Write(ctx, key, data, timestamp, ttl); err != nil {
		return err
	}
	if !beneath.hasValue() || !beneath.outlives(ttl) {
		return nil
	}
	if err := r.beneath.Delete(ctx, key, Deletion{Tombstone: timestamp - 1}, LocalQuorum); err != nil {
		return fmt.Errorf("deleting an older value in the table beneath: %w", err)
	}
	return nil
}

// Delete implements Rows.
func (r *ReadThrough) Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error {
	return r.inBoth(func(rows Rows) error { return rows.Delete(ctx, key, d, c) })
}

// RecordPending implements Rows.
func (r *ReadThrough) RecordPending(ctx context.Context, key access.Key, d Deletion) error {
	return r.inBoth(func(rows Rows) error { return rows.RecordPending(ctx, key, d) })
}

// Ready implements Rows.
func (r *ReadThrough) Ready(ctx context.Context) error {
	return r.inBoth(func(rows Rows) error { return rows.Ready(ctx) })
}

// Sealed implements Rows. It reports whether new values are sealed. A delete is written under the key of both tables: if
// one of them is not sealed, the keys of deleted sessions are in clear there, and while the delete is pending in its
// list.
func (r *ReadThrough) Sealed() bool { return r.own.Sealed() }

// inBoth calls do for both tables at the same time. It succeeds if both calls succeed.
func (r *ReadThrough) inBoth(do func(Rows) error) error {
	return bothSucceed(r.panics, func() error { return do(r.own) }, func() error { return do(r.beneath) })
}

// answer is what a call has returned.
type answer[T any] struct {
	value T
	err   error
}

// both calls two functions at the same time. A panic in the second is an error.
func both[T any](p *panics.Recorder, first, second func() (T, error)) (a, b answer[T]) {
	var running sync.WaitGroup
	running.Go(func() {
		defer p.Recover(panics.Store, &b.err)
		b.value, b.err = second()
	})
	a.value, a.err = first()
	running.Wait()
	return a, b
}

// bothSucceed calls two functions at the same time, and joins their errors.
func bothSucceed(p *panics.Recorder, first, second func() error) error {
	a, b := both(p, func() (struct{}, error) { return struct{}{}, first() }, func() (struct{}, error) { return struct{}{}, second() })
	return errors.Join(a.err, b.err)
}

// Through returns the list for a collection whose rows are a ReadThrough. own is the layout of the list's own table, and
// beneath is the other table. A delete is replayed in each table that can have its row key, so deletes that were recorded
// before the step of a move are finished, too. beneath is not sealed rows, because the list has row keys.
func (l PendingList) Through(own Layout, beneath Rows, p *panics.Recorder) PendingList {
	t := pendingThrough{PendingDeletes: l.Deletes, sealed: l.Deletes.Delete, kask: beneath.Delete, panics: p}
	if own == LayoutKask {
		t.sealed, t.kask = t.kask, t.sealed
	}
	l.Deletes = t
	return l
}

// pendingThrough are the pending deletes of a ReadThrough.
type pendingThrough struct {
	PendingDeletes
	sealed, kask func(context.Context, access.Key, Deletion, Consistency) error // Rows.Delete of each table
	panics       *panics.Recorder
}

// sealedKeyBytes is the length of the row keys of a sealed table, which are hashes. See package seal.
const sealedKeyBytes = 32

// Delete implements PendingDeletes. The sealed table must not get a session key, so it gets only keys that can be hashes.
// Kask's table gets every key, because a session key can have the length of a hash. It ignores keys that are not UTF-8,
// as nearly all hashes are not.
func (t pendingThrough) Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error {
	kask := func() error { return t.kask(ctx, key, d, c) }
	if len(key) != sealedKeyBytes {
		return kask()
	}
	return bothSucceed(t.panics, func() error { return t.sealed(ctx, key, d, c) }, kask)
}

// readThroughMetrics count the values that a ReadThrough has found, by table.
type readThroughMetrics struct{ own, beneath prometheus.Counter }

func newReadThroughVec() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "userinfo_store_read_through_total",
		Help: "Values that were found by a collection with read_through, by the table that had the newer value: own, or beneath, which is the table of read_through.",
	}, []string{"collection", "table"})
}

func (m *Metrics) readThrough(collection string) readThroughMetrics {
	return readThroughMetrics{own: m.readThroughs.WithLabelValues(collection, "own"), beneath: m.readThroughs.WithLabelValues(collection, "beneath")}
}
