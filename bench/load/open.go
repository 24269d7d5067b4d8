package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// due is a request with its place in time, counted from the beginning of the round.
type due struct {
	request
	at    time.Duration
	taken time.Duration // when the dispatcher took it
	free  bool          // there was a connection for it then
}

// waited is the reason of what has waited for a connection for Patience: it is not sent any more.
const waited = "waited"

// open sends requests when they are due. One that finds no connection free waits for one; the time counts.
//
//	schedule ─ dispatcher ─ channel ─ a goroutine for each connection
//
// The channel has room for all that can be due within Patience, so that the dispatcher never waits for an answer.
func (g *Generator) open(ctx context.Context, r Round, t *tally) error {
	clock, err := g.clock()
	if err != nil {
		return err
	}
	defer clock.close()
	requests := make(chan due, 1024+int(1.5*r.Rate*Patience.Seconds()))
	var idle atomic.Int64
	var workers sync.WaitGroup
	begin := time.Now()
	for _, s := range g.slots {
		workers.Go(func() {
			for {
				idle.Add(1)
				d, more := <-requests
				idle.Add(-1)
				if !more {
					return
				}
				g.answer(ctx, s, d, begin, t)
			}
		})
	}
	defer workers.Wait()
	defer close(requests)
	end := time.Duration(r.Seconds * float64(time.Second))
	for at := g.pause(r); at < end; at += g.pause(r) {
		now := time.Since(begin)
		for ; now < at; now = time.Since(begin) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := clock.sleep(min(at-now, 100*time.Millisecond)); err != nil {
				return err
			}
		}
		d := due{request: g.draw(), at: at, taken: now, free: idle.Load() > int64(len(requests))}
		select {
		case requests <- d:
		default: // full of requests that have waited longer than Patience
			t.add(at, now-at, 0, waited)
		}
	}
	return nil
}

// answer sends d and counts it.
func (g *Generator) answer(ctx context.Context, s *slot, d due, begin time.Time, t *tally) {
	if ctx.Err() != nil {
		return // the round is no result
	}
	now := time.Since(begin)
	late := d.taken - d.at
	if d.free { // the way to the connection is the generator's own, too
		late = now - d.at
	}
	if now-d.at > Patience {
		t.add(d.at, late, 0, waited)
		return
	}
	err := g.carryOut(ctx, s, d.request)
	latency := time.Since(begin) - d.at
	reason := ""
	switch {
	case err != nil:
		reason = Reason(err)
	case latency > Patience:
		reason = timeout
	}
	t.add(d.at, late, latency, reason)
}

func (g *Generator) draw() request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.schedule.next()
}

func (g *Generator) pause(r Round) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.schedule.pause(r.Rate, r.Even)
}
