package load

import (
	"context"
	"sync"
	"time"
)

// breath is taken after a connection has failed, which is quicker than any answer.
const breath = 20 * time.Millisecond

// closed sends on each connection one request after the other. What is answered within the round counts; the last ones,
// answered after it, do not, unless they fail: a target that hangs near the end would otherwise leave no error. Those count
// in the round's last second, so that it has no more seconds than it lasts.
func (g *Generator) closed(ctx context.Context, r Round, t *tally) {
	var workers sync.WaitGroup
	begin := time.Now()
	end := time.Duration(r.Seconds * float64(time.Second))
	for _, s := range g.slots {
		workers.Go(func() {
			for sent := time.Since(begin); sent < end && ctx.Err() == nil; {
				err := g.carryOut(ctx, s, g.draw())
				now := time.Since(begin)
				if now >= end && err == nil {
					return
				}
				reason := ""
				if err != nil {
					reason = Reason(err)
				}
				t.add(min(now, end-1), -1, now-sent, reason)
				if s.conn == nil {
					time.Sleep(breath)
					now = time.Since(begin)
				}
				sent = now
			}
		})
	}
	workers.Wait()
}
