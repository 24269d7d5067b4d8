package coordinator

import (
	"context"
	"errors"
	"time"
)

// maxWaits is how many times a call waits for a slow node before it may start one hedged attempt without the budget. A
// replica that is cut off makes every coordinator slow at first, but another coordinator may not need that replica.
const maxWaits = 6

// retryPause is the pause after every node has failed for the first time. It doubles with each round.
const retryPause = 50 * time.Millisecond

// timerAction is what a call does when its timer fires.
type timerAction int

const (
	checkSlow  timerAction = iota // mark slow attempts, perhaps start a hedged attempt
	hedgeEarly                    // start a hedged attempt because this read takes longer than usual
	retry                         // start an attempt because the last one has failed
)

// result is how one attempt ended.
type result[T any] struct {
	attempt *attempt
	value   T
	err     error
}

// hedgedCall is the state of one call of Run. Only the goroutine of Run changes it. Attempts use statement,
// results, decided and asked.
type hedgedCall[T any] struct {
	ctx       context.Context
	runner    *Runner
	policy    CallPolicy
	statement func(context.Context) (T, error)

	results chan result[T]
	decided chan struct{} // closed when the call has returned and no result is received any more
	asked   askedNodes

	nodes       int // nodes in a round
	attempts    []*attempt
	running     int // attempts whose result has not been received
	onTimer     timerAction
	hedgedEarly bool
	waits       int           // how many times slow nodes were waited for
	pause       time.Duration // before the next round
	lastErr     error
}

func newHedgedCall[T any](ctx context.Context, r *Runner, p CallPolicy, statement func(context.Context) (T, error)) *hedgedCall[T] {
	return &hedgedCall[T]{
		ctx: ctx, runner: r, policy: p, statement: statement,
		results: make(chan result[T], 1), decided: make(chan struct{}),
		nodes: r.nodes.count(), pause: retryPause,
	}
}

// run makes the call and returns its result.
func (c *hedgedCall[T]) run() (value T, err error) {
	defer c.end()
	c.start(false)
	timer := time.NewTimer(c.firstWait())
	defer timer.Stop()
	for {
		select {
		case r := <-c.results:
			if r.err == nil {
				c.countWin(r.attempt)
				return r.value, nil
			}
			c.running--
			c.lastErr = r.err
			if isPermanent(r.err) || (c.exhausted() && c.running == 0) {
				return value, r.err
			}
			timer.Reset(c.planRetry())
		case <-timer.C:
			timer.Reset(c.act())
		case <-c.ctx.Done():
			return value, errors.Join(c.ctx.Err(), c.lastErr)
		}
	}
}

// start starts an attempt in a goroutine of its own. The goroutine ends when the driver returns. It never waits for
// the call: see decided.
func (c *hedgedCall[T]) start(hedge bool) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx))
	a := &attempt{runner: c.runner, policy: c.policy, asked: &c.asked, began: time.Now(), hedge: hedge, cancel: cancel}
	c.attempts = append(c.attempts, a)
	c.running++
	ctx = withChoice(ctx, a)
	go func() {
		defer cancel()
		value, err := c.statement(ctx)
		a.end(ctx, err)
		select {
		case c.results <- result[T]{a, value, err}:
		case <-c.decided:
		}
	}()
}

// startHedge starts a hedged attempt.
func (c *hedgedCall[T]) startHedge() {
	c.runner.metrics.hedges.Inc()
	c.start(true)
}

// countWin counts a call that a hedged attempt has decided.
func (c *hedgedCall[T]) countWin(a *attempt) {
	if a.hedge {
		c.runner.metrics.hedgesWon.Inc()
	}
}

// firstWait returns how long to wait for the first attempt, and sets what to do then.
func (c *hedgedCall[T]) firstWait() time.Duration {
	slow := c.policy.slowAfter()
	if delay := c.runner.readDelay.get(); c.policy.Read && delay < slow {
		c.onTimer = hedgeEarly
		return delay
	}
	return slow
}

// planRetry returns how long to wait before the next attempt, after one has failed.
func (c *hedgedCall[T]) planRetry() time.Duration {
	c.onTimer = retry
	if !c.roundIsFull() {
		return 0
	}
	pause := c.pause
	c.pause *= 2
	return pause
}

// act does what the timer was set for, and returns when to act again.
func (c *hedgedCall[T]) act() time.Duration {
	action := c.onTimer
	c.onTimer = checkSlow
	switch {
	case c.exhausted():
		return c.policy.slowAfter()
	case action == retry:
		c.start(false)
		return c.policy.slowAfter()
	case action == hedgeEarly:
		rest := c.untilSlow(c.attempts[0])
		if !c.roundIsFull() && c.runner.budget.take() {
			c.hedgedEarly = true
			c.startHedge()
		}
		return rest
	}
	return c.actOnSlow()
}

// actOnSlow marks the attempts that have become slow. It starts a hedged attempt when the newest attempt is slow and
// another attempt is allowed.
func (c *hedgedCall[T]) actOnSlow() time.Duration {
	for _, a := range c.attempts {
		if c.untilSlow(a) <= 0 {
			a.markSlow()
		}
	}
	newest := c.attempts[len(c.attempts)-1]
	if rest := c.untilSlow(newest); rest > 0 {
		return rest
	}
	c.waits++
	if !c.roundIsFull() && (c.mayHedge(newest) || c.waits == maxWaits) {
		c.startHedge()
	}
	return c.policy.slowAfter()
}

// mayHedge reports whether a hedged attempt may start beside a slow one. The budget decides, because when all nodes are
// slow, more attempts would make them slower. Two cases need no budget: an EACH_QUORUM statement, because it is rare, and
// a slow node that is the only one with an open circuit breaker, because it is probably lost. The third case without
// budget, maxWaits, is in actOnSlow.
func (c *hedgedCall[T]) mayHedge(slow *attempt) bool {
	return c.policy.EachQuorum || c.runner.nodes.onlyThisFails(slow.node.Load()) || c.runner.budget.take()
}

// untilSlow returns how long an attempt has until it counts as slow.
func (c *hedgedCall[T]) untilSlow(a *attempt) time.Duration {
	return c.policy.slowAfter() - time.Since(a.began)
}

// exhausted reports whether an EACH_QUORUM call has tried every node.
func (c *hedgedCall[T]) exhausted() bool { return c.policy.EachQuorum && len(c.attempts) >= c.nodes }

// roundIsFull reports whether the next attempt would start another round over the nodes.
func (c *hedgedCall[T]) roundIsFull() bool { return len(c.attempts)%c.nodes == 0 }

// end cancels the attempts that still run. A first attempt that an early hedge has superseded keeps running until it is
// slow, so that its node's circuit breaker learns about it.
func (c *hedgedCall[T]) end() {
	close(c.decided)
	first := c.attempts[0]
	superseded := c.hedgedEarly && first.isOpen()
	for _, a := range c.attempts {
		if a != first || !superseded {
			a.cancel()
		}
	}
	if superseded {
		time.AfterFunc(c.untilSlow(first), func() {
			first.markSlow()
			first.cancel()
		})
	}
}
