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

// rowOverhead is about what a row costs in memory beside its key and value, in bytes.
const rowOverhead = 200

// sweepStep is how many rows each write looks at for expired ones.
const sweepStep = 8

// Memory keeps rows in this process: for `userinfo dev` and for tests. It has the rules of a Cassandra cluster
// with one node, so that one contract holds for both. Everything is lost when the process ends.
type Memory struct {
	now      func() time.Time
	maxBytes int64

	mu    sync.Mutex // guards what follows
	rows  map[access.Key]*memoryRow
	pends [PendingBuckets]map[access.Key]Deletion
	bytes int64
}

var (
	_ Rows           = (*Memory)(nil)
	_ PendingDeletes = (*Memory)(nil)
)

// memoryRow has two cells, each with its own timestamp.
type memoryRow struct {
	value, gone cell
}

// cell is one of Cassandra's: data until expires, a tombstone after, or from the start.
type cell struct {
	timestamp int64
	data      []byte    // nil in a tombstone
	expires   time.Time // zero in a tombstone
}

// NewMemory makes an empty store of at most maxBytes, keys and bookkeeping included. now is the clock by which
// values expire.
func NewMemory(maxBytes int64, now func() time.Time) *Memory {
	m := &Memory{now: now, maxBytes: maxBytes, rows: make(map[access.Key]*memoryRow)}
	for bucket := range m.pends {
		m.pends[bucket] = make(map[access.Key]Deletion)
	}
	return m
}

func (c cell) live(now time.Time) bool { return c.data != nil && now.Before(c.expires) }

// beats tells whether c replaces old, by Cassandra's rules for two writes to a cell.
func (c cell) beats(old cell, now time.Time) bool {
	if c.timestamp != old.timestamp {
		return c.timestamp > old.timestamp
	}
	if !c.live(now) || !old.live(now) {
		return !c.live(now)
	}
	if !c.expires.Equal(old.expires) {
		return c.expires.After(old.expires)
	}
	return bytes.Compare(c.data, old.data) > 0
}

func (m *Memory) Read(ctx context.Context, key access.Key) (Row, error) {
	if err := ctx.Err(); err != nil {
		return Row{}, unavailable(err)
	}
	seen := m.look(key)
	seen.Data = bytes.Clone(seen.Data) // data in a cell never changes
	return seen, nil
}

// look is read, but its data is the cell's.
func (m *Memory) look(key access.Key) Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.rows[key]
	if !ok {
		return Row{}
	}
	now := m.now()
	seen := Row{Deleted: r.gone.live(now)}
	if r.value.live(now) {
		// Rounded as Cassandra does, so that a value just set with n seconds has n left.
		left := r.value.expires.Sub(now)
		seen.Data, seen.Timestamp = r.value.data, r.value.timestamp
		seen.TTL = (left + time.Second - 1).Truncate(time.Second)
	}
	return seen
}

func (m *Memory) Deleted(ctx context.Context, key access.Key) (bool, error) {
	r, err := m.Read(ctx, key)
	return r.Deleted, err
}

func (m *Memory) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	return m.apply(key, now, func(r *memoryRow) {
		if c := (cell{timestamp, bytes.Clone(data), now.Add(ttl)}); c.beats(r.value, now) {
			r.value = c
		}
	}, int64(len(data)))
}

func (m *Memory) Delete(ctx context.Context, key access.Key, d Deletion, _ Consistency) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	return m.apply(key, now, func(r *memoryRow) {
		if c := (cell{timestamp: d.Tombstone}); c.beats(r.value, now) {
			r.value = c
		}
		if c := (cell{d.Marker, []byte{1}, now.Add(d.MarkerTTL)}); d.MarkerTTL > 0 && c.beats(r.gone, now) {
			r.gone = c
		}
	}, 0)
}

// pend keeps of two entries for one key the one with the later tombstone, as Cassandra's timestamps do.
func (m *Memory) RecordPending(ctx context.Context, key access.Key, r Deletion) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	bucket := m.pends[PendingBucket(key)]
	old, ok := bucket[key]
	if !ok && m.bytes+pendBytes(key) > m.maxBytes {
		return ErrFull
	}
	if !ok {
		m.bytes += pendBytes(key)
	}
	if !ok || r.Tombstone > old.Tombstone {
		bucket[key] = r
	}
	return nil
}

func (m *Memory) ListPending(ctx context.Context, bucket, limit int) ([]PendingDelete, error) {
	if err := ctx.Err(); err != nil {
		return nil, unavailable(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []PendingDelete
	for _, key := range slices.Sorted(maps.Keys(m.pends[bucket])) {
		if len(all) == limit {
			break
		}
		all = append(all, PendingDelete{key, m.pends[bucket][key]})
	}
	return all, nil
}

func (m *Memory) RemovePending(ctx context.Context, p PendingDelete) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	bucket := m.pends[PendingBucket(p.Key)]
	if old, ok := bucket[p.Key]; ok && old.Tombstone <= p.Tombstone {
		delete(bucket, p.Key)
		m.bytes -= pendBytes(p.Key)
	}
	return nil
}

func pendBytes(key access.Key) int64 { return rowOverhead + int64(len(key)) }

func (m *Memory) Ready(context.Context) error { return nil }

// Sealed implements Rows. Memory stores what it is given.
func (m *Memory) Sealed() bool { return false }

// apply changes one row, within the bound; size is what the change adds to it. The caller holds m.mu.
func (m *Memory) apply(key access.Key, now time.Time, change func(*memoryRow), size int64) error {
	m.sweep(now, sweepStep)
	if !m.fits(key, size) {
		if m.sweep(now, len(m.rows)); !m.fits(key, size) {
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

// fits tells whether there is room for size bytes in place of the value that key has now.
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

// sweep looks at up to n rows, in no order, and forgets those that can no longer matter. The caller holds m.mu.
func (m *Memory) sweep(now time.Time, n int) {
	for key, r := range m.rows {
		if n--; n < 0 {
			return
		}
		// A tombstone in the future still hides writes to come.
		if !r.value.live(now) && !r.gone.live(now) && r.value.timestamp <= now.UnixMicro() {
			m.bytes -= rowBytes(key, r)
			delete(m.rows, key)
		}
	}
}
