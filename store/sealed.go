package store

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
)

// sealedRows are rows of which inner sees neither key nor value. Whoever reads inner still learns how many rows there
// are, how long each value is, and when it was written and will expire; equal values of a row, and one session's rows
// in two collections, look different. Whoever writes to it can remove a row, or put an older state of the same row
// back; what he changes, moves or makes up is an error to read.
//
// inner is a field with a name, not embedded, so that no method can come to pass keys through unsealed.
type sealedRows struct {
	inner      Rows
	collection string
	keys       *Keys
	random     io.Reader
	openings   openings
}

var _ Rows = (*sealedRows)(nil)

// newSealedRows panics without keys or randomness: a collection that is to be sealed must not come to be unsealed.
func newSealedRows(inner Rows, collection string, tools Options) *sealedRows {
	if tools.Keys == nil || tools.Random == nil {
		panic("store: a collection of this layout is sealed; give Options.Keys and Options.Random")
	}
	return &sealedRows{inner, collection, tools.Keys, tools.Random, tools.Metrics.openingsOf(collection)}
}

// read opens what is there. On ErrSealed the row is as inner has it, but without the data.
func (s *sealedRows) Read(ctx context.Context, key access.Key) (Row, error) {
	p := s.keys.place(s.collection, key)
	r, err := s.inner.Read(ctx, p.row)
	if err != nil || r.Absent() {
		return r, err
	}
	r.Data, r.OldSealKey, err = s.keys.open(p, r.Data)
	s.openings.count(r.OldSealKey, err)
	return r, err
}

func (s *sealedRows) Deleted(ctx context.Context, key access.Key) (bool, error) {
	return s.inner.Deleted(ctx, s.keys.place(s.collection, key).row)
}

// write seals once, so that every attempt writes the same bytes.
func (s *sealedRows) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	p := s.keys.place(s.collection, key)
	sealed, err := s.keys.seal(s.random, p, data)
	if err != nil {
		return unavailable(err)
	}
	return s.inner.Write(ctx, p.row, sealed, timestamp, ttl)
}

func (s *sealedRows) Delete(ctx context.Context, key access.Key, r Deletion, c Consistency) error {
	return s.inner.Delete(ctx, s.keys.place(s.collection, key).row, r, c)
}

func (s *sealedRows) RecordPending(ctx context.Context, key access.Key, r Deletion) error {
	return s.inner.RecordPending(ctx, s.keys.place(s.collection, key).row, r)
}

func (s *sealedRows) Ready(ctx context.Context) error { return s.inner.Ready(ctx) }

func (s *sealedRows) Sealed() bool { return true }

// openings count how opening a collection's values went.
type openings struct{ first, older, format, unknown, damaged prometheus.Counter }

func (m *Metrics) openingsOf(collection string) openings {
	of := func(result string) prometheus.Counter { return m.openings.WithLabelValues(collection, result) }
	return openings{of("first_key"), of("older_key"), of("unknown_format"), of("unknown_key"), of("damaged")}
}

func (o openings) count(older bool, err error) {
	switch {
	case err == nil && older:
		o.older.Inc()
	case err == nil:
		o.first.Inc()
	case errors.Is(err, errFormat):
		o.format.Inc()
	case errors.Is(err, errKey):
		o.unknown.Inc()
	default:
		o.damaged.Inc()
	}
}
