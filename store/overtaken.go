package store

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// overtaken is a first attempt that was let go because another coordinator, asked at the reads' pace, was quicker. Its
// breaker is told once how it does: it must not open because a node is a little slower for a moment, nor stay closed because
// others answer in place of one that is dead. So the attempt has the rest of hedgeAfter, though nobody waits for it: what the
// driver says of its stream then is all there is to know. That an answer has come shows that the coordinator lives, not that
// it is well, as what it says is not told.
//
// It holds nothing of the operation, as the driver keeps it for as long as a dead node's connection lasts.
type overtaken struct {
	runner  *runner
	plan    plan
	attempt attempt // how it was
	told    atomic.Bool
}

func overtake(r *runner, p plan, first *attempt) *overtaken {
	p.key = nil
	o := &overtaken{runner: r, plan: p, attempt: attempt{began: first.began}}
	o.attempt.host.Store(first.host.Load())
	time.AfterFunc(p.hedgeAfter()-time.Since(first.began), func() { o.tell(errSlow) })
	return o
}

// returned is called when the driver has returned from the attempt. Only now does a stream's end mean anything: the driver
// ends that of a request, too, which it could not begin to send.
func (o *overtaken) returned(err error, s *stream) {
	switch {
	case !errors.Is(err, context.Canceled):
		o.tell(err)
	case s == nil: // it has waited for something else, such as a statement that was being prepared
		o.told.Store(true)
	default:
		s.notify(o)
	}
}

// ended is called when its stream has, by an answer or, with an error, by its connection's end.
func (o *overtaken) ended(err error) {
	o.attempt.late = true
	o.tell(err)
}

func (o *overtaken) tell(err error) {
	if !o.told.Swap(true) {
		o.runner.judge(o.plan, &o.attempt, err)
	}
}
