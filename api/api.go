// Package api serves a store over HTTP: one resource with four methods for each collection, and a few resources for
// operators. Package net/http does HTTP/1.1 and HTTP/2.
//
// The router chooses a route by path and method. An unknown path or method has a route of its own, which refuses the
// request. Then a request passes these steps, in this order. Each can refuse it.
//
//	step          question                                                 refusal        file
//	overload      are too many requests in flight in this process?         503            request.go
//	authority     is the request for this service?                         400, 421       authority.go
//	query         does the URL have a query string?                        400            request.go
//	match         does the resource exist, and have the method?            404, 405       router.go
//	authenticate  which client sent it? (access.Policy.Authenticate)       400, 401, 429  credentials.go
//	admit         do the access rules accept these credentials? (Admit)    401, 403       request.go
//	limit         has the client too many connections or requests?         429            limiter.go
//	key           is the key valid?                                        400, 414       path.go
//	misses        get, touch: has the client missed too often?             429            limiter.go
//	authorize     may it do this with this key? (access.Authorize)         403            collection.go
//	bytes         does the client hold or move too many bytes of values?   429, 503       limiter.go, budget.go
//	audit         delete: can its audit record be written?                 503            audit.go
//	handle        read the header and the body, call the store             any            collection.go
//
// The resources of passwords have no step misses and no step bytes. PUT reads its body before the step authorize, because
// the body says which grant it needs. See passwords.go.
//
// Every refusal and every error of the store becomes a problem document (problem.go), is counted and logged (request.go),
// and is in the request's spans if there are any (spans.go). A refusal that depends on the client also becomes an audit
// record (audit.go). If records cannot be written, the client gets 503 instead of the refusal. The health resources skip the
// steps overload, authority and limit. They also skip authenticate and admit if their access rule set is open to anybody. A
// signature is always for one of the service's authorities.
//
// Invariants:
//
//  1. Routing uses the path exactly as the client sent it, still percent-encoded. There are no redirects, and paths are
//     not cleaned.
//  2. Every response about a session has Cache-Control: no-store.
//  3. The text of an error response is written in this package. The text of an underlying error goes to the log only.
//  4. No key, value or token is in a log line, a metric, a span or a problem document. Only an authenticated client chooses
//     text in them, and only the hexadecimal digits of ids (trace.go). An audit record and the list of rewritten keys
//     (operators.go) have keyed hashes of keys. No request can ask for the hash of a key.
//  5. 404 for a key means that the store knows that there is no value. If the store cannot tell, the response is 503.
//  6. A client without permission for a key is refused before the store is asked. The response is the same for every
//     method, except that get and touch are answered 429 once the client has missed too often. Neither the response nor
//     its timing reveals whether the key has a value.
//  7. A request is authenticated at most once. Its signature's nonce is therefore used at most once.
//  8. After a chunked request over HTTP/1.1, the connection is closed. See requestState.closeAfterChunkedBody.
//  9. A delete is not begun unless there is room for its audit record, and an allowed delete's record is never dropped after
//     that. If audit records are not required, a record may be dropped.
//  10. The memory for values of requests in flight is bounded, in all and for each client. Nothing of a body is read before
//     its sender is authenticated and memory for it is reserved.
//  11. Every request about a password that access.Authorize has allowed leaves an audit record, or is not begun. The
//     responses to a wrong password, an unknown user and a user without a password differ in nothing but ids.
//
// This package does not decide who a client is or what it may do. Package access decides, using credentials that
// crypto/tls, access/forwarded and access/signature have verified.
//
// net/http itself answers invalid requests, in plain text. server_framing_test.go lists these cases.
//
// This package does not defend against a proxy that combines requests of several clients on one connection and gets their
// boundaries wrong: net/http accepts a folded header line (RFC 9112, section 5.2), which it joins with a space, and lets
// Transfer-Encoding override Content-Length (section 6.3).
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
	"userinfo/access/signature"
	"userinfo/internal/panics"
	"userinfo/internal/tracing"
	"userinfo/passwords"
	"userinfo/store"
)

// MaxKeyBytes is the maximum length of a key in bytes, after percent-decoding.
const MaxKeyBytes = 4096

// Collection configures one collection. Its values are served at Path + "/{key}".
type Collection struct {
	// Name is the name of the collection in grants, such as "sessions" in "sessions:get".
	Name string
	// Path begins with a slash and does not end with one, for example /sessions/v1.
	Path string
	// Store keeps the values.
	Store store.Store
	// DefaultTTL is the lifetime of a value that was set without a TTL header. MaxTTL is the largest value of the
	// header. Both are whole seconds.
	DefaultTTL, MaxTTL time.Duration
	// MaxValueBytes is the maximum size of a value, in bytes.
	MaxValueBytes int64
}

// Config configures an API. All fields are required, except Passwords, ClientLimits, MaxBytesInFlight, Tracer, KaskNames,
// Version, RewrittenKeys and Panics.
type Config struct {
	Collections []Collection
	// Passwords keeps the passwords of users. nil: the service keeps none, and their resources do not exist.
	Passwords passwords.Store
	// Rules returns the rules in force. It is called once for each request and must be safe for concurrent use.
	Rules func() *Rules
	// Ready reports whether the store can be read. The API calls it at most once a second.
	Ready func(context.Context) error
	// Signatures verifies signed requests with the keys in Rules, and remembers their nonces.
	Signatures *signature.Verifier
	// ClientLimits are the limits of a client that has none of its own. Zero means no limit.
	ClientLimits access.Limits
	// Audit receives the audit records.
	Audit AuditLog
	// MaxInFlight is the maximum number of requests in flight, not counting health requests. The next request is answered
	// 503.
	MaxInFlight int
	// MaxBytesInFlight is the largest memory, in bytes, for values of requests in flight. Beyond it, a request is answered
	// 503. A set takes SetCopies times its body, a get GetCopies times its value. Zero means no limit.
	MaxBytesInFlight int64
	// RequestTimeout is the time from the start of a request until the store must have answered.
	RequestTimeout time.Duration
	// Tracer records spans of requests. nil: there are none.
	Tracer   *tracing.Tracer
	Registry *prometheus.Registry
	// KaskNames also exposes the metrics that Kask has, under its names. Version is a label of one of them.
	KaskNames bool
	Version   string
	// RewrittenKeys returns the most rewritten keys of every collection, for operators. nil: there are none.
	RewrittenKeys func() []store.RewrittenKeys
	// Panics counts and logs panics of requests and connections. nil: they are only logged.
	Panics *panics.Recorder
	Log    *slog.Logger
	Now    func() time.Time
	// Random is the source of request ids.
	Random io.Reader
}

// API is an http.Handler. It is safe for concurrent use.
type API struct {
	config   Config
	router   *httprouter.Router
	metrics  *metrics
	limiter  *limiter
	health   health
	inFlight atomic.Int64
	requests stage // of all routes, until the response begins

	paceInterval time.Duration // of bodies; tests change it
}

// New returns an API and registers its metrics with config.Registry.
func New(config Config) *API {
	a := &API{
		config:  config,
		limiter: newLimiter(config),
		health:  health{check: config.Ready, now: config.Now, log: config.Log},

		paceInterval: paceInterval,
	}
	a.metrics = newMetrics(config, &a.inFlight)
	a.router = a.newRouter()
	return a
}

// ServeHTTP implements http.Handler. It routes on the path as the client sent it.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.URL.Path = sentPath(r)
	a.router.ServeHTTP(w, r)
}

// serve serves one request to a route. segment is the path segment with the key, as it was sent.
func (a *API) serve(rt *route, segment string, w http.ResponseWriter, r *http.Request) {
	rs := &requestState{api: a, rules: a.config.Rules(), route: rt, segment: segment, w: w, r: r, start: a.config.Now()}
	a.requests.enter()
	defer rs.beginResponse()
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.beginRequest()
		defer c.endRequest()
		rs.conn = c
	}
	defer rs.holdLargeHeader()
	defer rs.finish()
	if a.health.draining.Load() {
		rs.closeConnection()
	}
	rs.closeAfterChunkedBody()
	if err := rs.serve(); err != nil {
		rs.fail(err)
	}
}

// Drain prepares for a shutdown. From now on, /readyz answers 503, and every response asks the client to close its
// connection. Requests are still served.
func (a *API) Drain() { a.health.draining.Store(true) }
