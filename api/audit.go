package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"userinfo/access"
)

// Values of the field decision in audit records.
const (
	decisionAllowed = "allowed"
	decisionDenied  = "denied"
	decisionLimited = "limited" // 429
)

// auditedErrors are the errors that refuse a request because of who sent it, or for which service.
var auditedErrors = []error{access.ErrMisdirected, access.ErrMalformed, access.ErrConflict, access.ErrUnauthenticated, access.ErrDenied,
	errTooManyInFlight, errTooManyRequests, errTooManyMisses, errTooManySigned}

// isRefusal reports whether err is one of auditedErrors.
func isRefusal(err error) bool {
	return err != nil && slices.ContainsFunc(auditedErrors, func(e error) bool { return errors.Is(err, e) })
}

// audit counts the request if it was refused. It writes an audit record for a refusal, and for every delete that was
// authorized, whether or not it succeeded. The fields are:
//
//	decision  allowed, denied or limited
//	reason    of a refusal
//	client    empty if the request is not authenticated
//	method, route, status
//	request_id, trace_id, parent_id: see trace
//	peer      address of the connection's peer, which may be a proxy
//	address   address that the request comes from: from the PROXY protocol, or the peer's
//	key       keyed hash of the session key; see access.AuditKey.Hash
//	dropped   records of this client that were dropped since the last one, because there were too many
func (rs *requestState) audit() {
	decision, dropped := decisionAllowed, int64(0)
	switch {
	case isRefusal(rs.err):
		now, status := rs.api.config.Now(), problemFor(rs.err).Status
		client := rs.api.limiter.client(rs.identity, now)
		client.refuse(now, status)
		var ok bool
		if dropped, ok = client.allowAuditRecord(now); !ok {
			return
		}
		decision = decisionDenied
		if status == http.StatusTooManyRequests {
			decision = decisionLimited
		}
	case rs.route.method != http.MethodDelete || !rs.authorized:
		return
	}
	rs.writeAuditRecord(decision, dropped)
}

func (rs *requestState) writeAuditRecord(decision string, dropped int64) {
	attrs := []slog.Attr{
		slog.String("decision", decision),
		slog.String("client", rs.identity.Client()),
		slog.String("method", rs.route.method),
		slog.String("route", rs.route.path),
		slog.Int("status", rs.status),
	}
	attrs = append(attrs, rs.traceAttrs()...)
	attrs = append(attrs, slog.String("peer", rs.peerAddr().String()), slog.String("address", remoteAddr(rs.r).String()))
	if decision != decisionAllowed {
		attrs = append(attrs, slog.String("reason", rs.err.Error()))
	}
	if hash := rs.rules.AuditKey.Hash(rs.auditedKey()); hash != "" {
		attrs = append(attrs, slog.String("key", hash))
	}
	if dropped > 0 {
		attrs = append(attrs, slog.Int64("dropped", dropped))
	}
	rs.api.config.Audit.LogAttrs(context.WithoutCancel(rs.r.Context()), slog.LevelInfo, "audit", attrs...)
}

// auditedKey returns the key of the request. It decodes the key if the request was refused before that. The key is empty
// if it cannot be decoded, or if the route has none.
func (rs *requestState) auditedKey() access.Key {
	if rs.key == "" && rs.route.keyed() {
		key, err := parseKey(rs.segment)
		if err != nil {
			return ""
		}
		return key
	}
	return rs.key
}
