package api

import (
	"context"
	"sync"
	"time"
)

// budget is a request's context with the time that the store has for it: context.WithDeadline, but that there is no timer,
// and nothing to tell the context it is made from, before somebody waits. Most gets are answered before anybody does.
type budget struct {
	context.Context // the request's
	deadline        time.Time

	mu     sync.Mutex // guards what follows
	full   context.Context
	cancel context.CancelFunc
	over   bool // the request is
}

var _ context.Context = (*budget)(nil)

// Deadline implements context.Context.
func (b *budget) Deadline() (time.Time, bool) {
	if parent, ok := b.Context.Deadline(); ok && parent.Before(b.deadline) {
		return parent, true
	}
	return b.deadline, true
}

// Done implements context.Context.
func (b *budget) Done() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full == nil {
		b.full, b.cancel = context.WithDeadline(b.Context, b.deadline)
		if b.over {
			b.cancel()
		}
	}
	return b.full.Done()
}

// Err implements context.Context.
func (b *budget) Err() error {
	full, over := b.state()
	if full == nil {
		if !over && b.Context.Err() == nil && time.Now().Before(b.deadline) {
			return nil
		}
		b.Done() // what has ended stays so, and for that reason
		full, _ = b.state()
	}
	return full.Err()
}

// Value implements context.Context. Contexts that are made from b ask it for the one to be cancelled with.
func (b *budget) Value(key any) any {
	if full, _ := b.state(); full != nil {
		return full.Value(key)
	}
	return b.Context.Value(key)
}

func (b *budget) state() (full context.Context, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full, b.over
}

// end is a context.CancelFunc.
func (b *budget) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if b.cancel != nil {
		b.cancel()
	}
}
