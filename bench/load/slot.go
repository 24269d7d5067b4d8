package load

import (
	"context"
	"errors"
	"slices"
)

// slot is the place of one connection, which may be replaced. One goroutine uses it at a time.
type slot struct {
	dialer         Dialer
	conn           Conn // nil where there is none now
	kept           bool // conn is from a round before, and has not been used in this one
	sent, received int64
	op             Op
	value          []byte // what op.Value is made in
}

// ask carries out s.op. A connection that has broken between rounds, because its server had waited long enough, is
// replaced and the request repeated, as clients do; in the midst of a round that is an error.
func (s *slot) ask(ctx context.Context) error {
	kept := s.kept
	s.kept = false
	err := s.try(ctx)
	if err != nil && kept && s.conn == nil && Reason(err) == connection {
		return s.try(ctx)
	}
	return err
}

func (s *slot) try(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	err := s.conn.Do(ctx, &s.op)
	var failure Failure
	if err != nil && !errors.As(err, &failure) {
		s.drop()
	}
	return err
}

func (s *slot) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	conn, err := s.dialer.Dial(ctx)
	if err != nil {
		return err
	}
	s.conn = conn
	return nil
}

func (s *slot) drop() {
	if s.conn == nil {
		return
	}
	s.sent, s.received = s.wire()
	_ = s.conn.Close() // it is of no more use either way
	s.conn, s.kept = nil, false
}

// wire is of all connections the slot has had.
func (s *slot) wire() (sent, received int64) {
	if s.conn == nil {
		return s.sent, s.received
	}
	sent, received = s.conn.Wire()
	return known(s.sent, sent), known(s.received, received)
}

// setValue gives op the value of index i.
func (s *slot) setValue(d Dataset, i int) {
	s.value = d.Value(slices.Grow(s.value[:0], d.ValueBytes+8), i)
	s.op.Value = s.value
}
