package api

import (
	"context"
	"log/slog"
	"strings"

	"github.com/google/uuid"
)

// Headers that identify a request, in the canonical form of net/http. Every response has the first one.
const (
	requestIDHeader   = "X-Request-Id"
	traceparentHeader = "Traceparent" // W3C Trace Context, https://www.w3.org/TR/trace-context/
)

// trace identifies a request in logs, audit records and problem documents. A client may send the same ids with every
// request, so ids need not be unique.
type trace struct {
	requestID string // a UUID (RFC 9562) in lower case: the client's, or a random one
	traceID   string // of the client's traceparent, or of our own trace if the request is sampled; otherwise empty
	parentID  string // of the client's traceparent: the client's span
}

// attrs returns the fields of log and audit records.
func (t trace) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("request_id", t.requestID)}
	if t.traceID != "" {
		attrs = append(attrs, slog.String("trace_id", t.traceID))
	}
	if t.parentID != "" {
		attrs = append(attrs, slog.String("parent_id", t.parentID))
	}
	return attrs
}

// adoptTrace uses the ids that the client sent. It fails closed: it ignores the ids of an unauthenticated request, ids that
// cannot be parsed and ids that are sent twice. So only authenticated clients choose text in the log and in spans, and only
// hexadecimal digits. It starts the span of the request.
func (rs *requestState) adoptTrace() {
	if !rs.isAuthenticated() {
		return
	}
	if id, ok := parseRequestID(rs.r.Header[requestIDHeader]); ok && rs.trace.requestID == "" {
		rs.trace.requestID = id
	}
	var ok bool
	values := rs.r.Header[traceparentHeader]
	rs.trace.traceID, rs.trace.parentID, ok = parseTraceparent(values)
	rs.startSpan(ok && isSampled(values[0]))
}

// requestID returns the id of the request. It makes one if the client has sent none. The response, the log and the audit
// record show the same id.
func (rs *requestState) requestID() string {
	if rs.trace.requestID == "" {
		id, err := uuid.NewRandomFromReader(rs.api.config.Random)
		if err != nil {
			rs.api.config.Log.Error("cannot make a request id: the source of randomness failed", "error", err)
		}
		rs.trace.requestID = id.String()
	}
	return rs.trace.requestID
}

// traceAttrs returns the fields of log and audit records.
func (rs *requestState) traceAttrs() []slog.Attr {
	rs.requestID()
	return rs.trace.attrs()
}

// parseRequestID parses the values of X-Request-Id. It accepts one UUID of any version (Envoy changes the version digit),
// except the nil UUID and the max UUID, and returns it in lower case.
func parseRequestID(values []string) (id string, ok bool) {
	if len(values) != 1 || len(values[0]) != len(uuid.Nil.String()) { // uuid.Parse accepts longer forms
		return "", false
	}
	parsed, err := uuid.Parse(values[0])
	if err != nil || parsed == uuid.Nil || parsed == uuid.Max {
		return "", false
	}
	return parsed.String(), true
}

// Positions in a traceparent.
const (
	traceIDStart   = 3  // after the version and a hyphen
	parentIDStart  = 36 // after 32 digits and a hyphen
	flagsStart     = 53 // after 16 digits and a hyphen
	traceparentEnd = 55 // after 2 digits
)

// parseTraceparent parses the values of traceparent. It accepts one value:
//
//	00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//	version, trace id, parent id, flags; digits are in lower case
//
// Neither id may be all zeros. The version ff is invalid. A version after 00 may have more fields, each after a hyphen;
// they are ignored.
func parseTraceparent(values []string) (traceID, parentID string, ok bool) {
	if len(values) != 1 || len(values[0]) < traceparentEnd {
		return "", "", false
	}
	s := values[0]
	version, traceID, parentID := s[:traceIDStart-1], s[traceIDStart:parentIDStart-1], s[parentIDStart:flagsStart-1]
	hyphens := s[traceIDStart-1] == '-' && s[parentIDStart-1] == '-' && s[flagsStart-1] == '-'
	rest := s[traceparentEnd:]
	if !hyphens || !isLowerHex(version+traceID+parentID+s[flagsStart:traceparentEnd]) || version == "ff" ||
		rest != "" && (version == "00" || rest[0] != '-') || strings.Trim(traceID, "0") == "" || strings.Trim(parentID, "0") == "" {
		return "", "", false
	}
	return traceID, parentID, true
}

// isSampled returns the flag of a traceparent that parseTraceparent accepts: whether the client records the trace. It is the
// lowest bit of the flags.
func isSampled(traceparent string) bool {
	return strings.IndexByte("13579bdf", traceparent[traceparentEnd-1]) >= 0
}

func isLowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// traceKey is the context key of a request's trace.
type traceKey struct{}

// LogHandler returns a slog.Handler that adds the ids of a request to the records that the store logs while it serves the
// request.
func LogHandler(next slog.Handler) slog.Handler { return traceHandler{next} }

type traceHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if t, ok := ctx.Value(traceKey{}).(trace); ok {
		r = r.Clone()
		r.AddAttrs(t.attrs()...)
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}
