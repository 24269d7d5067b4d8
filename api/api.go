// Package api speaks HTTP: one resource with four methods for each collection, and what operators need.
//
//	in flight? ─▶ route ─▶ who (access.Identify) ─▶ by this way? (access.Admit) ─▶ too often? (guard.go)
//	           ─▶ key ─▶ may it (access.Authorize) ─▶ handler ─▶ store
//	any error ─▶ one table (problem.go) ─▶ application/problem+json ─▶ audit.go, where it was a refusal
//
// Invariants:
//
//  1. Routing is on the path as it was sent, escapes and all; there is no redirect and no cleaning.
//  2. Nothing about a session leaves without Cache-Control: no-store.
//  3. What a client is told of an error is one of the texts in this package. Causes go to the log.
//  4. No key, value or token is in a log line, a metric or a problem document. An audit record has a keyed hash of the key.
//  5. 404 on a key means known to be absent; what could not be established is 503.
//  6. Whoever may not have a key is answered before the store is asked, whatever the method and whether or not there is a
//     value, so that neither the answer nor its time tells.
//  7. A header that a proxy may have read otherwise is refused: see http1. HTTP/2 cannot have any.
//
// It decides nothing about who somebody is or what they may do: access does, on evidence that TLS, access/forwarded and
// access/signature have verified.
package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/store"
)

// MaxKeyBytes is how long a key may be once its escapes are decoded.
const MaxKeyBytes = 4096

// Collection is what is served under Path + "/{key}".
type Collection struct {
	Name string
	// Path begins with a slash and does not end with one: /sessions/v1.
	Path  string
	Store store.Store
	// DefaultTTL holds where a set brings no TTL header, MaxTTL bounds the header. Whole seconds.
	DefaultTTL, MaxTTL time.Duration
	// MaxValueBytes bounds a request's body.
	MaxValueBytes int64

	grants map[access.Action]access.Grant // made once
}

// grant is the permission for action on c.
func (c *Collection) grant(action access.Action) access.Grant { return c.grants[action] }

// Config is what an API needs. All of it is required.
type Config struct {
	Collections []Collection
	// Rules returns the rules that are in force. It is called once for each request.
	Rules func() *Rules
	// Ready tells whether the store can be read.
	Ready func(context.Context) error
	// Signatures verifies signed requests, with the keys in Rules, and remembers their nonces.
	Signatures *signature.Verifier
	// ClientLimits are those of a client that has none of its own.
	ClientLimits access.Limits
	// Audit receives the audit records.
	Audit *slog.Logger
	// MaxInFlight bounds how many requests are worked on at once; the next is answered 503.
	MaxInFlight int
	// RequestTimeout is how long the store may take, from the arrival of a request.
	RequestTimeout time.Duration
	Registry       *prometheus.Registry
	Log            *slog.Logger
	Now            func() time.Time
	// Random is the source of request ids.
	Random io.Reader
}

// API is an http.Handler. It is safe for concurrent use.
type API struct {
	config   Config
	router   *httprouter.Router
	metrics  *metrics
	guard    *guard
	inFlight atomic.Int64
	// exchanges are used again, empty: nothing that outlives a request has one.
	exchanges sync.Pool
	health    health
}

// New makes an API of config and registers its metrics.
func New(config Config) *API {
	a := &API{config: config, guard: newGuard(config)}
	a.exchanges.New = func() any { return new(exchange) }
	a.health.check = config.Ready
	a.health.now = config.Now
	a.health.log = config.Log
	a.metrics = newMetrics(config.Registry, &a.inFlight)
	a.router = a.routes()
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The router looks at URL.Path, where the decoded path is. What was sent is what counts.
	r.URL.Path = sentPath(r)
	a.router.ServeHTTP(w, r)
}

// Drain makes /readyz answer 503 and has connections closed after their next answer, so that clients go elsewhere.
func (a *API) Drain() { a.health.draining.Store(true) }

// handler does one request. An error it returns has not been answered yet.
type handler func(*exchange) error

// handle runs h for requests to a route: everything that all of them have in common.
func (a *API) handle(rt route) httprouter.Handle {
	h := &handles{metrics: a.metrics, route: rt}
	return func(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
		x := a.exchanges.Get().(*exchange)
		defer func() {
			*x = exchange{}
			a.exchanges.Put(x)
		}()
		x.api, x.route, x.w, x.r, x.start = a, &rt, w, r, a.config.Now()
		x.rules = a.config.Rules()
		if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
			c.ask()
			x.conn = c
		}
		if rt.keyed {
			x.sentKey = params.ByName("key")
		}
		defer x.finish(h)
		if a.health.draining.Load() {
			x.leave()
		}
		if err := x.serve(rt.handler); err != nil {
			x.fail(err)
		}
	}
}

// serve runs h within the bound on requests in flight. Health is told in any case.
func (x *exchange) serve(h handler) error {
	a := x.api
	if !x.route.health {
		n := a.inFlight.Add(1)
		defer a.inFlight.Add(-1)
		if n > int64(a.config.MaxInFlight) {
			a.metrics.shed.Inc()
			return errOverloaded
		}
	}
	if x.r.URL.RawQuery != "" || x.r.URL.ForceQuery {
		return badRequest("The URL has a query string. Remove it: a ? in a key is %3F.")
	}
	return h(x)
}
