package coordinator

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"userinfo/internal/tracing"
)

// Why an attempt began, in spans.
const (
	firstAttempt = "first"
	retryAttempt = "retry"
	hedgeAttempt = "hedge"
	probeAttempt = "probe"
)

// outcomeCancelled is the outcome, in spans only, of an attempt that was not needed any more.
const outcomeCancelled = "cancelled"

// attemptWord says why an attempt begins. earlier is how many attempts the call has made.
func attemptWord(earlier int, hedge bool) string {
	switch {
	case earlier == 0:
		return firstAttempt
	case hedge:
		return hedgeAttempt
	}
	return retryAttempt
}

// newAttemptSpan starts the span of an attempt of a sampled request.
func newAttemptSpan(parent *tracing.Span, p CallPolicy, word string, began time.Time) *tracing.Span {
	s := parent.Child(strings.TrimSpace("cassandra "+p.Statement), tracing.Outgoing, began)
	s.Set(tracing.Cassandra(), tracing.Attempt(word))
	if p.Statement != "" {
		s.Set(tracing.Statement(p.Statement), tracing.Consistency(strings.ToLower(p.Consistency.String())))
	}
	return s
}

// startProbeSpan starts the span of a probe, or returns nil if the request is not sampled.
func (c *hedgedCall[T]) startProbeSpan(host *gocql.HostInfo) *tracing.Span {
	if c.span == nil {
		return nil
	}
	s := newAttemptSpan(c.span, c.policy, probeAttempt, time.Now())
	setNode(s, host, c.runner.nodes.node(host.HostID()))
	return s
}

// setNode adds the node that an attempt asks, and the state of its circuit breaker before it is asked.
func setNode(s *tracing.Span, host *gocql.HostInfo, n *node) {
	s.Set(tracing.Node(host.ConnectAddress().String()), tracing.Breaker(n.breaker.open()))
}

// endSpan ends the span of an attempt whose statement has returned err.
func (a *attempt) endSpan(err error) {
	if a.span == nil {
		return
	}
	if err == nil || !a.wasCancelled(err) || errors.Is(err, context.DeadlineExceeded) {
		endAttemptSpan(a.span, outcomeOf(err), err != nil)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.superseded:
		endAttemptSpan(a.span, outcomeSuperseded, false)
	case a.slow:
		endAttemptSpan(a.span, outcomeSlow, false)
	default:
		a.span.Set(tracing.Outcome(outcomeCancelled))
		a.span.End()
	}
}

// endAttemptSpan ends the span of an attempt or a probe. s may be nil.
func endAttemptSpan(s *tracing.Span, o outcome, failed bool) {
	if s == nil {
		return
	}
	s.Set(tracing.Outcome(outcomeNames[o]))
	if failed {
		s.Set(tracing.Problem(outcomeNames[o]))
		s.Fail()
	}
	s.End()
}
