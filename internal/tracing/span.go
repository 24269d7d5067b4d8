package tracing

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// Kind says on which side of a call a span is.
type Kind int

const (
	// Internal is work inside the service.
	Internal Kind = iota
	// Outgoing is a request of the service to another program, seen from the service.
	Outgoing
	// serverSpan is a request to the service. StartRequest makes it.
	serverSpan
)

// requestAttributes is how many attributes the span of a request usually has.
const requestAttributes = 8

// Span is a part of the work for one request. All methods are safe for concurrent use, and do nothing if the span is nil.
type Span struct {
	tracer       *Tracer
	traceID      traceID
	id, parent   spanID // parent is zero if the span has none
	remoteParent bool   // the parent is the client's span
	kind         Kind
	name         string
	start        time.Time

	mu         sync.Mutex // guards the fields below, until End
	end        time.Time
	attributes []Attribute
	failed     bool
	ended      bool
}

type (
	traceID [16]byte
	spanID  [8]byte
)

// newTraceID returns a random id. It is not zero, which would be invalid.
func (t *Tracer) newTraceID() (id traceID) {
	for id == (traceID{}) {
		binary.BigEndian.PutUint64(id[:8], t.config.Random())
		binary.BigEndian.PutUint64(id[8:], t.config.Random())
	}
	return id
}

// newSpanID returns a random id. It is not zero, which would be invalid.
func (t *Tracer) newSpanID() (id spanID) {
	for id == (spanID{}) {
		binary.BigEndian.PutUint64(id[:], t.config.Random())
	}
	return id
}

// setParent makes s a child of the client's span. It returns false if the ids are not valid.
func (s *Span) setParent(p ClientSpan) bool {
	trace, err := hex.DecodeString(p.TraceID)
	if err != nil || len(trace) != len(s.traceID) {
		return false
	}
	span, err := hex.DecodeString(p.SpanID)
	if err != nil || len(span) != len(s.parent) {
		return false
	}
	s.traceID, s.parent, s.remoteParent = traceID(trace), spanID(span), true
	return s.traceID != (traceID{}) && s.parent != (spanID{})
}

// TraceID returns the id of the trace in hexadecimal digits, or an empty string if s is nil.
func (s *Span) TraceID() string {
	if s == nil {
		return ""
	}
	return hex.EncodeToString(s.traceID[:])
}

// Child returns a new span inside s, or nil if s is nil. It may end after s.
func (s *Span) Child(name string, kind Kind, start time.Time) *Span {
	if s == nil {
		return nil
	}
	return &Span{tracer: s.tracer, traceID: s.traceID, id: s.tracer.newSpanID(), parent: s.id, kind: kind, name: name, start: start}
}

// Set sets attributes. An attribute that the span has already is replaced. After End, Set does nothing.
//
// The arguments are made even if s is nil: compare s with nil first where that costs too much.
func (s *Span) Set(attributes ...Attribute) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	for _, a := range attributes {
		s.set(a)
	}
}

// set sets one attribute. The caller holds mu.
func (s *Span) set(a Attribute) {
	for i := range s.attributes {
		if s.attributes[i].name == a.name {
			s.attributes[i] = a
			return
		}
	}
	s.attributes = append(s.attributes, a)
}

// Fail marks the span as failed by a fault of the service or of Cassandra. A refusal is no failure.
func (s *Span) Fail() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = s.failed || !s.ended
}

// End ends the span and queues it. Only the first call counts.
func (s *Span) End() {
	if s == nil {
		return
	}
	if s.finish() {
		s.tracer.enqueue(s)
	}
}

// finish sets the end of the span. It returns false if the span had ended before. From its return on, nothing changes the span.
func (s *Span) finish() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.ended = true
	s.end = s.tracer.config.Now()
	return true
}

// spanKey is the context key of a span.
type spanKey struct{}

// NewContext returns a context that carries s, or ctx itself if s is nil.
func NewContext(ctx context.Context, s *Span) context.Context {
	if s == nil {
		return ctx
	}
	return context.WithValue(ctx, spanKey{}, s)
}

// FromContext returns the span that ctx carries, or nil.
func FromContext(ctx context.Context) *Span {
	s, _ := ctx.Value(spanKey{}).(*Span)
	return s
}
