package passwords

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// memoryRowBytes is roughly what a row and its counts take in memory.
const memoryRowBytes = 2048

// Memory holds the rows in this process, for `userinfo dev` and for tests. It has the rules of a Cassandra cluster of one
// node. Its rows are lost when the process ends.
type Memory struct {
	now     func() time.Time
	maxRows int

	mu      sync.Mutex // guards the fields below
	rows    map[access.Key]*memoryRow
	guesses map[access.Key]map[string]memoryCount
}

var _ Rows = (*Memory)(nil)

type memoryRow struct {
	decided      []byte
	written      memoryCell
	token        memoryCell
	tokenExpires time.Time
}

type memoryCell struct {
	timestamp int64
	data      []byte // never modified
}

type memoryCount struct {
	Count
	expires time.Time
}

// NewMemory returns empty tables of at most about maxBytes. Tokens and counts expire according to the clock that now reads.
func NewMemory(maxBytes int64, now func() time.Time) *Memory {
	return &Memory{now: now, maxRows: int(maxBytes / memoryRowBytes), rows: make(map[access.Key]*memoryRow), guesses: make(map[access.Key]map[string]memoryCount)}
}

// replace replaces a cell by Cassandra's rules: the larger timestamp wins, and of two equal timestamps the larger bytes.
func (c *memoryCell) replace(data []byte, timestamp int64) {
	if timestamp > c.timestamp || timestamp == c.timestamp && bytes.Compare(data, c.data) > 0 {
		*c = memoryCell{timestamp, bytes.Clone(data)}
	}
}

// change calls do with a row, which is made if it does not exist.
func (m *Memory) change(ctx context.Context, key access.Key, do func(*memoryRow)) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.rows[key]
	if !ok {
		if len(m.rows) >= m.maxRows {
			return store.ErrFull
		}
		r = &memoryRow{}
		m.rows[key] = r
	}
	do(r)
	return nil
}

// Read implements Rows.
func (m *Memory) Read(ctx context.Context, key access.Key) (Row, error) {
	if err := ctx.Err(); err != nil {
		return Row{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.rows[key]
	if !ok {
		return Row{}, nil
	}
	row := Row{Decided: bytes.Clone(r.decided), Written: bytes.Clone(r.written.data)}
	if m.now().Before(r.tokenExpires) {
		row.Token = bytes.Clone(r.token.data)
	}
	return row, nil
}

// ReadEverywhere implements Rows.
func (m *Memory) ReadEverywhere(ctx context.Context, key access.Key) (Row, error) {
	return m.Read(ctx, key)
}

// Decide implements Rows.
func (m *Memory) Decide(ctx context.Context, key access.Key, seen Row, record []byte) (decided bool, err error) {
	err = m.change(ctx, key, func(r *memoryRow) {
		if bytes.Equal(r.decided, seen.Decided) && bytes.Equal(r.written.data, seen.Written) {
			r.decided = bytes.Clone(record)
		}
		decided = bytes.Equal(r.decided, record)
	})
	return decided, err
}

// Write implements Rows.
func (m *Memory) Write(ctx context.Context, key access.Key, record []byte, timestamp int64, _ store.Consistency) error {
	return m.change(ctx, key, func(r *memoryRow) { r.written.replace(record, timestamp) })
}

// WriteToken implements Rows.
func (m *Memory) WriteToken(ctx context.Context, key access.Key, token []byte, timestamp int64, ttl time.Duration) error {
	return m.change(ctx, key, func(r *memoryRow) {
		r.token.replace(token, timestamp)
		if r.token.timestamp == timestamp {
			r.tokenExpires = m.now().Add(ttl)
		}
	})
}

// RecordPending implements Rows. A write in memory is never pending, so there is no list.
func (m *Memory) RecordPending(context.Context, access.Key, int64) error { return nil }

// Ready implements Rows.
func (m *Memory) Ready(context.Context) error { return nil }

// ReadGuesses implements Rows.
func (m *Memory) ReadGuesses(ctx context.Context, budget access.Key) ([]Count, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Count
	for _, c := range m.guesses[budget] {
		if m.now().Before(c.expires) {
			all = append(all, c.Count)
		}
	}
	slices.SortFunc(all, func(a, b Count) int { return int(a.Last - b.Last) })
	return all, nil
}

// WriteGuesses implements Rows. If there is no room, expired counts are removed, and then any counts.
func (m *Memory) WriteGuesses(ctx context.Context, budget access.Key, c Count, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.makeRoom()
	counts := m.guesses[budget]
	if counts == nil {
		counts = make(map[string]memoryCount)
		m.guesses[budget] = counts
	}
	if c.Last >= counts[c.Instance].Last {
		counts[c.Instance] = memoryCount{c, m.now().Add(ttl)}
	}
	return nil
}

func (m *Memory) makeRoom() {
	if len(m.guesses) < m.maxRows {
		return
	}
	now := m.now()
	for budget, counts := range m.guesses {
		for instance, c := range counts {
			if !now.Before(c.expires) {
				delete(counts, instance)
			}
		}
		if len(counts) == 0 {
			delete(m.guesses, budget)
		}
	}
	for budget := range m.guesses {
		if len(m.guesses) < m.maxRows {
			return
		}
		delete(m.guesses, budget)
	}
}
