package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/panics"
	"userinfo/internal/tracing"
	"userinfo/passwords"
	"userinfo/store"
)

// statusClientGone is the status in metrics and logs if the client left before the response. No client receives it.
const statusClientGone = 499

// requestState is one request and what is known about it. It belongs to the goroutine that serves the request.
type requestState struct {
	api   *API
	rules *Rules
	route *route
	w     http.ResponseWriter
	r     *http.Request
	conn  *conn // nil if the request did not come through a Server
	start time.Time

	segment string     // the path segment with the key, as it was sent
	key     access.Key // the decoded segment; empty before it is decoded

	authenticationDone bool            // authenticate was called
	identity           access.Identity // the zero Identity before authentication, and if authentication failed
	trustedProxy       bool            // the connection belongs to a trusted proxy, so other clients use it too
	signed             signature.Verified
	limits             *clientLimits // where the request counts as in flight; nil if it does not
	held               int64         // memory of the client's share, in bytes; see hold
	authorized         bool          // access.Authorize has allowed the request
	recordReserved     bool          // there is room for an audit record, which must be written
	recordsDropped     int64         // records of this client that were dropped before this one
	responding         bool          // beginResponse was called

	status int   // of the response; 0 before it is sent
	err    error // why the response is a problem document
	fault  bool  // err is a fault of the service, to be logged as an error
	trace  trace // filled by adoptTrace and requestID

	span      *tracing.Span // of the request; nil if it is not sampled
	storeSpan *tracing.Span // of the call of the store that runs now; nil if none does, or the request is not sampled
}

// serve counts the request as in flight and calls the route's handler.
func (rs *requestState) serve() error {
	a := rs.api
	if !rs.route.health {
		n := a.inFlight.Add(1)
		defer a.inFlight.Add(-1)
		if n > int64(a.config.MaxInFlight) {
			a.metrics.shed.Inc()
			return errOverloaded
		}
		if err := rs.checkAuthority(); err != nil {
			return err
		}
	}
	if rs.r.URL.RawQuery != "" || rs.r.URL.ForceQuery {
		return badRequest("The URL has a query string. Remove it. Write a ? in a key as %3F.")
	}
	return rs.route.handler(rs)
}

// enter authenticates the client, checks the access rules of the resource with this name, and applies the client's limits.
// From here until finish, the request counts as one of the client's requests in flight. It fails closed.
func (rs *requestState) enter(resource string) error {
	if err := rs.authenticate(resource); err != nil {
		return err
	}
	rs.limits = rs.api.limiter.client(rs.identity, rs.start)
	return rs.limits.enter(rs.start)
}

// authenticate sets rs.identity, and checks that the access rules of the resource accept these credentials. It must be
// called at most once for a request, because it uses up the nonce of a signature. It fails closed.
func (rs *requestState) authenticate(resource string) error {
	rs.authenticationDone = true
	credentials, err := rs.credentials()
	if rs.trustedProxy && rs.conn != nil {
		rs.conn.setTrustedProxy()
	}
	if err != nil {
		return err
	}
	if rs.identity, err = rs.rules.Policy.Authenticate(credentials); err != nil {
		return err
	}
	rs.adoptTrace()
	if err := access.Admit(rs.identity, resource); err != nil {
		return err
	}
	return rs.claimConnection()
}

// claimConnection counts the connection as one of the client's, if this is its first authenticated request.
func (rs *requestState) claimConnection() error {
	if rs.conn == nil || rs.trustedProxy || !rs.isAuthenticated() {
		return nil
	}
	limits := rs.api.limiter.client(rs.identity, rs.start)
	if !rs.conn.setClient(rs.identity.Client(), limits.maxConnections()) {
		limits.limiter.limited.WithLabelValues(limits.name, "connections").Inc()
		rs.closeConnection()
		return errTooManyConnections
	}
	return nil
}

// isAuthenticated reports whether the request is known to come from a client. A request that was refused before it was
// authenticated, for example because there is no such resource, is not authenticated. It fails closed.
func (rs *requestState) isAuthenticated() bool { return rs.identity.Client() != "" }

// storeContext returns the context for one call of the store, after which the caller calls endStoreSpan. It ends RequestTimeout
// after the start of the request. It carries the request's trace, which LogHandler reads, and the span of the call.
func (rs *requestState) storeContext(parent context.Context, collection string, action access.Action) (context.Context, context.CancelFunc) {
	rs.requestID()
	parent = rs.startStoreSpan(context.WithValue(parent, traceKey{}, rs.trace), collection, action)
	return context.WithDeadline(parent, rs.start.Add(rs.api.config.RequestTimeout))
}

// beginResponse ends the time in which the request counts as work of the server; see API.requests. Call it before anything is
// written. The client decides how long a write takes, and a client that reads slowly must not make the server look stalled.
func (rs *requestState) beginResponse() {
	if !rs.responding {
		rs.responding = true
		rs.api.requests.leave()
	}
}

// respond sends a status and the headers that were set.
func (rs *requestState) respond(status int) {
	rs.beginResponse()
	rs.status = status
	rs.w.Header().Set(requestIDHeader, rs.requestID())
	rs.w.WriteHeader(status)
}

// fail sends the problem document for err, unless a response has begun.
func (rs *requestState) fail(err error) {
	if isRefusal(err) {
		err = rs.auditRefusal(err)
	}
	rs.err = err
	if rs.status != 0 {
		return
	}
	p := problemFor(err)
	rs.status = p.Status
	rs.fault = isFault(p, err)
	if p.Status == http.StatusUnauthorized {
		rs.w.Header().Set("WWW-Authenticate", challenge(rs.r))
	}
	if p.closeConnection || p.unreadBody && rs.r.ContentLength != 0 || rs.losesConnection(err) {
		rs.closeConnection()
	}
	if rs.r.Context().Err() != nil {
		// A client that has closed only its sending side still reads. Without a response, net/http would send 200.
		rs.status = statusClientGone
	} else {
		rs.api.metrics.countProblem(p)
	}
	rs.beginResponse()
	p.send(rs.w, rs.requestID())
}

// isFault reports whether err is logged as an error. Overload, readiness and the audit log are not: clients could fill the log.
func isFault(p problem, err error) bool {
	return p.Status >= http.StatusInternalServerError && !isOverload(err) && !errors.Is(err, errAuditUnavailable) && p.Type != errNotReady.Type
}

// isOverload reports whether err means that the process has too much to do for all its clients.
func isOverload(err error) bool {
	return errors.Is(err, errOverloaded) || errors.Is(err, errTooManyBytes) || errors.Is(err, store.ErrOverloaded) || errors.Is(err, passwords.ErrBusy)
}

// losesConnection reports whether the connection is closed because the request is not authenticated. This keeps
// unauthenticated peers from occupying connections. Three cases are exempt: overload, because new connections would make
// it worse; a connection of a trusted proxy, because other clients use it too; and a request that was refused before it was
// authenticated, for example because of an unknown path, if the connection has a verified client certificate.
func (rs *requestState) losesConnection(err error) bool {
	if rs.isAuthenticated() || rs.trustedProxy || isOverload(err) {
		return false
	}
	return rs.authenticationDone || verifiedChains(rs.r) == nil
}

// closeConnection closes the connection after the response. Over HTTP/2 it does nothing if the request has a body: net/http
// would send GOAWAY while the body is unread, and curl then reports the response as incomplete.
func (rs *requestState) closeConnection() {
	if rs.r.ProtoMajor < 2 || rs.r.ContentLength == 0 {
		rs.w.Header().Set("Connection", "close")
	}
}

// closeAfterChunkedBody closes the connection after a chunked request over HTTP/1.1. A proxy that uses Content-Length
// where the service uses Transfer-Encoding would forward part of one request as the next one. net/http removes the
// Content-Length of such a request, so it cannot be refused here. RFC 9112, section 6.1, requires the close.
func (rs *requestState) closeAfterChunkedBody() {
	if rs.r.ProtoMajor < 2 && rs.r.ContentLength < 0 {
		rs.w.Header().Set("Connection", "close")
	}
}

// challenge returns the value of WWW-Authenticate (RFC 6750, section 3). It names an error only if a token was sent.
func challenge(r *http.Request) string {
	if len(r.Header["Authorization"]) > 0 {
		return `Bearer realm="userinfo", error="invalid_token"`
	}
	return `Bearer realm="userinfo"`
}

// finish must be deferred. It recovers from a panic, so that other requests are not affected, and then releases, counts,
// audits and logs the request. After a panic, the connection is closed: nobody knows what was read from it. If a part of the
// response has been sent, net/http cuts it off, so that the client does not take it for the whole.
func (rs *requestState) finish() {
	if p := recover(); p != nil {
		rs.api.config.Panics.Record(panics.Request, p, rs.traceAttrs()...)
		if rs.status != 0 {
			defer panic(http.ErrAbortHandler)
		}
		rs.closeConnection()
		rs.fail(panics.ErrPanic)
	}
	if rs.limits != nil {
		rs.limits.release(rs.held)
		rs.limits.leave()
	}
	duration := rs.api.config.Now().Sub(rs.start)
	rs.api.metrics.observe(rs.route, rs.status, duration)
	rs.audit()
	rs.log(duration)
	rs.endSpan()
}

// log writes the request's log record: at level error for a fault of the service, otherwise at level debug.
func (rs *requestState) log(duration time.Duration) {
	level := slog.LevelDebug
	if rs.fault {
		level = slog.LevelError
	}
	log := rs.api.config.Log
	if !log.Enabled(rs.r.Context(), level) {
		return
	}
	attrs := append(rs.traceAttrs(),
		slog.String("method", rs.route.method),
		slog.String("route", rs.route.path),
		slog.Int("status", rs.status),
		slog.Float64("seconds", duration.Seconds()),
		slog.String("client", rs.identity.Client()),
		slog.String("remote", remoteAddr(rs.r).String()))
	if rs.err != nil {
		attrs = append(attrs, slog.String("cause", rs.err.Error()))
	}
	log.LogAttrs(rs.r.Context(), level, "request", attrs...)
}

// remoteAddr returns the address that the request comes from: the peer's, or the address in a trusted PROXY protocol header.
// If the address is unknown, it returns the zero Addr, which is in no network.
func remoteAddr(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr()
}
