package coordinator

import (
	"context"
	"errors"
	"sync/atomic"
)

// maxSends is how many requests one attempt may send. An attempt sends one, and a few more when the node has forgotten its
// prepared statements. The number leaves room for results of several pages.
const maxSends = 32

// ErrUnprepared is the error of an attempt that has sent too many requests: the node forgets each statement as soon as it
// has been prepared.
var ErrUnprepared = errors.New("the Cassandra node does not keep prepared statements")

// sendLimit is a context whose Err returns ErrUnprepared after a number of requests. gocql v1.7.0 calls Err before each
// request. It repeats a statement as long as the node answers UNPREPARED, each time in a recursive call, which takes more
// stack and keeps a response in memory. Done is not closed at the limit, so a request that already runs is not cancelled.
type sendLimit struct {
	context.Context
	choice nodeChoice // nil: the choice of the parent context, or of the driver's policy
	left   atomic.Int64
}

// sendLimitKey is the context key of a sendLimit.
type sendLimitKey struct{}

// LimitSends returns a context with which the driver sends at most n requests. After that, statements fail with
// ErrUnprepared. The contexts of Run and WithNode already have a limit.
func LimitSends(ctx context.Context, n int) context.Context { return newSendLimit(ctx, nil, n) }

func newSendLimit(ctx context.Context, c nodeChoice, n int) *sendLimit {
	l := &sendLimit{Context: ctx, choice: c}
	l.left.Store(int64(n))
	return l
}

// CountSend must be called before the driver sends a request. ctx is the context of the request.
func CountSend(ctx context.Context) {
	if l, ok := ctx.Value(sendLimitKey{}).(*sendLimit); ok {
		l.left.Add(-1)
	}
}

// Err implements context.Context.
func (l *sendLimit) Err() error {
	if err := l.Context.Err(); err != nil {
		return err
	}
	if l.left.Load() <= 0 {
		return ErrUnprepared
	}
	return nil
}

// Value implements context.Context.
func (l *sendLimit) Value(key any) any {
	switch key {
	case sendLimitKey{}:
		return l
	case choiceKey{}:
		if l.choice != nil {
			return l.choice
		}
	}
	return l.Context.Value(key)
}
