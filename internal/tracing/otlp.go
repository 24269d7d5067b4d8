package tracing

import (
	"strings"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Bits of Span.flags in OTLP.
const (
	flagSampled     = 1 << 0
	flagKnowsRemote = 1 << 8 // flagRemote is valid
	flagRemote      = 1 << 9 // the parent is in another process
)

// instrumentationScope is the name of the code that makes the spans.
const instrumentationScope = "userinfo"

var otlpKinds = [...]tracepb.Span_SpanKind{
	Internal: tracepb.Span_SPAN_KIND_INTERNAL, Outgoing: tracepb.Span_SPAN_KIND_CLIENT, serverSpan: tracepb.Span_SPAN_KIND_SERVER,
}

// resource returns the description of this instance that each batch contains.
func (i Instance) resource() *resourcepb.Resource {
	return &resourcepb.Resource{Attributes: messages([]Attribute{
		text("service.name", i.Service), text("service.version", i.Version), text("service.instance.id", i.ID), text("userinfo.datacentre", i.Datacentre),
	})}
}

// encode returns an ExportTraceServiceRequest. The only possible error is text that is not UTF-8, which message prevents.
func (t *Tracer) encode(batch []*Span) ([]byte, error) {
	spans := make([]*tracepb.Span, len(batch))
	for i, s := range batch {
		spans[i] = s.message()
	}
	return proto.Marshal(&collectorpb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: t.resource,
		ScopeSpans: []*tracepb.ScopeSpans{{
			Scope: &commonpb.InstrumentationScope{Name: instrumentationScope, Version: t.config.Instance.Version},
			Spans: spans,
		}},
	}}})
}

// message returns a span that has ended. The duration comes from the monotonic clock, so that a step of the clock cannot make it
// negative.
func (s *Span) message() *tracepb.Span {
	m := &tracepb.Span{
		TraceId:           s.traceID[:],
		SpanId:            s.id[:],
		Flags:             flagSampled | flagKnowsRemote,
		Name:              valid(s.name),
		Kind:              otlpKinds[s.kind],
		StartTimeUnixNano: uint64(s.start.UnixNano()),
		EndTimeUnixNano:   uint64(s.start.Add(max(s.end.Sub(s.start), 0)).UnixNano()),
		Attributes:        messages(s.attributes),
	}
	if s.parent != (spanID{}) {
		m.ParentSpanId = s.parent[:]
	}
	if s.remoteParent {
		m.Flags |= flagRemote
	}
	if s.failed {
		m.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}
	}
	return m
}

// messages returns attributes as messages of OTLP.
func messages(attributes []Attribute) []*commonpb.KeyValue {
	all := make([]*commonpb.KeyValue, len(attributes))
	for i, a := range attributes {
		v := &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: valid(a.text)}}
		if a.text == "" && a.number != 0 {
			v.Value = &commonpb.AnyValue_IntValue{IntValue: a.number}
		}
		all[i] = &commonpb.KeyValue{Key: a.name, Value: v}
	}
	return all
}

// valid returns s as UTF-8, which protobuf requires.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
