// Package api speaks HTTP: one resource with four methods for each collection, and what operators need.
//
//	in flight? ─▶ route ─▶ who (access.Identify) ─▶ key ─▶ may it (access.Decide) ─▶ handler ─▶ store
//	                                     any error ─▶ one table (problem.go) ─▶ application/problem+json
//
// Invariants:
//
//  1. Routing is on the path as it was sent, escapes and all; there is no redirect and no cleaning.
//  2. Nothing about a session leaves without Cache-Control: no-store.
//  3. What a client is told of an error is one of the texts in this package. Causes go to the log.
//  4. No key, value or token is in a log line, a metric or a problem document.
//  5. 404 on a key means known to be absent; what could not be established is 503.
//
// It does not authenticate (access does, from what TLS verified) and does not limit how often a client may ask.
package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
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
}

// Config is what an API needs. All of it is required.
type Config struct {
	Collections []Collection
	// Policy gives the rules that hold now.
	Policy func() *access.Policy
	// Ready tells whether the store can be read.
	Ready func(context.Context) error
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
	inFlight atomic.Int64
	health   health
}

// New makes an API of config and registers its metrics.
func New(config Config) *API {
	a := &API{config: config, metrics: newMetrics(config.Registry)}
	a.health.check = config.Ready
	a.health.now = config.Now
	a.health.log = config.Log
	a.router = a.routes()
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The router looks at URL.Path, where net/http has put the decoded path. What was sent is what counts.
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
		x := &exchange{api: a, route: &rt, w: w, r: r, start: a.config.Now()}
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
	if !x.route.open {
		n := a.inFlight.Add(1)
		defer a.inFlight.Add(-1)
		a.metrics.inFlight.Inc()
		defer a.metrics.inFlight.Dec()
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
