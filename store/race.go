package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
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
}

// attemptKey is where an attempt's context holds the *attempt.
type attemptKey struct{}

// attempt is one statement at one coordinator. Its last fields are run's goroutine's, and its own goroutine's once run
// has returned.
type attempt struct {
	race  *race
	key   []byte                 // the partition key, so that the driver need not ask a node which of the values it is
	host  atomic.Pointer[string] // the id of the node asked, once the driver has picked it
	began time.Time
	hedge bool // it was asked beside another that was slow

	answered bool
	late     bool // the breaker knows
}

// race is one operation and the coordinators it has asked so far.
type race struct {
	mu    sync.Mutex
	hosts []string
}

func (r *race) asked(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.hosts, id)
}

// leastAsked is the one of hosts that was asked longest ago; hosts is not empty.
func (r *race) leastAsked(hosts []gocql.SelectedHost) gocql.SelectedHost {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := func(h gocql.SelectedHost) int {
		for i := len(r.hosts) - 1; i >= 0; i-- {
			if r.hosts[i] == h.Info().HostID() {
				return i
			}
		}
		return -1
	}
	return slices.MinFunc(hosts, func(a, b gocql.SelectedHost) int { return last(a) - last(b) })
}

func (a *attempt) take(id string) {
	a.race.mu.Lock()
	a.race.hosts = append(a.race.hosts, id)
	a.race.mu.Unlock()
	a.host.Store(&id)
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
	o.start(false)
	timer := time.NewTimer(o.firstWait())
	defer timer.Stop()
	var none T
	for {
		select {
		case got := <-o.answers:
			o.running--
			got.from.answered = true
			r.judge(p, got.from, got.err)
			if got.err == nil {
				if got.from.hedge {
					r.metrics.hedgesWon.Inc()
				}
				return got.value, nil
			}
			o.last = got.err
			if permanent(o.last) || (o.exhausted() && o.running == 0) {
				return none, unavailable(o.last)
			}
			timer.Reset(o.failed())
		case <-timer.C:
			if o.exhausted() {
				continue
			}
			timer.Reset(o.due())
		case <-ctx.Done():
			return none, unavailable(errors.Join(ctx.Err(), o.last))
		}
	}
}

type answer[T any] struct {
	value T
	err   error
	from  *attempt
}

// operation is the state of run. Its goroutine alone touches it; attempts have the channels.
type operation[T any] struct {
	runner  *runner
	plan    plan
	try     func(context.Context) (T, error)
	answers chan answer[T]
	over    chan struct{} // closed when run returns
	race    race

	ctx    context.Context // the attempts', which may outlast run's by hedgeAfter
	cancel context.CancelCauseFunc

	perRound int // coordinators
	attempts []*attempt
	running  int
	waits    int           // for somebody slow
	soon     bool          // the timer is set for a hedge at the reads' pace
	early    bool          // there was one
	retrying bool          // the timer is set because the newest has failed, not because it is slow
	pause    time.Duration // before the next round
	last     error
}

func newOperation[T any](ctx context.Context, r *runner, p plan, try func(context.Context) (T, error)) *operation[T] {
	o := &operation[T]{
		runner: r, plan: p, try: try, answers: make(chan answer[T]), over: make(chan struct{}),
		perRound: r.coordinators.size(), pause: retryPause,
	}
	o.ctx, o.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return o
}

func (o *operation[T]) exhausted() bool { return o.plan.everywhere && len(o.attempts) >= o.perRound }

// allAsked tells whether the next attempt would begin another round.
func (o *operation[T]) allAsked() bool { return len(o.attempts)%o.perRound == 0 }

// start asks the next coordinator; hedge says that it is beside another. Its answer is dropped when run has returned.
func (o *operation[T]) start(hedge bool) {
	a := &attempt{race: &o.race, key: o.plan.key, began: time.Now(), hedge: hedge}
	o.attempts = append(o.attempts, a)
	o.retrying = false
	o.running++
	go func() {
		value, err := o.try(context.WithValue(o.ctx, attemptKey{}, a))
		select {
		case o.answers <- answer[T]{value, err, a}:
		case <-o.over:
			o.lost(a, err)
		}
	}()
}

// end lets go of the losers, whose work is of no use any more. Where another coordinator was asked so soon that nothing
// is known of the first yet, that one has the rest of hedgeAfter to answer: a breaker must not open because a node is a
// little slower for a moment, nor stay closed because others answer in place of one that is dead.
func (o *operation[T]) end() {
	close(o.over)
	first := o.attempts[0]
	if o.early && !first.answered && !first.late {
		time.AfterFunc(o.plan.hedgeAfter()-time.Since(first.began), func() { o.cancel(errSlow) })
	} else {
		o.cancel(nil)
	}
}

// lost is how a loser ends, in its own goroutine. What the first was waited for is told to its breaker.
func (o *operation[T]) lost(a *attempt, err error) {
	if err != nil && context.Cause(o.ctx) != nil {
		err = context.Cause(o.ctx)
	}
	if a == o.attempts[0] && !errors.Is(err, context.Canceled) {
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
	case o.soon:
		o.soon = false
		rest := o.plan.hedgeAfter() - time.Since(newest.began)
		if !o.allAsked() && o.runner.spend() {
			o.runner.metrics.hedges.Inc()
			o.early = true
			o.start(true)
		}
		return rest
	default:
		for _, a := range o.attempts {
			if !a.answered && time.Since(a.began) >= o.plan.hedgeAfter() {
				o.runner.slow(o.plan, a)
			}
		}
		if rest := o.plan.hedgeAfter() - time.Since(newest.began); rest > 0 {
			return rest
		}
		o.waits++
		if o.allAsked() || (!o.runner.affords(o.plan, newest) && o.waits != patience) {
			return o.plan.hedgeAfter() // whoever is slow may yet answer, or turn out to be lost
		}
		o.start(true)
		return o.plan.hedgeAfter()
	}
	o.start(false)
	return o.plan.hedgeAfter()
}

// errSlow stands for a coordinator that has not answered in time.
var errSlow = errors.New("slow coordinator")

// judge tells the coordinator's breaker how an attempt ended.
func (r *runner) judge(p plan, a *attempt, err error) {
	r.metrics.attempts.WithLabelValues(result(err)).Inc()
	if p.read && err == nil {
		r.reads.observe(time.Since(a.began))
	}
	id := a.host.Load()
	if id == nil || p.everywhere {
		return
	}
	if h := r.coordinators.of(*id); err == nil {
		if !a.late { // a late answer shows that the coordinator lives, not that it is well
			h.succeeded()
		}
	} else if !permanent(err) {
		h.failed(r.coordinators.now())
	}
}

// slow tells the breaker, once, that an attempt has had no answer for longer than is usual.
func (r *runner) slow(p plan, a *attempt) {
	if !a.late {
		a.late = true
		r.judge(p, a, errSlow)
	}
}

// affords tells whether another coordinator may be asked beside the one that is slow: where that one keeps failing
// while others do well, for then it must be taken for lost; where a delete wants every datacentre, for deletes are
// rare; and otherwise where it has been saved for. When all are slow it is the work that is too much, and more of it
// would make it worse.
func (r *runner) affords(p plan, a *attempt) bool {
	id := a.host.Load()
	if p.everywhere || (id != nil && r.coordinators.lost(*id)) || r.spend() {
		r.metrics.hedges.Inc()
		return true
	}
	return false
}

func (r *runner) earn() {
	if r.savings.Load() < hedgeCost*hedgeSavings {
		r.savings.Add(1)
	}
}

func (r *runner) spend() bool {
	if r.savings.Add(-hedgeCost) >= 0 {
		return true
	}
	r.savings.Add(hedgeCost)
	return false
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

// permanent tells whether asking again would bring the same: the statement or the permission is wrong.
func permanent(err error) bool {
	var refused gocql.RequestError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code() {
	case gocql.ErrCodeSyntax, gocql.ErrCodeInvalid, gocql.ErrCodeConfig, gocql.ErrCodeUnauthorized, gocql.ErrCodeCredentials:
		return true
	}
	return false
}

// result names the end of an attempt for the metric.
func result(err error) string {
	var refused gocql.RequestError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errSlow):
		return "slow"
	case errors.As(err, &refused):
		switch refused.Code() {
		case gocql.ErrCodeUnavailable:
			return "unavailable"
		case gocql.ErrCodeReadTimeout, gocql.ErrCodeWriteTimeout:
			return "timeout"
		}
		return "refused"
	case errors.Is(err, gocql.ErrTimeoutNoResponse), errors.Is(err, context.DeadlineExceeded):
		return "no_response"
	}
	return "connection"
}
