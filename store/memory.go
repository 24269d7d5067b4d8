package store

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"userinfo/access"
)

const (
	// rowOverhead is roughly the memory that a row needs in addition to its key and value, in bytes.
	rowOverhead = 200
	// sweepStep is how many rows each write checks for expired values.
	sweepStep = 8
	// tombstoneLife is how long a tombstone is kept after its timestamp, as gc_grace_seconds in Cassandra. A set is written
	// within this time after its timestamp, so the tombstone hides every earlier set.
	tombstoneLife = time.Minute
)

// Memory is a table in this process, for `userinfo dev` and for tests. It implements Rows and PendingDeletes with the
// rules of a Cassandra cluster of one node. Its rows are lost when the process ends.
type Memory struct {
	now      func() time.Time
	maxBytes int64

	mu      sync.Mutex // guards the fields below
	rows    map[access.Key]*memoryRow
	pending [PendingBuckets]map[access.Key]Deletion
	bytes   int64
}

var (
	_ Rows           = (*Memory)(nil)
	_ PendingDeletes = (*Memory)(nil)
)

// memoryRow is a row of two cells.
type memoryRow struct{ value, marker cell }

// cell has data until it expires; then it is a tombstone. A cell without data is a tombstone from the start.
type cell struct {
	timestamp int64
	data      []byte    // nil in a tombstone; never modified
	expires   time.Time // zero in a tombstone
}

// NewMemory returns an empty table of at most maxBytes, including keys and some overhead. Values expire according to
// the clock that now reads.
func NewMemory(maxBytes int64, now func() time.Time) *Memory {
	m := &Memory{now: now, maxBytes: maxBytes, rows: make(map[access.Key]*memoryRow)}
	for bucket := range m.pending {
		m.pending[bucket] = make(map[access.Key]Deletion)
	}
	return m
}

func (c cell) isLive(now time.Time) bool { return c.data != nil && now.Before(c.expires) }

// wins reports whether c replaces old, by Cassandra's rules for two writes to a cell.
func (c cell) wins(old cell, now time.Time) bool {
	if c.timestamp != old.timestamp {
		return c.timestamp > old.timestamp
	}
	if !c.isLive(now) || !old.isLive(now) {
		return !c.isLive(now)
	}
	if !c.expires.Equal(old.expires) {
		return c.expires.After(old.expires)
	}
	return bytes.Compare(c.data, old.data) > 0
}

// Read implements Rows.
func (m *Memory) Read(ctx context.Context, key access.Key) (Row, error) {
	if err := ctx.Err(); err != nil {
		return Row{}, unavailable(err)
	}
	row := m.readShared(key)
	row.Data = bytes.Clone(row.Data)
	return row, nil
}

// readShared returns a row whose Data must not be modified.
func (m *Memory) readShared(key access.Key) Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.rows[key]
	if !ok {
		return Row{}
	}
	now := m.now()
	row := Row{Deleted: r.marker.isLive(now)}
	if r.value.isLive(now) {
		row.Data, row.Timestamp = r.value.data, r.value.timestamp
		// Round up like Cassandra, so that a value that was just set with n seconds has n seconds left.
		row.TTL = (r.value.expires.Sub(now) + time.Second - 1).Truncate(time.Second)
	}
	return row
}

// Deleted implements Rows.
func (m *Memory) Deleted(ctx context.Context, key access.Key) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, unavailable(err)
	}
	return m.readShared(key).Deleted, nil
}

// Write implements Rows.
func (m *Memory) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	return m.apply(key, now, int64(len(data)), func(r *memoryRow) {
		if c := (cell{timestamp, bytes.Clone(data), now.Add(ttl)}); c.wins(r.value, now) {
			r.value = c
		}
	})
}

// Delete implements Rows and PendingDeletes.
func (m *Memory) Delete(ctx context.Context, key access.Key, d Deletion, _ Consistency) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	return m.apply(key, now, 0, func(r *memoryRow) {
		if c := (cell{timestamp: d.Tombstone}); c.wins(r.value, now) {
			r.value = c
		}
		if c := (cell{d.Marker, []byte{1}, now.Add(d.MarkerTTL)}); d.MarkerTTL > 0 && c.wins(r.marker, now) {
			r.marker = c
		}
	})
}

// Ready implements Rows.
func (m *Memory) Ready(context.Context) error { return nil }

// Sealed implements Rows. It returns false.
func (m *Memory) Sealed() bool { return false }

// RecordPending implements Rows.
func (m *Memory) RecordPending(ctx context.Context, key access.Key, d Deletion) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	bucket := m.pending[PendingBucket(key)]
	old, ok := bucket[key]
	if !ok && m.bytes+pendingBytes(key) > m.maxBytes {
		return ErrFull
	}
	if !ok {
		m.bytes += pendingBytes(key)
	}
	if !ok || d.Tombstone > old.Tombstone {
		bucket[key] = d
	}
	return nil
}

// ListPending implements PendingDeletes.
func (m *Memory) ListPending(ctx context.Context, bucket, limit int) ([]PendingDelete, error) {
	if err := ctx.Err(); err != nil {
		return nil, unavailable(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []PendingDelete
	for _, key := range slices.Sorted(maps.Keys(m.pending[bucket])) {
		if len(all) == limit {
			break
		}
		all = append(all, PendingDelete{Key: key, Deletion: m.pending[bucket][key]})
	}
	return all, nil
}

// RemovePending implements PendingDeletes.
func (m *Memory) RemovePending(ctx context.Context, p PendingDelete) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	bucket := m.pending[PendingBucket(p.Key)]
	if old, ok := bucket[p.Key]; ok && old.Tombstone <= p.Tombstone {
		delete(bucket, p.Key)
		m.bytes -= pendingBytes(p.Key)
	}
	return nil
}

func pendingBytes(key access.Key) int64 { return rowOverhead + int64(len(key)) }

// apply changes a row. It returns ErrFull if there is no space for added bytes. The caller holds m.mu.
func (m *Memory) apply(key access.Key, now time.Time, added int64, change func(*memoryRow)) error {
	m.sweep(now, sweepStep)
	if !m.fits(key, added) {
		if m.sweep(now, len(m.rows)); !m.fits(key, added) {
			return ErrFull
		}
	}
	r, ok := m.rows[key]
	if ok {
		m.bytes -= rowBytes(key, r)
	} else {
		r = &memoryRow{}
		m.rows[key] = r
	}
	change(r)
	m.bytes += rowBytes(key, r)
	return nil
}

// fits reports whether there is space for a value of size bytes in place of the current value of key.
func (m *Memory) fits(key access.Key, size int64) bool {
	r, ok := m.rows[key]
	if !ok {
		return m.bytes+rowBytes(key, &memoryRow{})+size <= m.maxBytes
	}
	return size <= int64(len(r.value.data)) || m.bytes-int64(len(r.value.data))+size <= m.maxBytes
}

func rowBytes(key access.Key, r *memoryRow) int64 {
	return rowOverhead + int64(len(key)) + int64(len(r.value.data))
}

// sweep checks up to n rows, in no order, and removes those that no longer matter. The caller holds m.mu.
func (m *Memory) sweep(now time.Time, n int) {
	for key, r := range m.rows {
		if n--; n < 0 {
			return
		}
		if !r.value.isLive(now) && !r.marker.isLive(now) && r.value.timestamp <= now.Add(-tombstoneLife).UnixMicro() {
			m.bytes -= rowBytes(key, r)
			delete(m.rows, key)
		}
	}
}
