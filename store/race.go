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
	metrics      *CassandraMetrics
	savings      atomic.Int64 // for hedges, in tenths of one
	reads        pace
	kits         sync.Pool // of *kit
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
//
// The first attempt, which mostly is the only one, is made in the caller's goroutine, for to hand it to another and back
// is a good part of what a read costs here. What is due while it goes on is done by a timer's goroutine, which then decides.
// Until then nobody watches ctx: that it is cancelled is noticed when something is due, or at its deadline.
func run[T any](ctx context.Context, r *runner, p plan, try func(context.Context) (T, error)) (value T, err error) {
	if err := ctx.Err(); err != nil {
		return value, unavailable(err)
	}
	r.earn()
	o := newOperation(ctx, r, p, try)
	o.add(&o.first)
	o.kit.timer.Reset(o.firstWait())
	value, err = try(&o.first)
	got := answer[T]{value, err, &o.first}
	if o.kit.timer.Stop() {
		value, err = o.goOn(got)
	} else {
		o.tell(got)
		<-o.kit.decided
		value, err = o.value, o.err
	}
	r.putKit(o.kit)
	return value, err
}

type answer[T any] struct {
	value T
	err   error
	from  *attempt
}

// operation is the state of run. It belongs to the goroutine that decides, but for the race, what came in, and try.
type operation[T any] struct {
	race
	runner *runner
	kit    *kit
	plan   plan
	try    func(context.Context) (T, error)
	came   []answer[T]   // that nobody has heard; guarded by race.mu
	wake   chan struct{} // holds one where there is such an answer; guarded by race.mu until somebody waits
	left   *overtaken    // the first, where it was; guarded by race.mu

	perRound int // coordinators
	attempts []*attempt
	running  int
	waits    int           // for somebody slow
	ends     bool          // ctx does, before anything else is due
	soon     bool          // a hedge at the reads' pace is due before anything else
	early    bool          // there was one
	retrying bool          // the timer is set because the newest has failed, not because it is slow
	pause    time.Duration // before the next round
	last     error

	value T // how the timer's goroutine has decided
	err   error

	first attempt
	usual [2]*attempt // storage of attempts, as there are seldom more
}

func newOperation[T any](ctx context.Context, r *runner, p plan, try func(context.Context) (T, error)) *operation[T] {
	k := r.takeKit()
	o := &operation[T]{runner: r, kit: k, plan: p, try: try, perRound: r.coordinators.size(), pause: retryPause}
	o.done, o.key, o.ctx = k.done, p.key, ctx
	o.hosts, o.attempts = o.storage[:0], o.usual[:0]
	k.watcher = o
	return o
}

func (o *operation[T]) exhausted() bool { return o.plan.everywhere && len(o.attempts) >= o.perRound }

// allAsked tells whether the next attempt would begin another round.
func (o *operation[T]) allAsked() bool { return len(o.attempts)%o.perRound == 0 }

// add notes an attempt that is about to be made.
func (o *operation[T]) add(a *attempt) {
	a.race, a.began = &o.race, time.Now()
	o.attempts = append(o.attempts, a)
	o.retrying = false
	o.running++
}

// start asks the next coordinator.
func (o *operation[T]) start(a *attempt) {
	o.add(a)
	go func() {
		value, err := o.try(a)
		o.tell(answer[T]{value, err, a})
	}()
}

// tell has an answer heard. Where all is decided it is dropped, but for what the first's breaker wants to know.
func (o *operation[T]) tell(a answer[T]) {
	o.mu.Lock()
	over, left := o.over, o.left
	if !over {
		o.came = append(o.came, a)
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
	o.mu.Unlock()
	if over && left != nil && a.from == &o.first {
		left.returned(a.err, o.first.stream)
	}
}

// watch does what is due while the first attempt goes on, and decides.
func (o *operation[T]) watch() {
	wait := o.plan.hedgeAfter()
	if !o.ends && !o.exhausted() && !o.heard() && o.ctx.Err() == nil {
		wait = o.due()
	}
	o.value, o.err = o.decide(wait)
	o.kit.decided <- struct{}{}
}

// heard tells whether the first has answered just now.
func (o *operation[T]) heard() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.came) > 0
}

// goOn decides when the first attempt has ended before anything was due.
func (o *operation[T]) goOn(first answer[T]) (T, error) {
	value, err, done := o.hear(first)
	if done {
		return value, err
	}
	return o.decide(o.failed())
}

// decide hears answers, and asks others, first after wait, until the operation ends.
func (o *operation[T]) decide(wait time.Duration) (T, error) {
	defer o.end()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	o.mu.Lock()
	o.wake = make(chan struct{}, 1)
	o.mu.Unlock()
	for {
		for got, more := o.next(); more; got, more = o.next() {
			if value, err, done := o.hear(got); done {
				return value, err
			}
			timer.Reset(o.failed())
		}
		select {
		case <-o.wake:
		case <-timer.C:
			if !o.exhausted() {
				timer.Reset(o.due())
			}
		case <-o.ctx.Done():
			var none T
			return none, unavailable(errors.Join(o.ctx.Err(), o.last))
		}
	}
}

// hear takes in an answer, and tells whether that ends the operation, and how.
func (o *operation[T]) hear(got answer[T]) (value T, err error, done bool) {
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
	return value, nil, false
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
// is known of the first yet, its breaker learns later: see overtaken.
func (o *operation[T]) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	if o.early && !o.first.answered && !o.first.late {
		o.left = overtake(o.runner, o.plan, &o.first)
	}
	for _, a := range o.came {
		o.running--
		if o.left != nil && a.from == &o.first {
			o.left.tell(a.err)
		}
	}
	o.came = nil
	if o.running > 0 {
		close(o.done)
		o.kit.done = nil
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
	if pace := o.runner.reads.hedgeAfter(); o.plan.read && pace < wait {
		wait, o.soon = pace, true
	}
	if deadline, ok := o.ctx.Deadline(); ok {
		if left := deadline.Sub(o.first.began); left < wait {
			wait, o.ends = left, true
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
