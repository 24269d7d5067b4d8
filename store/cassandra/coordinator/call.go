package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/gocql/gocql"

	"userinfo/internal/panics"
	"userinfo/internal/tracing"
)

// maxWaits is how many times a call waits for a slow node before it may start one hedged attempt without the budget. A
// replica that is cut off makes every coordinator slow at first, but another coordinator may not need that replica.
const maxWaits = 6

// eachQuorumRounds is how many times each node may be asked at EACH_QUORUM if no node answers. A node sends the statement to a
// random node of each other datacentre, which passes it on there (StorageProxy.sendMessagesToNonlocalDC). If that node is silent,
// another attempt on the same node can succeed. If one of three nodes there is silent, each attempt meets it with a probability
// of one third, so nine attempts all meet it in one call of 20,000; six attempts would in one call of 700.
const eachQuorumRounds = 3

// retryPause is the pause after every node has failed for the first time. It doubles with each round.
const retryPause = 50 * time.Millisecond

// timerAction is what a call does when its timer fires.
type timerAction int

const (
	checkSlow  timerAction = iota // mark slow attempts, perhaps start a hedged attempt
	hedgeEarly                    // start a hedged attempt because this call takes longer than usual
	retry                         // start an attempt because the last one has failed
)

// result is how one attempt ended.
type result[T any] struct {
	attempt *attempt
	value   T
	err     error
}

// hedgedCall is the state of one call of Run. The goroutine that decides owns it: the caller's, or the timer's goroutine from
// the moment when the timer fires during the first attempt. All other goroutines, and the caller's during the first attempt,
// use only ctx, span, runner, policy, statement, results, decided and asked.
type hedgedCall[T any] struct {
	ctx       context.Context
	span      *tracing.Span // of ctx; nil if the request is not sampled
	runner    *Runner
	policy    CallPolicy
	statement func(context.Context) (T, error)

	results chan result[T]
	decided chan struct{} // closed when value and err are set
	asked   askedNodes

	nodes       int // nodes in a round
	attempts    []*attempt
	running     int // attempts whose result has not been received
	onTimer     timerAction
	hedgedEarly bool
	waits       int           // how many times slow nodes were waited for
	pause       time.Duration // before the next round
	lastErr     error         // of the last failed attempt

	value T
	err   error
}

func newHedgedCall[T any](ctx context.Context, r *Runner, p CallPolicy, statement func(context.Context) (T, error)) *hedgedCall[T] {
	return &hedgedCall[T]{
		ctx: ctx, span: tracing.FromContext(ctx), runner: r, policy: p, statement: statement,
		results: make(chan result[T]), decided: make(chan struct{}),
		nodes: r.nodes.count(), pause: retryPause,
	}
}

// run makes the call and returns its result. The first attempt runs in the caller's goroutine: most calls need no other,
// and starting one costs more than the rest of the call (see BenchmarkCall).
func (c *hedgedCall[T]) run() (T, error) {
	first := c.newAttempt(false)
	timer := time.AfterFunc(c.firstWait(), func() {
		defer c.runner.panics.Recover(panics.Coordinator, nil)
		c.finish(c.decide(c.act))
	})
	r := c.try(first)
	switch {
	case !timer.Stop():
		c.deliver(r)
	case c.receive(&r):
		c.finish(r.value, r.err)
	default:
		c.finish(c.decide(c.planRetry))
	}
	<-c.decided
	return c.value, c.err
}

// decide sets the timer and returns the result of loop. If one of them panics, it returns panics.ErrPanic, so that nobody
// waits for the decision for ever.
func (c *hedgedCall[T]) decide(firstWait func() time.Duration) (value T, err error) {
	defer c.runner.panics.Recover(panics.Coordinator, &err)
	return c.loop(firstWait())
}

// loop waits for results, for its timer and for the context until the call is decided, and returns the call's result.
func (c *hedgedCall[T]) loop(wait time.Duration) (value T, err error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case r := <-c.results:
			if c.receive(&r) {
				return r.value, r.err
			}
			timer.Reset(c.planRetry())
		case <-timer.C:
			timer.Reset(c.act())
		case <-c.ctx.Done():
			return value, c.contextError()
		}
	}
}

// receive counts the result of an attempt. It returns true if the result decides the call.
func (c *hedgedCall[T]) receive(r *result[T]) (decided bool) {
	c.running--
	switch {
	case r.err == nil:
		if r.attempt.hedge {
			c.runner.metrics.hedgesWon.Inc()
		}
		return true
	case r.attempt.wasCancelled(r.err):
		r.err = c.contextError()
		return true
	}
	c.lastErr = r.err
	return isPermanent(r.err) || ((c.exhausted() || c.isHopeless()) && c.running == 0)
}

// contextError returns the error of a call whose context has ended.
func (c *hedgedCall[T]) contextError() error { return errors.Join(c.ctx.Err(), c.lastErr) }

// finish sets the result of the call, and cancels the attempts that still run.
func (c *hedgedCall[T]) finish(value T, err error) {
	c.value, c.err = value, err
	close(c.decided)
	if c.hedgedEarly {
		c.attempts[0].supersede()
	}
	for _, a := range c.attempts {
		a.cancel()
	}
}

func (c *hedgedCall[T]) newAttempt(hedge bool) *attempt {
	a := newAttempt(c.ctx, c, c.runner, c.policy, &c.asked, hedge)
	if c.span != nil {
		a.span = newAttemptSpan(c.span, c.policy, attemptWord(len(c.attempts), hedge), a.began)
	}
	c.attempts = append(c.attempts, a)
	c.running++
	return a
}

// try runs one attempt.
func (c *hedgedCall[T]) try(a *attempt) result[T] {
	value, err := c.send(a.ctx)
	a.end(err)
	a.endSpan(err)
	if err != nil {
		return result[T]{attempt: a, err: err}
	}
	return result[T]{attempt: a, value: value}
}

// send runs the statement. If it panics, the error is panics.ErrPanic.
func (c *hedgedCall[T]) send(ctx context.Context) (value T, err error) {
	defer c.runner.panics.Recover(panics.Coordinator, &err)
	return c.statement(ctx)
}

// deliver sends a result to the goroutine that decides. It drops the result if the call is already decided.
func (c *hedgedCall[T]) deliver(r result[T]) {
	select {
	case c.results <- r:
	case <-c.decided:
	}
}

// probe runs the statement on a node whose circuit breaker is open, beside the call. See the package comment.
func (c *hedgedCall[T]) probe(host *gocql.HostInfo, n *node) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), SlowAfter)
	span := c.startProbeSpan(host)
	go func() {
		defer c.runner.panics.Recover(panics.Coordinator, nil)
		defer cancel()
		_, err := c.send(withChoice(ctx, singleNode{host}))
		endAttemptSpan(span, outcomeOf(err), err != nil)
		c.runner.metrics.attempts[outcomeOf(err)].Inc()
		if err == nil {
			n.breaker.recordSuccess()
		}
	}()
}

// start starts an attempt in a goroutine of its own. The goroutine ends when the driver returns.
func (c *hedgedCall[T]) start(hedge bool) {
	a := c.newAttempt(hedge)
	go func() {
		defer c.runner.panics.Recover(panics.Coordinator, nil)
		c.deliver(c.try(a))
	}()
}

// startHedge starts a hedged attempt.
func (c *hedgedCall[T]) startHedge() {
	c.runner.metrics.hedges.Inc()
	c.start(true)
}

// firstWait returns how long to wait for the first attempt, and sets what to do then.
func (c *hedgedCall[T]) firstWait() time.Duration {
	return c.untilHedge(c.policy.Kind.slowAfter())
}

// untilHedge returns how long to wait before a hedged attempt that does not wait until the first attempt is slow, and sets the
// timer's action to it. If there is to be none, it returns untilSlow.
func (c *hedgedCall[T]) untilHedge(untilSlow time.Duration) time.Duration {
	kind := c.policy.Kind
	if delay := c.runner.delays[kind].get(); kind.isTimed() && delay < untilSlow {
		c.onTimer = hedgeEarly
		return delay
	}
	return untilSlow
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
	case action == hedgeEarly:
		rest := c.untilSlow(c.attempts[0])
		if !c.startEarlyHedge() {
			return rest
		}
		return c.untilHedge(rest)
	case c.exhausted():
		return c.policy.Kind.slowAfter()
	case action == retry:
		c.start(false)
		return c.policy.Kind.slowAfter()
	}
	return c.actOnSlow()
}

// startEarlyHedge starts a hedged attempt before the first attempt is slow. It returns false if none is allowed.
func (c *hedgedCall[T]) startEarlyHedge() bool {
	if !c.mayHedgeEarly() {
		return false
	}
	c.hedgedEarly = true
	c.startHedge()
	return true
}

// mayHedgeEarly reports whether a hedged attempt may start before the first attempt is slow. At EACH_QUORUM, each node may be
// asked several times: see eachQuorumRounds.
func (c *hedgedCall[T]) mayHedgeEarly() bool {
	if c.policy.Kind == EachQuorum {
		return len(c.attempts) < eachQuorumRounds*c.nodes
	}
	return !c.roundIsFull() && c.runner.budget.take()
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
	return c.policy.Kind.slowAfter()
}

// mayHedge reports whether a hedged attempt may start beside a slow one. The budget decides, because when all nodes are
// slow, more attempts would make them slower. Two cases need no budget: an EACH_QUORUM statement, because it is rare, and
// a slow node that is the only one with an open circuit breaker, because it is probably lost. The third case without
// budget, maxWaits, is in actOnSlow.
func (c *hedgedCall[T]) mayHedge(slow *attempt) bool {
	return c.policy.Kind == EachQuorum || c.runner.nodes.onlyThisFails(slow.node.Load()) || c.runner.budget.take()
}

// untilSlow returns how long an attempt has until it counts as slow.
func (c *hedgedCall[T]) untilSlow(a *attempt) time.Duration {
	return c.policy.Kind.slowAfter() - time.Since(a.began)
}

// exhausted reports whether an EACH_QUORUM call has tried every node, so that it makes no further attempt after a failure.
func (c *hedgedCall[T]) exhausted() bool {
	return c.policy.Kind == EachQuorum && len(c.attempts) >= c.nodes
}

// isHopeless reports whether every node has been tried, and another round is not expected to help: the keyspace is known to
// have a problem, or the last node has refused the statement as unauthorized.
func (c *hedgedCall[T]) isHopeless() bool {
	return c.roundIsFull() && (c.runner.problem.Load() != nil || isUnauthorized(c.lastErr))
}

// roundIsFull reports whether the next attempt would start another round over the nodes.
func (c *hedgedCall[T]) roundIsFull() bool { return len(c.attempts)%c.nodes == 0 }
