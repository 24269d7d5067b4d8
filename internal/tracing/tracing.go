// Package tracing records what the service does for a sampled request, as spans, and sends the spans to an OpenTelemetry
// collector (OTLP over HTTP, in protobuf).
//
//	Tracer.StartRequest ─▶ Span ── Child ──▶ Span … ── End ──▶ queue ──▶ one goroutine ──▶ Sender ──▶ collector
//
// The service is not built on OpenTelemetry's SDK. Its exporter links gRPC, its queue does not say how many spans it drops, and
// environment variables change what it sends and where. Only the messages of OTLP come from OpenTelemetry.
//
// Invariants:
//
//  1. Only a request of a known client has spans. Its caller makes sure of that: see StartRequest.
//  2. No key, value, token or password of a session is in a span. A span contains attributes of attribute.go and nothing else: no
//     text of an error, no event, no header. Each attribute is a name from the configuration, a word or number that the service
//     chooses, or an id of hexadecimal digits.
//  3. No request waits for a collector. The queue is bounded. A span that finds it full is dropped and counted.
//  4. A nil *Tracer and a nil *Span do nothing, so code that is traced costs a comparison while tracing is off.
//
// The package does not defend against a client that marks all its requests as sampled: that fills the queue, and spans of others
// are dropped too. It does not encrypt what the collector stores: a span shows which client did what when, and with which result.
package tracing

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	resourcepb "go.opentelemetry.io/proto/slim/otlp/resource/v1"

	"userinfo/internal/panics"
)

// FlushTimeout is the longest time that Close takes to send what is queued.
const FlushTimeout = 2 * time.Second

// queueSize is how many spans may wait to be sent. They take about 5 MB.
const queueSize = 8192

// Sender sends a batch of spans: an ExportTraceServiceRequest in protobuf. It returns how many spans the collector has not
// accepted although it accepted the batch. An error that wraps ErrRefused means that another attempt cannot help. Sender returns
// soon after ctx ends.
type Sender func(ctx context.Context, batch []byte) (rejected int64, err error)

// Config configures a Tracer. All fields are required, except Panics.
type Config struct {
	// Ratio is the part of the requests without a traceparent that is sampled, from 0 to 1.
	Ratio float64
	// Instance describes this instance in the collector.
	Instance Instance
	Send     Sender
	Now      func() time.Time
	// Random returns an evenly distributed number. It chooses requests and makes ids, so it need not be secret. It must be safe
	// for concurrent use.
	Random   func() uint64
	Registry prometheus.Registerer
	Panics   *panics.Recorder
	Log      *slog.Logger
}

// Instance describes an instance of the service.
type Instance struct {
	// Service is the name of the service in the collector, and Version the version of the program.
	Service, Version string
	// ID is different for each instance.
	ID string
	// Datacentre is the local datacentre, as in Cassandra.
	Datacentre string
}

// Tracer samples requests and sends their spans. It is safe for concurrent use.
type Tracer struct {
	config   Config
	resource *resourcepb.Resource
	metrics  *metrics
	queue    chan *Span
	failures failureLog

	closeOnce sync.Once
	closed    atomic.Bool
	stopping  chan struct{}      // closed when Close begins
	cancel    context.CancelFunc // ends a batch that is being sent
	done      chan struct{}      // closed when nothing is sent any more
}

// New returns a Tracer that sends spans until Close, and registers its metrics.
func New(c Config) *Tracer {
	t := &Tracer{
		config: c, resource: c.Instance.resource(), metrics: newMetrics(c.Registry), queue: make(chan *Span, queueSize),
		failures: failureLog{log: c.Log, now: c.Now}, stopping: make(chan struct{}), done: make(chan struct{}),
	}
	var ctx context.Context
	ctx, t.cancel = context.WithCancel(context.Background())
	go func() {
		defer c.Panics.Recover(panics.Tracing, nil)
		defer close(t.done)
		c.Panics.Loop(ctx, panics.Tracing, t.export)
	}()
	return t
}

// Close sends what is queued, for at most FlushTimeout. Spans that end later are dropped. It may be called more than once.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	t.closeOnce.Do(func() {
		t.closed.Store(true)
		close(t.stopping)
		timeout := time.NewTimer(FlushTimeout)
		defer timeout.Stop()
		select {
		case <-t.done:
		case <-timeout.C:
		}
		t.cancel()
		<-t.done
		t.metrics.drop(dropStopped, len(t.queue))
	})
}

// ClientSpan is the span of the client that sent a request, from its traceparent. The zero ClientSpan stands for a request
// without one.
type ClientSpan struct {
	TraceID, SpanID string // hexadecimal digits
	Sampled         bool
}

// StartRequest starts the span of a request that began at start. It returns nil if the request is not sampled, or if t is nil.
// The caller must only pass requests of known clients, and the traceparent of such a client: so a stranger can neither start
// nor continue a trace. It fails closed: there is no span if the ids of parent are not valid.
//
// If the client sent a traceparent, its flag decides. Otherwise the ratio does. So each trace is recorded as a whole or not at all.
func (t *Tracer) StartRequest(parent ClientSpan, start time.Time, method, route string) *Span {
	if t == nil || !t.samples(parent) {
		return nil
	}
	s := &Span{tracer: t, kind: serverSpan, start: start}
	if parent.TraceID == "" {
		s.traceID = t.newTraceID()
	} else if !s.setParent(parent) {
		return nil
	}
	s.id = t.newSpanID()
	s.name = method + " " + route
	s.attributes = append(make([]Attribute, 0, requestAttributes), text("http.request.method", method), text("http.route", route))
	return s
}

// samples reports whether a request is sampled.
func (t *Tracer) samples(parent ClientSpan) bool {
	if parent.TraceID != "" {
		return parent.Sampled
	}
	const fraction = 1.0 / (1 << 53)
	return float64(t.config.Random()>>11)*fraction < t.config.Ratio
}

// enqueue queues a span that has ended. It never waits.
func (t *Tracer) enqueue(s *Span) {
	if t.closed.Load() {
		t.metrics.drop(dropStopped, 1)
		return
	}
	select {
	case t.queue <- s:
	default:
		t.metrics.drop(dropQueueFull, 1)
	}
}
