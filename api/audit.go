package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"userinfo/access"
	"userinfo/passwords"
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

// decisionOf returns the decision about a request that ended with err.
func decisionOf(err error) string {
	switch {
	case errors.Is(err, passwords.ErrWrong):
		return decisionDenied
	case errors.Is(err, passwords.ErrTooManyGuesses):
		return decisionLimited
	case !isRefusal(err):
		return decisionAllowed
	case problemFor(err).Status == http.StatusTooManyRequests:
		return decisionLimited
	}
	return decisionDenied
}

// AuditLog writes audit records. Its methods never wait, and are safe for concurrent use.
type AuditLog interface {
	// Reserve makes room for the record of a request, before anything is done. It returns true if the caller must call
	// Record or Release once. It returns an error if the request must not be served, because its record might be lost.
	// Otherwise the record is dropped and counted.
	Reserve(refusal bool) (reserved bool, err error)
	// Record writes a record in the room that was reserved.
	Record(context.Context, ...slog.Attr)
	// Release gives back the room that was reserved.
	Release()
	// Check returns an error while records cannot be written.
	Check() error
}

// reserveRecord makes room for the audit record of a request that is about to be served. It fails closed: it returns
// errAuditUnavailable if the record might be lost, unless the configuration allows that.
func (rs *requestState) reserveRecord() error {
	reserved, err := rs.api.config.Audit.Reserve(false)
	if err != nil {
		return fmt.Errorf("%w: %w", errAuditUnavailable, err)
	}
	rs.recordReserved = reserved
	return nil
}

// auditRefusal counts a refusal and makes room for its audit record. It returns the error to answer: err, or
// errAuditUnavailable if the record might be lost. So nobody can try credentials or keys without leaving records. It fails
// closed.
func (rs *requestState) auditRefusal(err error) error {
	now := rs.api.config.Now()
	client := rs.api.limiter.client(rs.identity, now)
	client.refuse(now, problemFor(err).Status)
	if rs.recordReserved { // the store has refused a delete
		return err
	}
	reserved, unavailable := rs.api.config.Audit.Reserve(true)
	if unavailable != nil {
		return fmt.Errorf("%w: %w: %w", errAuditUnavailable, unavailable, err)
	}
	if !reserved {
		return err
	}
	dropped, ok := client.allowAuditRecord(now)
	if !ok {
		rs.api.config.Audit.Release()
		return err
	}
	rs.recordReserved, rs.recordsDropped = true, dropped
	return err
}

// audit writes the audit record of the request if there is room for one. There is room for the record of each delete and of
// each request about a password that was authorized, whether or not it succeeded, and of each refusal, unless the client has
// caused too many. The fields are:
//
//	decision  allowed, denied or limited
//	reason    of a refusal
//	client    empty if the request is not authenticated
//	method, route, status
//	request_id, trace_id, parent_id: see trace
//	peer      address of the connection's peer, which may be a proxy
//	address   address that the request comes from: from the PROXY protocol, or the peer's
//	key       keyed hash of the session key or the user name; see access.AuditKey.Hash
//	dropped   records of this client that were dropped since the last one, because there were too many
func (rs *requestState) audit() {
	if !rs.recordReserved {
		return
	}
	decision := decisionOf(rs.err)
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
	if rs.recordsDropped > 0 {
		attrs = append(attrs, slog.Int64("dropped", rs.recordsDropped))
	}
	rs.api.config.Audit.Record(context.WithoutCancel(rs.r.Context()), attrs...)
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
