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

// hedgeAfter is how long a coordinator has before another is asked beside it, if a hedge can be afforded;
// remoteHedgeAfter where the answer must come from other datacentres, which takes longer. After patience another
// is asked in any case: the first must be taken for lost.
const (
	hedgeAfter       = 200 * time.Millisecond
	remoteHedgeAfter = 700 * time.Millisecond
	patience         = time.Second
)

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
}

// attemptKey is where an attempt's context holds the *attempt.
type attemptKey struct{}

// attempt is one statement at one coordinator.
type attempt struct {
	race *race
	key  []byte                 // the partition key, so that the driver need not ask a node which of the values it is
	host atomic.Pointer[string] // the id of the node asked, once the driver has picked it
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
	ctx, cancel := context.WithCancel(ctx) // the losers' work is of no use any more
	defer cancel()
	r.earn()

	o := &operation[T]{runner: r, plan: p, try: try, answers: make(chan answer[T]), perRound: r.coordinators.size(), pause: retryPause}
	o.start(ctx)
	timer := time.NewTimer(p.hedgeAfter())
	defer timer.Stop()
	var none T
	for {
		select {
		case got := <-o.answers:
			o.running--
			r.judge(p, got.from, got.err)
			if got.err == nil {
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
			timer.Reset(o.due(ctx))
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

// operation is the state of run. Its goroutine alone touches it; attempts have the channel.
type operation[T any] struct {
	runner  *runner
	plan    plan
	try     func(context.Context) (T, error)
	answers chan answer[T]
	race    race

	perRound         int // coordinators
	started, running int // attempts
	newest           *attempt
	next             reason // why the timer is set
	pause            time.Duration
	last             error
}

// reason is why the next attempt will start when the timer fires.
type reason int

const (
	hedge   reason = iota // the newest has been slow
	replace               // the newest must be taken for lost
	retry                 // the newest has failed
)

func (o *operation[T]) exhausted() bool { return o.plan.everywhere && o.started >= o.perRound }

// start asks the next coordinator. Its answer is dropped when ctx has ended.
func (o *operation[T]) start(ctx context.Context) {
	a := &attempt{race: &o.race, key: o.plan.key}
	o.newest, o.next = a, hedge
	o.started++
	o.running++
	go func() {
		value, err := o.try(context.WithValue(ctx, attemptKey{}, a))
		select {
		case o.answers <- answer[T]{value, err, a}:
		case <-ctx.Done():
		}
	}()
}

// failed tells when to ask the next coordinator after one has failed: at once, or, when all have been asked, later.
func (o *operation[T]) failed() time.Duration {
	o.next = retry
	if o.started%o.perRound != 0 {
		return 0
	}
	wait := o.pause
	o.pause *= 2
	return wait
}

// due does what the timer was set for, and tells when to look again.
func (o *operation[T]) due(ctx context.Context) time.Duration {
	if o.next == hedge && (o.started%o.perRound == 0 || !o.runner.spend()) {
		o.next = replace
		return patience - o.plan.hedgeAfter()
	}
	if o.next != retry {
		o.runner.judge(o.plan, o.newest, errSlow)
	}
	o.start(ctx)
	return o.plan.hedgeAfter()
}

// errSlow stands for a coordinator that has not answered in time.
var errSlow = errors.New("slow coordinator")

// judge tells the coordinator's breaker how an attempt ended.
func (r *runner) judge(p plan, a *attempt, err error) {
	r.metrics.attempts.WithLabelValues(result(err)).Inc()
	id := a.host.Load()
	if id == nil || p.everywhere {
		return
	}
	if h := r.coordinators.of(*id); err == nil {
		h.succeeded()
	} else if !permanent(err) {
		h.failed(r.coordinators.now())
	}
}

func (r *runner) earn() {
	if r.savings.Load() < hedgeCost*hedgeSavings {
		r.savings.Add(1)
	}
}

func (r *runner) spend() bool {
	if r.savings.Add(-hedgeCost) >= 0 {
		r.metrics.hedges.Inc()
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
