package passwords

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/internal/panics"
	"userinfo/store"
)

// guessCounter counts wrong passwords. It is safe for concurrent use.
type guessCounter struct {
	rows      Rows
	hash      func(access.Key) access.Key // of the text of a budget
	now       func() time.Time
	instance  string
	perMinute int // of a client; 0: no limit
	log       *slog.Logger
	metrics   *Metrics
	panics    *panics.Recorder

	mu  sync.Mutex // guards own and the counts in it
	own map[access.Key]*ownCount
}

// ownCount is what this instance knows about one budget.
type ownCount struct {
	running  int // guesses that are being compared
	waiting  int // guesses that wait for the running ones
	failures int
	last     int64         // µs
	others   int           // wrong passwords of other instances, when the last guess began
	theirs   int64         // the last of others, in µs
	ended    chan struct{} // closed when a running guess has ended; nil if none waits

	// A time of a wrong password that is too far ahead of the clock, and when it was first seen.
	ahead, aheadSeen int64
}

// maxAhead is how far the time of a wrong password may be ahead of this instance's clock, in µs.
const maxAhead = 1_000_000

// notAhead returns the time of the last wrong password. If that is ahead of the clock, because the clock was set back or
// another instance has a wrong clock, notAhead returns when this instance has first seen it. So a wait ends in any case.
func (o *ownCount) notAhead(last, now int64) int64 {
	if last <= now+maxAhead {
		return last
	}
	if o.ahead != last || o.aheadSeen > now+maxAhead {
		o.ahead, o.aheadSeen = last, now
	}
	return o.aheadSeen
}

// guess is one guess from its beginning to its end.
type guess struct {
	counter *guessCounter
	budgets []*openBudget // own first
	known   int64         // when the password was right last from this network, in µs; 0: never
}

// openBudget is a budget that a guess counts in.
type openBudget struct {
	budget
	key    access.Key
	others int       // wrong passwords that other instances have seen
	last   int64     // of others, in µs
	mine   Count     // of this instance, as read
	own    *ownCount // what this instance knows; set by enter
}

// newGuess returns a guess that is not counted yet.
func (c *guessCounter) newGuess(user access.Key, client string, address netip.Addr) *guess {
	return &guess{counter: c, budgets: c.budgets(c.now(), user, client, address)}
}

// refuseHere returns a GuessError if the wrong passwords that this instance knows of are enough to refuse the guess. So a
// guess that must wait costs no read, or one: whether the network is known.
//
// This refuses no guess that begin would allow, except one: counts of this instance may reach another datacentre too late, so
// that a right password is accepted there. It ends the counts of the own budget, but not the wait that has begun here.
func (g *guess) refuseHere(ctx context.Context) error {
	if wait := g.waitHere(g.budgets[:1]); wait > 0 {
		return &GuessError{RetryAfter: wait}
	}
	wait := g.waitHere(g.budgets[1:])
	if wait == 0 {
		return nil
	}
	if err := g.read(ctx, g.budgets[:1]); err != nil {
		return err
	}
	if !g.isKnown() {
		return &GuessError{RetryAfter: wait}
	}
	g.budgets = g.budgets[:1]
	return nil
}

// waitHere returns how long the guess has to wait because of the wrong passwords that this instance knows of.
func (g *guess) waitHere(budgets []*openBudget) (wait time.Duration) {
	c, now := g.counter, g.counter.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range budgets {
		if o := c.own[b.key]; o != nil && now.Sub(time.UnixMicro(o.last)) <= b.life {
			wait = max(wait, b.remaining(o, o.failures+o.others, max(o.last, o.theirs), now))
		}
	}
	return wait
}

// isKnown reports whether the network of the guess is known. Call it after read.
func (g *guess) isKnown() bool {
	return g.known > 0 && g.counter.now().Sub(time.UnixMicro(g.known)) < knownFor
}

// begin counts a guess as begun. It returns a GuessError if a budget does not allow the guess. If only guesses that are
// being compared stand in its way, it waits for them: most of them are right. The caller must call end, unless begin
// returns an error.
func (g *guess) begin(ctx context.Context) error {
	if err := g.read(ctx, g.budgets); err != nil {
		return err
	}
	if g.isKnown() {
		g.budgets = g.budgets[:1]
	}
	for {
		wait, others := g.enter(g.counter.now())
		switch {
		case wait > 0:
			return &GuessError{RetryAfter: wait}
		case others == nil:
			return nil
		}
		if err := g.counter.await(ctx, others); err != nil {
			return err
		}
	}
}

// runningGuesses are the guesses of a budget that are being compared, while another guess waits for them.
type runningGuesses struct {
	count *ownCount
	ended <-chan struct{} // closed when one of them has ended
}

// await waits until one of the running guesses has ended.
func (c *guessCounter) await(ctx context.Context, r *runningGuesses) error {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		r.count.waiting--
	}()
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: waiting for another guess: %w", store.ErrUnavailable, ctx.Err())
	}
}

// read reads the counts of budgets, own first, at the same time.
func (g *guess) read(ctx context.Context, budgets []*openBudget) error {
	all, errs := make([][]Count, len(budgets)), make([]error, len(budgets))
	var reads sync.WaitGroup
	for i, b := range budgets {
		reads.Go(func() {
			defer g.counter.panics.Recover(panics.Passwords, &errs[i])
			all[i], errs[i] = g.counter.rows.ReadGuesses(ctx, b.key)
		})
	}
	reads.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("reading counts of wrong passwords: %w", err)
	}
	for i, b := range budgets {
		b.others, b.last = 0, 0
		var right int64 // when a right password has ended the counts before it
		for _, c := range all[i] {
			if c.Instance == "" {
				right = c.Last
			}
		}
		if i == 0 {
			g.known = right
		}
		for _, c := range all[i] {
			switch {
			case c.Instance == "" || c.Last <= right:
			case c.Instance == g.counter.instance:
				b.mine = c
			default:
				b.others += c.Failures
				b.last = max(b.last, c.Last)
			}
		}
	}
	return nil
}

// enter counts the guess as running in each budget. If a budget does not allow the guess, enter counts nothing, and returns
// how long to wait, or other guesses that are running: one of them must end first.
func (g *guess) enter(now time.Time) (wait time.Duration, others *runningGuesses) {
	c := g.counter
	var running *ownCount
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, b := range g.budgets {
		right := int64(0)
		if i == 0 {
			right = g.known // ends the own budget only
		}
		c.load(b, right, now)
		failures := b.others + b.own.failures
		wait = max(wait, b.remaining(b.own, failures, max(b.last, b.own.last), now))
		if b.own.running > 0 && b.wait(failures+b.own.running) > 0 {
			running = b.own
		}
		if b.own.ahead != 0 {
			c.keep(b.key, b.own)
		}
	}
	switch {
	case wait > 0:
		return wait, nil
	case running != nil && running.waiting >= maxWaiting:
		return time.Second, nil
	case running != nil:
		running.waiting++
		if running.ended == nil {
			running.ended = make(chan struct{})
		}
		return 0, &runningGuesses{running, running.ended}
	}
	for _, b := range g.budgets {
		c.keep(b.key, b.own)
		b.own.running++
	}
	return 0, nil
}

// load sets b.own to what this instance knows, and adds what was read to it. right is when a right password has ended the
// budget, in µs. The caller holds c.mu.
func (c *guessCounter) load(b *openBudget, right int64, now time.Time) {
	b.own = c.own[b.key]
	if b.own == nil || now.Sub(time.UnixMicro(b.own.last)) > b.life && b.own.running == 0 {
		b.own = new(ownCount)
	}
	if right >= b.own.last { // another instance has seen the right password
		b.own.failures = 0
	}
	if b.mine.Last > b.own.last { // forgotten, and read again
		b.own.failures, b.own.last = max(b.own.failures, b.mine.Failures), b.mine.Last
	}
	b.own.others, b.own.theirs = b.others, b.last
}

// remaining returns how long a guess has to wait after this many wrong passwords. last is the time of the newest one. 0
// means that the guess may begin. The caller holds the mutex that guards o.
func (b *openBudget) remaining(o *ownCount, failures int, last int64, now time.Time) time.Duration {
	wait := b.wait(failures)
	if wait == 0 || b.kind == clientKind || b.kind == strangerKind { // the wait ends with the minute
		return wait
	}
	return max(0, time.UnixMicro(o.notAhead(last, now.UnixMicro())).Add(wait).Sub(now))
}

// keep keeps a count in memory. The caller holds c.mu. If there are too many, keep forgets one that no guess uses. Go's
// maps begin to iterate at a random place.
func (c *guessCounter) keep(key access.Key, o *ownCount) {
	if _, kept := c.own[key]; !kept && len(c.own) >= maxBudgets {
		for other, each := range c.own {
			if each.running == 0 {
				delete(c.own, other)
				break
			}
		}
	}
	c.own[key] = o
}

// end ends a guess. right reports whether the password was right, and wrong whether it was wrong; neither, if it was not
// compared. end returns after the new counts are written, or cannot be written.
func (g *guess) end(ctx context.Context, right, wrong bool) {
	now := g.counter.now().UnixMicro()
	writes := g.leave(right, wrong, now)
	var all sync.WaitGroup
	for _, w := range writes {
		all.Go(func() {
			defer g.counter.panics.Recover(panics.Passwords, nil)
			if err := g.counter.rows.WriteGuesses(ctx, w.budget, w.count, w.ttl); err != nil {
				g.counter.metrics.uncounted.Inc()
				g.counter.log.WarnContext(ctx, "a count of wrong passwords could not be written", "error", err.Error())
			}
		})
	}
	all.Wait()
}

// countWrite is a count that must be written.
type countWrite struct {
	budget access.Key
	count  Count
	ttl    time.Duration
}

// leave ends what enter began, and returns the counts that must be written.
func (g *guess) leave(right, wrong bool, now int64) (writes []countWrite) {
	c := g.counter
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, b := range g.budgets {
		o := b.own
		o.running--
		if o.ended != nil {
			close(o.ended)
			o.ended = nil
		}
		switch {
		case wrong:
			o.failures++
			o.last = max(now, o.last+1, g.known+1)
			writes = append(writes, countWrite{b.key, Count{c.instance, o.failures, o.last}, b.life})
		case right && i == 0:
			counted := b.others+o.failures > 0
			o.failures, o.others = 0, 0
			if counted || now-g.known > knownAgain.Microseconds() {
				o.last = max(now, o.last+1, b.last+1, g.known+1) // younger than all counts that it ends
				writes = append(writes, countWrite{b.key, Count{Last: o.last}, knownFor})
			}
		}
		if o.running == 0 && o.failures == 0 {
			delete(c.own, b.key)
		}
	}
	return writes
}
