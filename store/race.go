package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// hedgeAfter is how long a coordinator has before it is held for slow, which its breaker is told, and another is asked
// beside it; remoteHedgeAfter where the answer must come from other datacentres, which takes longer. A read may ask one
// other sooner: see pace.
const (
	hedgeAfter       = 200 * time.Millisecond
	remoteHedgeAfter = 700 * time.Millisecond
)

// patience is how many times a slow coordinator is waited for before the operation may ask another in any case, once: a
// replica that is cut off makes all coordinators slow at first, and yet the next may find the others.
const patience = 6

// Hedging costs Cassandra work just when it may be short of time: each operation earns a tenth of a hedge, and
// no more than hedgeSavings hedges can be saved up.
const (
	hedgeCost    = 10
	hedgeSavings = 100
)

// retryPause is the first pause after every coordinator has failed; it doubles each time.
const retryPause = 50 * time.Millisecond

// runner runs statements at one local coordinator after another.
type runner struct {
	coordinators *coordinators
	metrics      *Metrics
	savings      atomic.Int64 // for hedges, in tenths of one
	reads        pace
	kits         sync.Pool // of *kit
	hands        hands
}

// plan says how an operation may be tried.
type plan struct {
	// key is the partition key, as bytes.
	key []byte
	// everywhere is set where the answer depends on other datacentres: then every coordinator is asked once only, and
	// a failure tells nothing of the coordinator. Otherwise they are asked again and again until ctx ends.
	everywhere bool
	// read is set where a quorum here is read by key: such reads are alike, and hedged at their own pace.
	read bool
}

func (p plan) hedgeAfter() time.Duration {
	if p.everywhere {
		return remoteHedgeAfter
	}
	return hedgeAfter
}

// run asks one coordinator, another as soon as that fails, another beside it when it is slow, and so on until one
// succeeds, the plan has no more or ctx ends. It fails only when all have failed. try must be safe to repeat and
// to run twice at once, as statements with pinned timestamps are. Its error wraps ErrUnavailable.
func run[T any](ctx context.Context, r *runner, p plan, try func(context.Context) (T, error)) (T, error) {
	r.earn()
	o := newOperation(ctx, r, p, try)
	defer o.end()
	o.timer.Reset(o.firstWait())
	o.start(&o.first)
	for {
		select {
		case <-o.wake:
			if value, err, done := o.hear(); done {
				return value, err
			}
		case <-o.timer.C:
			if !o.exhausted() {
				o.timer.Reset(o.due())
			}
		case <-ctx.Done():
			var none T
			return none, unavailable(errors.Join(ctx.Err(), o.last))
		}
	}
}

type answer[T any] struct {
	value T
	err   error
	from  *attempt
}

// operation is the state of run. Its goroutine alone touches it, but for the race, what came in, and try.
//
// Every attempt has a goroutine of its own, also the first, which mostly is the only one. To make it in run's would leave
// run with two bad choices when another answers: to wait for the first, or to give it up before it is known whether it is
// a little slow or dead, which its breaker must be told.
type operation[T any] struct {
	race
	runner *runner
	plan   plan
	try    func(context.Context) (T, error)
	came   []answer[T] // that run has yet to hear; guarded by race.mu
	timer  *time.Timer // the kit's
	wake   chan struct{}

	perRound int // coordinators
	attempts []*attempt
	running  int
	waits    int           // for somebody slow
	soon     bool          // the timer is set for a hedge at the reads' pace
	early    bool          // there was one
	retrying bool          // the timer is set because the newest has failed, not because it is slow
	pause    time.Duration // before the next round
	last     error

	first  attempt
	memory struct { // what is usually enough
		attempts [2]*attempt
		came     [1]answer[T]
	}
}

func newOperation[T any](ctx context.Context, r *runner, p plan, try func(context.Context) (T, error)) *operation[T] {
	k := r.takeKit()
	o := &operation[T]{
		runner: r, plan: p, try: try, timer: k.timer, wake: k.wake,
		perRound: r.coordinators.size(), pause: retryPause,
	}
	o.kit, o.done, o.key, o.values = k, k.done, p.key, ctx
	o.hosts, o.attempts, o.came = o.storage[:0], o.memory.attempts[:0], o.memory.came[:0]
	return o
}

func (o *operation[T]) exhausted() bool { return o.plan.everywhere && len(o.attempts) >= o.perRound }

// allAsked tells whether the next attempt would begin another round.
func (o *operation[T]) allAsked() bool { return len(o.attempts)%o.perRound == 0 }

// start asks the next coordinator.
func (o *operation[T]) start(a *attempt) {
	a.race, a.began = &o.race, time.Now()
	o.attempts = append(o.attempts, a)
	o.retrying = false
	o.running++
	o.runner.hands.do(job{o, a})
}

// make makes one attempt. Its answer is dropped when run has returned.
func (o *operation[T]) make(a *attempt) {
	value, err := o.try(a)
	if !o.tell(answer[T]{value, err, a}) {
		o.lost(a, err)
	}
}

// tell wakes run, and tells whether it has not returned. After that its kit is another's.
func (o *operation[T]) tell(a answer[T]) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return false
	}
	o.came = append(o.came, a)
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return true
}

// hear takes in what came, and tells whether that ends the operation, and how.
func (o *operation[T]) hear() (value T, err error, done bool) {
	for {
		got, more := o.next()
		if !more {
			return value, nil, false
		}
		o.running--
		got.from.answered = true
		o.runner.judge(o.plan, got.from, got.err)
		if got.err == nil {
			if got.from.hedge {
				o.runner.metrics.hedgesWon.Inc()
			}
			return got.value, nil, true
		}
		o.last = got.err
		if permanent(o.last) || (o.exhausted() && o.running == 0) {
			return value, unavailable(o.last), true
		}
		o.timer.Reset(o.failed())
	}
}

func (o *operation[T]) next() (got answer[T], more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.came) == 0 {
		return got, false
	}
	got = o.came[0]
	o.came = o.came[1:]
	return got, true
}

// end lets go of the losers, whose work is of no use any more. Where another coordinator was asked so soon that nothing
// is known of the first yet, that one has the rest of hedgeAfter to answer: a breaker must not open because a node is a
// little slower for a moment, nor stay closed because others answer in place of one that is dead.
func (o *operation[T]) end() {
	o.mu.Lock()
	o.over = true
	unheard := o.came
	o.came = nil
	o.mu.Unlock()
	for _, a := range unheard {
		o.running--
		a.from.answered = true
		o.lost(a.from, a.err)
	}
	if o.running > 0 {
		o.kit.done = nil
		if o.early && !o.first.answered && !o.first.late {
			time.AfterFunc(o.plan.hedgeAfter()-time.Since(o.first.began), func() { o.cancel(errSlow) })
		} else {
			o.cancel(context.Canceled)
		}
	}
	o.runner.putKit(o.kit)
}

// lost is how a loser ends, in its own goroutine. What the first was waited for is told to its breaker.
func (o *operation[T]) lost(a *attempt, err error) {
	if cause := o.cancelled(); err != nil && cause != nil {
		err = cause
	}
	if a == &o.first && !errors.Is(err, context.Canceled) {
		o.runner.judge(o.plan, a, err)
	}
}

// failed tells when to ask the next coordinator after one has failed: at once, or, when all have been asked, later.
func (o *operation[T]) failed() time.Duration {
	o.retrying, o.soon = true, false
	if !o.allAsked() {
		return 0
	}
	wait := o.pause
	o.pause *= 2
	return wait
}

// firstWait is how long the first coordinator has before something is due.
func (o *operation[T]) firstWait() time.Duration {
	wait := o.plan.hedgeAfter()
	if o.plan.read {
		if pace := o.runner.reads.hedgeAfter(); pace < wait {
			o.soon = true
			return pace
		}
	}
	return wait
}

// due does what the timer was set for, and tells when to look again.
func (o *operation[T]) due() time.Duration {
	newest := o.attempts[len(o.attempts)-1]
	switch {
	case o.retrying:
		o.start(&attempt{})
		return o.plan.hedgeAfter()
	case o.soon:
		o.soon = false
		rest := o.plan.hedgeAfter() - time.Since(newest.began)
		if !o.allAsked() && o.runner.spend() {
			o.runner.metrics.hedges.Inc()
			o.early = true
			o.start(&attempt{hedge: true})
		}
		return rest
	}
	for _, a := range o.attempts {
		if !a.answered && time.Since(a.began) >= o.plan.hedgeAfter() {
			o.runner.slow(o.plan, a)
		}
	}
	if rest := o.plan.hedgeAfter() - time.Since(newest.began); rest > 0 {
		return rest
	}
	o.waits++
	if !o.allAsked() && (o.runner.affords(o.plan, newest) || o.waits == patience) {
		o.start(&attempt{hedge: true})
	} // else whoever is slow may yet answer, or turn out to be lost
	return o.plan.hedgeAfter()
}

// sleep waits for d and tells whether ctx still lasts.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
