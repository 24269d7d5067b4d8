package api

import (
	"errors"
	"fmt"
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
	"userinfo/store"
)

// missLogInterval is the shortest time between two log records about the misses and refusals of one client.
const missLogInterval = time.Minute

// auditRate is how many audit records of refusals a client may cause per second, and auditBurst how many at once. More are
// dropped and counted.
const (
	auditRate  = 10
	auditBurst = 100
)

// The refusals with status 429. Each response has a Retry-After header, in seconds.
var (
	errTooManyInFlight    = tooManyRequests("This client has too many requests in flight. Nothing was done.", 1)
	errTooManyRequests    = tooManyRequests("This client sends requests too fast. Nothing was done.", 1)
	errClientTooManyBytes = tooManyRequests("This client's requests in flight hold too many bytes. Nothing was done.", 1)
	errTooManyConnections = tooManyRequests("This client has too many connections. Nothing was done.", 1)
	errTooManySigned      = tooManyRequests("Too many requests were signed with this key. Nothing was done.", 60)
	// errTooManyMisses is only for errors.Is. missesError wraps it together with the problem and its Retry-After.
	errTooManyMisses = errors.New("the client has missed too often")
)

func tooManyRequests(detail string, retryAfter int) *problemError {
	return &problemError{problem{Type: problemBase + "too-many-requests", Title: "Too many requests",
		Status: http.StatusTooManyRequests, Detail: detail, retryAfter: retryAfter}}
}

// missesError returns an errTooManyMisses with the time until the next request is allowed.
func missesError(retryAfter int) error {
	e := &problemError{problem{Type: problemBase + "too-many-misses", Title: "Too many misses", Status: http.StatusTooManyRequests,
		Detail: "This client has asked for too many keys that have no value or that it may not use. Nothing was done.", retryAfter: retryAfter}}
	return fmt.Errorf("%w: %w", errTooManyMisses, e)
}

// byteRateError returns the refusal of a client that sends and receives bytes too fast, with the time until it has paid for
// what it used.
func byteRateError(retryAfter int) *problemError {
	return tooManyRequests("This client sends and receives values too fast. Nothing was done.", retryAfter)
}

// limiter enforces the limits of each client. It is safe for concurrent use. A reload of the rules does not reset it, except
// that a client whose limits have changed starts with full buckets.
//
//	limit              enforced by                 counts
//	MaxInFlight        clientLimits.enter          authenticated requests until they are finished, refused ones included
//	RequestsPerSecond  clientLimits.enter          authenticated requests that MaxInFlight did not refuse
//	MissesPerMinute    clientLimits.checkMisses    responses 404 and refusals other than 429; see clientLimits.miss
//	MaxBytesInFlight   clientLimits.reserve        memory for values of authorized requests, until they are finished
//	BytesPerSecond     clientLimits.checkBytes     bytes of large values that were sent or received
//
// A request that is refused before it is authenticated and admitted does not count toward the first two limits.
type limiter struct {
	defaults       access.Limits // of a client that has none of its own
	budget         *budget       // of all clients together
	log            *slog.Logger
	clients        sync.Map // client name → *clientLimits
	misses         *prometheus.CounterVec
	refusals       *prometheus.CounterVec
	limited        *prometheus.CounterVec
	requests       *prometheus.CounterVec
	droppedRecords *prometheus.CounterVec
}

func newLimiter(c Config) *limiter {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"client"}, labels...))
		c.Registry.MustRegister(v)
		return v
	}
	return &limiter{
		defaults:       c.ClientLimits,
		budget:         newBudget(c.Registry, c.MaxBytesInFlight),
		log:            c.Log,
		misses:         counter("userinfo_client_misses_total", "Requests for keys that have no value, by client."),
		refusals:       counter("userinfo_client_denials_total", "Refused requests, by client (empty if unauthenticated) and status.", "status"),
		limited:        counter("userinfo_client_limited_total", "Requests answered 429, by client and the limit that was reached. Excludes 429 for too many requests signed with one key.", "limit"),
		requests:       counter("userinfo_client_requests_total", "Requests that authentication and the access rules have passed, by client (empty without a client). Includes those refused later."),
		droppedRecords: counter("userinfo_audit_dropped_total", "Audit records of refused requests that were dropped because there were too many, by client."),
	}
}

// client returns the limits and counters of the client with this identity. All unauthenticated requests share the client
// with the empty name.
func (l *limiter) client(id access.Identity, now time.Time) *clientLimits {
	name := id.Client()
	found, ok := l.clients.Load(name)
	if !ok {
		found, _ = l.clients.LoadOrStore(name, &clientLimits{
			limiter: l, name: name, lastLogged: now, missCounter: l.misses.WithLabelValues(name),
			requestCounter: l.requests.WithLabelValues(name), auditRecords: rate.NewLimiter(auditRate, auditBurst),
		})
	}
	c := found.(*clientLimits)
	if b := c.buckets.Load(); b == nil || b.configured != id.Limits() {
		c.buckets.Store(newTokenBuckets(id.Limits(), l.defaults))
	}
	return c
}

// clientLimits enforces the limits of one client. It is safe for concurrent use.
type clientLimits struct {
	limiter        *limiter
	name           string
	inFlight       atomic.Int64
	bytes          atomic.Int64                 // of memory reserved for values
	getBytes       atomic.Int64                 // moving average of the sizes of values that the client got; see expectGet
	buckets        atomic.Pointer[tokenBuckets] // replaced when the client's limits change
	missCounter    prometheus.Counter
	requestCounter prometheus.Counter
	auditRecords   *rate.Limiter
	dropped        atomic.Int64 // audit records dropped since the last one that was written

	mu         sync.Mutex // guards the fields below
	lastLogged time.Time
	misses     int // since lastLogged
	refusals   int // since lastLogged
}

// tokenBuckets are a client's limits, with token buckets for the limits that are rates.
type tokenBuckets struct {
	configured  access.Limits // without the defaults; they tell whether the client's limits have changed
	inFlight    int64         // 0: no limit
	bytes       int64         // of memory; 0: no limit
	connections int           // 0: no limit
	requests    *rate.Limiter // nil: no limit
	misses      *rate.Limiter // nil: no limit
	byteRate    *rate.Limiter // nil: no limit. Its tokens are negative while the client has to wait.
}

func newTokenBuckets(configured, defaults access.Limits) *tokenBuckets {
	limits := configured.WithDefaults(defaults)
	b := &tokenBuckets{configured: configured, inFlight: int64(limits.MaxInFlight), bytes: int64(limits.MaxBytesInFlight), connections: limits.MaxConnections}
	if n := limits.RequestsPerSecond; n > 0 {
		b.requests = rate.NewLimiter(rate.Limit(n), n)
	}
	if n := limits.MissesPerMinute; n > 0 {
		b.misses = rate.NewLimiter(rate.Limit(n)/60, n)
	}
	if n := limits.BytesPerSecond; n > 0 {
		b.byteRate = rate.NewLimiter(rate.Limit(n), n)
	}
	return b
}

// enter enforces the client's rate limit and its limit of requests in flight. It counts the request as in flight, also if
// it refuses it, so the caller must call leave in either case. It returns errTooManyInFlight or errTooManyRequests.
func (c *clientLimits) enter(now time.Time) error {
	c.requestCounter.Inc()
	b := c.buckets.Load()
	if n := c.inFlight.Add(1); b.inFlight > 0 && n > b.inFlight {
		c.limiter.limited.WithLabelValues(c.name, "in_flight").Inc()
		return errTooManyInFlight
	}
	if b.requests != nil && !b.requests.AllowN(now, 1) {
		c.limiter.limited.WithLabelValues(c.name, "rate").Inc()
		return errTooManyRequests
	}
	return nil
}

// maxConnections returns how many connections the client may have; 0 means no limit.
func (c *clientLimits) maxConnections() int { return c.buckets.Load().connections }

// leave ends what enter began.
func (c *clientLimits) leave() { c.inFlight.Add(-1) }

// reserve reserves n bytes of memory from the client's share and from the budget of the process. It returns
// errClientTooManyBytes or errTooManyBytes, and then reserves nothing. The caller must release what it has reserved.
func (c *clientLimits) reserve(n int64) error {
	b := c.buckets.Load()
	if held := c.bytes.Add(n); b.bytes > 0 && held > b.bytes {
		c.bytes.Add(-n)
		c.limiter.limited.WithLabelValues(c.name, "bytes_in_flight").Inc()
		return errClientTooManyBytes
	}
	if err := c.limiter.budget.take(n); err != nil {
		c.bytes.Add(-n)
		return err
	}
	return nil
}

// expectGet returns how large the value of the client's next get is on average, in bytes. Nobody knows the size before the value
// is in memory. So the first gets of large values are refused only then, and later ones before the store is asked.
func (c *clientLimits) expectGet() int64 { return c.getBytes.Load() }

// learnGet updates the average of expectGet. Two updates at the same time may become one.
func (c *clientLimits) learnGet(n int64) {
	average := c.getBytes.Load()
	c.getBytes.Store(average + (n-average)/8)
}

// release ends the reservation of n bytes.
func (c *clientLimits) release(n int64) {
	c.bytes.Add(-n)
	c.limiter.budget.release(n)
}

// checkBytes enforces the client's limit of bytes per second, before an operation that carries a value. The size of the value
// is not known yet: see countBytes.
func (c *clientLimits) checkBytes(now time.Time) *problemError {
	b := c.buckets.Load()
	if b.byteRate == nil {
		return nil
	}
	tokens := b.byteRate.TokensAt(now)
	if tokens >= 0 {
		return nil
	}
	c.limiter.limited.WithLabelValues(c.name, "byte_rate").Inc()
	return byteRateError(int(math.Ceil(-tokens / float64(b.byteRate.Limit()))))
}

// countBytes takes a value of n bytes from the client's limit of bytes per second. The limit can become negative: then
// checkBytes refuses requests until time has paid for it. Small values do not count: they do not delay other clients, and a
// busy wiki moves more bytes of them than the limit allows for large ones. RequestsPerSecond bounds them.
func (c *clientLimits) countBytes(now time.Time, n int64) {
	b := c.buckets.Load()
	if b.byteRate == nil || n < store.LargeValue {
		return
	}
	for burst := int64(b.byteRate.Burst()); n > 0; n -= burst {
		b.byteRate.ReserveN(now, int(min(n, burst)))
	}
}

// checkMisses enforces the client's limit of misses, before a get or a touch. It returns errTooManyMisses, with the time
// until the next miss is allowed. Requests in flight at the same time pass together, so a client can exceed the limit by
// as many misses as it may have requests in flight.
func (c *clientLimits) checkMisses(now time.Time) error {
	b := c.buckets.Load()
	if b.misses == nil {
		return nil
	}
	wanting := 1 - b.misses.TokensAt(now)
	if wanting <= 0 {
		return nil
	}
	c.limiter.limited.WithLabelValues(c.name, "misses").Inc()
	return missesError(int(math.Ceil(wanting / float64(b.misses.Limit()))))
}

// miss counts a request for a key that has no value.
func (c *clientLimits) miss(now time.Time) {
	c.missCounter.Inc()
	c.countMiss(now, 1, 0)
}

// refuse counts a refused request. A refusal counts as a miss, because guessing keys of others must be as slow as guessing
// keys that do not exist. A 429 does not: it would make the wait longer.
func (c *clientLimits) refuse(now time.Time, status int) {
	c.limiter.refusals.WithLabelValues(c.name, strconv.Itoa(status)).Inc()
	if status != http.StatusTooManyRequests {
		c.countMiss(now, 0, 1)
	}
}

// countMiss takes one from the limit of misses, and logs the counts at most once in missLogInterval.
func (c *clientLimits) countMiss(now time.Time, misses, refusals int) {
	if b := c.buckets.Load(); b.misses != nil {
		b.misses.AllowN(now, 1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.misses += misses
	c.refusals += refusals
	if now.Sub(c.lastLogged) < missLogInterval {
		return
	}
	c.limiter.log.Info("misses and refused requests of a client since the last such record", "client", c.name, "misses", c.misses, "denials", c.refusals)
	c.lastLogged, c.misses, c.refusals = now, 0, 0
}

// allowAuditRecord reports whether an audit record of a refusal may be written now, and how many were dropped since the
// last one.
func (c *clientLimits) allowAuditRecord(now time.Time) (dropped int64, ok bool) {
	if !c.auditRecords.AllowN(now, 1) {
		c.dropped.Add(1)
		c.limiter.droppedRecords.WithLabelValues(c.name).Inc()
		return 0, false
	}
	return c.dropped.Swap(0), true
}
