package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"userinfo/access"
)

// Decisions in audit records.
const (
	decisionAllowed = "allowed"
	decisionDenied  = "denied"
	decisionLimited = "limited"
)

// refusals are the errors that refuse a request because of who sends it.
var refusals = []error{access.ErrMalformed, access.ErrConflict, access.ErrUnauthenticated, access.ErrDenied, errManyInFlight, errManyRequests, errManyMisses, errManySigned}

// refused tells whether err is one of refusals.
func refused(err error) bool {
	return err != nil && slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) })
}

// audit counts a refusal, and leaves a record of it and of every delete that was let through, whatever became of it.
//
//	decision  allowed, denied, or limited       request  the instance of the problem document
//	reason    of a refusal                      client   empty where nobody was identified
//	method, route, status                       peer     the other end of the connection, perhaps a proxy
//	key       access.AuditKey.Hash              address  that the request comes from, as the PROXY protocol says, or the peer's
//	dropped   refusals of this client that left no record since the last that did: there were too many
func (x *exchange) audit() {
	decision, dropped := decisionAllowed, int64(0)
	switch {
	case refused(x.cause):
		now, status := x.api.config.Now(), problemFor(x.cause).Status
		account := x.api.guard.account(x.identity.Client(), x.identity.Limits(), now)
		account.deny(now, status)
		var ok bool
		if dropped, ok = account.record(now); !ok {
			return
		}
		if decision = decisionDenied; status == http.StatusTooManyRequests {
			decision = decisionLimited
		}
	case x.route.method != http.MethodDelete || !x.allowed:
		return
	}
	attrs := []slog.Attr{
		slog.String("decision", decision),
		slog.String("client", x.identity.Client()),
		slog.String("method", x.route.method),
		slog.String("route", x.route.path),
		slog.Int("status", x.status),
		slog.String("request", x.requestID()),
		slog.String("peer", x.peer().String()),
		slog.String("address", remote(x.r).String()),
	}
	if decision != decisionAllowed {
		attrs = append(attrs, slog.String("reason", x.cause.Error()))
	}
	if x.key == "" && x.route.keyed {
		x.key, _ = parseKey(x.sentKey) // of a request that was refused before its key mattered; there may be none
	}
	if hash := x.rules.AuditKey.Hash(x.key); hash != "" {
		attrs = append(attrs, slog.String("key", hash))
	}
	if dropped > 0 {
		attrs = append(attrs, slog.Int64("dropped", dropped))
	}
	x.api.config.Audit.LogAttrs(context.WithoutCancel(x.r.Context()), slog.LevelInfo, "audit", attrs...)
}
