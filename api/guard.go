package api

import (
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"userinfo/access"
)

// noteEvery is how often a client's misses and denials are logged at most.
const noteEvery = time.Minute

// auditRate bounds the records of denials, for each client and for all strangers together; as many as auditBurst may come
// at once. What is dropped is counted.
const (
	auditRate  = 10
	auditBurst = 100
)

// guard counts what each client asks for, and bounds it. Its accounts outlive reloads.
type guard struct {
	limits   access.Limits // of a client that has none of its own
	log      *slog.Logger
	accounts sync.Map // of *account, by client; strangers' is under the empty name
	misses   *prometheus.CounterVec
	denials  *prometheus.CounterVec
	limited  *prometheus.CounterVec
	dropped  *prometheus.CounterVec
}

func newGuard(c Config) *guard {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"client"}, labels...))
		c.Registry.MustRegister(v)
		return v
	}
	return &guard{
		limits:  c.ClientLimits,
		log:     c.Log,
		misses:  counter("userinfo_client_misses_total", "Requests for keys that have no value, by client."),
		denials: counter("userinfo_client_denials_total", "Requests that were refused, by client (none: nobody was identified) and status.", "status"),
		limited: counter("userinfo_client_limited_total", "Requests answered 429, by client and the limit that was reached.", "limit"),
		dropped: counter("userinfo_audit_dropped_total", "Records of refused requests that were too many to be written, by client."),
	}
}

// account is what one client has asked for. It is safe for concurrent use.
type account struct {
	guard    *guard
	client   string
	inFlight atomic.Int64
	bounds   atomic.Pointer[bounds]
	misses   prometheus.Counter
	records  *rate.Limiter
	dropped  atomic.Int64 // since the last record

	mu    sync.Mutex
	noted time.Time // when misses and denials were last logged
	since [2]int    // misses and denials since then
}

// bounds are limits and how far they are used up. A limiter that is nil bounds nothing.
type bounds struct {
	own      access.Limits // as the client's rules have them
	limits   access.Limits
	requests *rate.Limiter
	misses   *rate.Limiter
}

func newBounds(own, otherwise access.Limits) *bounds {
	l := own.WithDefaults(otherwise)
	b := &bounds{own: own, limits: l}
	if n := l.RequestsPerSecond; n > 0 {
		b.requests = rate.NewLimiter(rate.Limit(n), n)
	}
	if n := l.MissesPerMinute; n > 0 {
		b.misses = rate.NewLimiter(rate.Limit(n)/60, n)
	}
	return b
}

// account is that of a client of these limits; of the empty name, that of all strangers.
func (g *guard) account(client string, own access.Limits, now time.Time) *account {
	found, ok := g.accounts.Load(client)
	if !ok {
		found, _ = g.accounts.LoadOrStore(client, &account{
			guard: g, client: client, noted: now, misses: g.misses.WithLabelValues(client), records: rate.NewLimiter(auditRate, auditBurst),
		})
	}
	a := found.(*account)
	if b := a.bounds.Load(); b == nil || b.own != own {
		a.bounds.Store(newBounds(own, g.limits))
	}
	return a
}

// enter takes a place among the client's requests in flight; leave gives it back, whether or not there was one.
func (a *account) enter(now time.Time) error {
	b := a.bounds.Load()
	if n := a.inFlight.Add(1); b.limits.MaxInFlight > 0 && n > int64(b.limits.MaxInFlight) {
		a.guard.limited.WithLabelValues(a.client, "in_flight").Inc()
		return errManyInFlight
	}
	if b.requests != nil && !b.requests.AllowN(now, 1) {
		a.guard.limited.WithLabelValues(a.client, "rate").Inc()
		return errManyRequests
	}
	return nil
}

func (a *account) leave() { a.inFlight.Add(-1) }

// mayMiss tells whether the client may ask for what might not be there. Those that ask at once may all miss, so a client
// can go beyond its budget by as many requests as it may have in flight.
func (a *account) mayMiss(now time.Time) error {
	b := a.bounds.Load()
	if b.misses == nil {
		return nil
	}
	missing := 1 - b.misses.TokensAt(now)
	if missing <= 0 {
		return nil
	}
	a.guard.limited.WithLabelValues(a.client, "misses").Inc()
	return tooManyMisses(int(math.Ceil(missing / float64(b.misses.Limit()))))
}

// miss counts a request for a key that has no value.
func (a *account) miss(now time.Time) {
	a.misses.Inc()
	a.spend(now, 0)
}

// deny counts a request that was refused with a status.
func (a *account) deny(now time.Time, status int) {
	a.guard.denials.WithLabelValues(a.client, strconv.Itoa(status)).Inc()
	if status != http.StatusTooManyRequests {
		a.spend(now, 1)
	}
}

// spend takes from the budget, and logs how many there were, now and then.
func (a *account) spend(now time.Time, kind int) {
	if b := a.bounds.Load(); b.misses != nil {
		b.misses.AllowN(now, 1)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since[kind]++
	if now.Sub(a.noted) < noteEvery {
		return
	}
	a.guard.log.Info("misses and denials of a client since this was last said of it", "client", a.client, "misses", a.since[0], "denials", a.since[1])
	a.noted, a.since = now, [2]int{}
}

// record tells whether there may be another record of a denial now, and how many were dropped since the last one.
func (a *account) record(now time.Time) (dropped int64, ok bool) {
	if !a.records.AllowN(now, 1) {
		a.dropped.Add(1)
		a.guard.dropped.WithLabelValues(a.client).Inc()
		return 0, false
	}
	return a.dropped.Swap(0), true
}
