package api

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"userinfo/access"
	"userinfo/access/signature"
)

// exchange is one request and its answer. One goroutine owns it.
type exchange struct {
	api        *API
	rules      *Rules // in force when the request came
	route      *route
	w          http.ResponseWriter
	r          *http.Request
	conn       *connection // nil where nobody has served the request
	start      time.Time
	sentKey    string     // the last segment of the path, as it was sent
	key        access.Key // once it has been parsed
	identity   access.Identity
	identified bool // identity says what there is to say
	proxied    bool // the connection is that of a listed proxy, which speaks for many
	signed     signature.Verified
	account    *account // in which the request has a place; nil where it has none
	allowed    bool     // access.Authorize has made a Caller
	status     int      // as sent to the client; statusGone where nobody was there to be told
	cause      error    // of a problem
	severe     bool     // the problem is the service's, whether or not the client was there to be told
	id         string   // made when first asked for
}

// statusGone stands in metrics and logs for a client that left before it was answered.
const statusGone = 499

// enter tells who is asking, and whether the audience lets them in and their limits have room. It fails closed.
func (x *exchange) enter(audience string) error {
	if err := x.admit(audience); err != nil {
		return err
	}
	a := x.api.guard.account(x.identity.Client(), x.identity.Limits(), x.start)
	x.account = a
	return a.enter(x.start)
}

// admit tells who is asking, and whether the audience lets them in, however often they ask.
func (x *exchange) admit(audience string) error {
	if err := x.identify(); err != nil {
		return err
	}
	return access.Admit(x.identity, audience)
}

// identify tells who is asking, for whoever wants to know later. It is done once for a request: a signature is good once.
func (x *exchange) identify() error {
	x.identified = true
	e, err := x.evidence()
	if err == nil {
		x.identity, err = x.rules.Policy.Authenticate(e)
	}
	return err
}

// verified are the chains of the client's certificate, if TLS has verified one. It fails closed: a certificate that was
// not verified is none.
func verified(r *http.Request) [][]*x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains
}

// remote is the address that the request comes from: the other end's, or the one in a PROXY protocol header that was
// believed. It is the zero address, which is in no network, where it cannot be told.
func remote(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr()
}

// deadline is the context of the store's work: ctx for as long as MediaWiki will wait.
func (x *exchange) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	b := &budget{Context: ctx, deadline: x.start.Add(x.api.config.RequestTimeout)}
	return b, b.end
}

// answer sends a status without a body.
func (x *exchange) answer(status int) {
	x.status = status
	x.w.WriteHeader(status)
}

// fail answers with the problem that err is, and keeps err for the log.
func (x *exchange) fail(err error) {
	x.cause = err
	if x.status != 0 {
		return // the answer had begun
	}
	p := problemFor(err)
	if p.Status == http.StatusUnauthorized {
		x.w.Header().Set("WWW-Authenticate", challenge(x.r))
	}
	x.status = p.Status
	// What anybody can cause as often as they like is not logged as an error each time.
	x.severe = p.Status >= http.StatusInternalServerError && !errors.Is(err, errOverloaded) && !errors.Is(err, errNotReady)
	if !errors.Is(err, errOverloaded) && x.stranger() && !x.proxied {
		x.leave() // strangers do not occupy connections
	}
	if x.r.Context().Err() != nil {
		// It is answered all the same: one that has closed only its sending half still reads, and silence would become
		// a 200.
		x.status = statusGone
	}
	if p.close {
		x.leave()
	}
	p.send(x.w, x.requestID())
}

// stranger tells whether the request comes from no client. A problem may come before anybody has asked.
func (x *exchange) stranger() bool {
	if !x.identified {
		_ = x.identify() // then it is a stranger
	}
	return x.identity.Client() == ""
}

// leave has the connection closed after the answer. Not over HTTP/2 where a body may be unread: there it means GOAWAY,
// and curl takes the answer that comes with it for cut off.
func (x *exchange) leave() {
	if x.r.ProtoMajor < 2 || x.r.ContentLength == 0 {
		x.w.Header().Set("Connection", "close")
	}
}

// challenge is RFC 6750's, section 3: error only where a token was sent.
func challenge(r *http.Request) string {
	if len(r.Header["Authorization"]) > 0 {
		return `Bearer realm="userinfo", error="invalid_token"`
	}
	return `Bearer realm="userinfo"`
}

// requestID is a URN of RFC 9562, the same in the problem document and in the log.
func (x *exchange) requestID() string {
	if x.id == "" {
		id, err := uuid.NewRandomFromReader(x.api.config.Random)
		if err != nil {
			x.api.config.Log.Error("making a request id", "error", err)
		}
		x.id = id.URN()
	}
	return x.id
}

// finish counts and logs the request. A panic is a bug, but no reason to take other requests down.
func (x *exchange) finish(h *handles) {
	if p := recover(); p != nil {
		x.api.config.Log.Error("panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		x.fail(errors.New("panic"))
	}
	if x.account != nil {
		x.account.leave()
	}
	took := x.api.config.Now().Sub(x.start)
	h.observe(x.status, took)
	x.audit()

	level := slog.LevelDebug
	if x.severe {
		level = slog.LevelError
	}
	log := x.api.config.Log
	if !log.Enabled(x.r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", x.requestID()),
		slog.String("method", x.route.method),
		slog.String("route", x.route.path),
		slog.Int("status", x.status),
		slog.Float64("seconds", took.Seconds()),
		slog.String("client", x.identity.Client()),
		slog.String("remote", remote(x.r).String()),
	}
	if x.cause != nil {
		attrs = append(attrs, slog.String("cause", x.cause.Error()))
	}
	log.LogAttrs(x.r.Context(), level, "request", attrs...)
}
