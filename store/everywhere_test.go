package store

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"
)

func TestConfirmations_WriteSaysWhatHolds(t *testing.T) {
	down, full := errors.New("another datacentre is down"), errors.New("cannot be recorded")
	for name, c := range map[string]struct {
		each, local, record error
		want                func(error) bool
		records             int64
	}{
		"everywhere": {nil, down, down, func(err error) bool { return err == nil }, 0},
		"here and recorded": {down, nil, nil, func(err error) bool {
			u, ok := errors.AsType[*Unconfirmed](err)
			return ok && errors.Is(err, down) && u.RecordErr == nil
		}, 1},
		"here and not recorded": {down, nil, full, func(err error) bool {
			u, ok := errors.AsType[*Unconfirmed](err)
			return ok && errors.Is(u.RecordErr, full)
		}, 1},
		"nowhere": {down, down, nil, func(err error) bool {
			_, ok := errors.AsType[*Unconfirmed](err)
			return errors.Is(err, down) && !ok
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			confirmations := NewConfirmations(time.Now, slog.New(slog.DiscardHandler), nil)
			defer confirmations.Close()
			var records atomic.Int64
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := confirmations.Write(ctx, Everywhere{
				Each:   func(context.Context) error { return c.each },
				Local:  func(context.Context) error { return c.local },
				Record: func(context.Context) error { records.Add(1); return c.record },
			})
			if !c.want(err) || records.Load() != c.records {
				t.Errorf("error %v after %d records", err, records.Load())
			}
		})
	}
}
