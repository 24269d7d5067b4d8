package api

import (
	"context"
	"net/http"

	"userinfo/access"
	"userinfo/internal/tracing"
)

// The spans of a request, if it is sampled; see package tracing:
//
//	GET /sessions/v1/:key          the request
//	├── access                     from the begin of the request to the decision of access.Authorize
//	└── sessions get               the call of the store
//	    ├── cassandra read         an attempt at Cassandra; see package coordinator
//	    └── cassandra read         a hedged attempt
//
// A request has no spans if it is refused before it is authenticated, if it needs no client, or if it is for a health resource.

// startSpan starts the span of the request, if it is sampled. sampled is the flag of the client's traceparent. It fails closed:
// a request that is not authenticated has no span, so a stranger can neither start nor continue a trace.
func (rs *requestState) startSpan(sampled bool) {
	if rs.api.config.Tracer == nil || rs.route.health || !rs.isAuthenticated() {
		return
	}
	parent := tracing.ClientSpan{TraceID: rs.trace.traceID, SpanID: rs.trace.parentID, Sampled: sampled}
	rs.span = rs.api.config.Tracer.StartRequest(parent, rs.start, rs.route.method, rs.route.path)
	if rs.span != nil {
		rs.trace.traceID = rs.span.TraceID() // the log shows it also if the client sent none
	}
}

// endSpan ends the span of the request, and the span of the store if a panic has left it open.
func (rs *requestState) endSpan() {
	if rs.span == nil {
		return
	}
	if rs.storeSpan != nil {
		rs.endStoreSpan(rs.err)
	}
	rs.span.Set(tracing.Status(rs.status), tracing.Client(rs.identity.Client()), tracing.RequestID(rs.requestID()))
	if rs.status >= http.StatusBadRequest {
		setProblem(rs.span, rs.err)
	}
	rs.span.End()
}

// traceAccess records the access decision about an action on a resource as a span. err is the error of the decision.
func (rs *requestState) traceAccess(resource string, action access.Action, err error) {
	if rs.span == nil {
		return
	}
	s := rs.span.Child("access", tracing.Internal, rs.start)
	s.Set(tracing.Resource(resource), tracing.Action(string(action)))
	if err == nil || isRefusal(err) { // other errors, such as an invalid key, are found before the decision
		s.Set(tracing.Decision(decisionOf(err)))
	}
	setProblem(s, err)
	s.End()
}

// startStoreSpan starts the span of a call of the store, and returns a context that carries it.
func (rs *requestState) startStoreSpan(ctx context.Context, collection string, action access.Action) context.Context {
	if rs.span == nil {
		return ctx
	}
	rs.storeSpan = rs.span.Child(collection+" "+string(action), tracing.Internal, rs.api.config.Now())
	rs.storeSpan.Set(tracing.Resource(collection), tracing.Action(string(action)))
	return tracing.NewContext(ctx, rs.storeSpan)
}

// endStoreSpan ends the span of a call of the store, which has returned err.
func (rs *requestState) endStoreSpan(err error) {
	if rs.storeSpan == nil {
		return
	}
	setProblem(rs.storeSpan, err)
	rs.storeSpan.End()
	rs.storeSpan = nil
}

// setProblem adds the type of the problem document for err. The text of err is never part of a span. A span has failed if the
// problem is the service's or Cassandra's fault.
func setProblem(s *tracing.Span, err error) {
	if err == nil {
		return
	}
	p := problemFor(err)
	s.Set(tracing.Problem(p.Type[len(problemBase):]))
	if p.Status >= http.StatusInternalServerError {
		s.Fail()
	}
}
