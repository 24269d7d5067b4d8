package load

import (
	"context"
	"fmt"
)

// Held is connections that are kept and not used.
type Held []*slot

// Idle makes n connections and keeps them, until they are closed or their target does so. Each has carried out first, so
// that the target has been through all of a request; nil is nothing but TLS.
func Idle(ctx context.Context, d Dialer, n int, first *Op) (Held, error) {
	conns := make(Held, n)
	err := each(ctx, n, dialsAtOnce, func(ctx context.Context, i int) error {
		conns[i] = &slot{dialer: d}
		if err := conns[i].connect(ctx); err != nil {
			return fmt.Errorf("connection %d of %d: %w", i+1, n, err)
		}
		if first == nil {
			return nil
		}
		conns[i].op = *first
		if err := conns[i].ask(ctx); err != nil {
			return fmt.Errorf("the request on connection %d of %d: %w", i+1, n, err)
		}
		return nil
	})
	if err != nil {
		_ = conns.Close()
		return nil, err
	}
	return conns, nil
}

// Ask carries out first once more on each: it fails where one has not been open until now.
func (conns Held) Ask(ctx context.Context) error {
	return each(ctx, len(conns), dialsAtOnce, func(ctx context.Context, i int) error {
		if err := conns[i].ask(ctx); err != nil {
			return fmt.Errorf("connection %d of %d: %w", i+1, len(conns), err)
		}
		return nil
	})
}

// Close is of all.
func (conns Held) Close() error {
	for _, s := range conns {
		if s != nil {
			s.drop()
		}
	}
	return nil
}
