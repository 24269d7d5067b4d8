package tracing_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/panics"
	"userinfo/internal/tracing"
	"userinfo/internal/tracing/tracingtest"
)

// Ids of a client's span.
const (
	clientTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan  = "00f067aa0ba902b7"
)

// tracer is a Tracer with what it writes.
type tracer struct {
	*tracing.Tracer
	registry *prometheus.Registry
	log      bytes.Buffer // read it after Close
}

// newTracer returns a Tracer that samples everything.
func newTracer(send tracing.Sender, change func(*tracing.Config)) *tracer {
	t := &tracer{registry: prometheus.NewRegistry()}
	log := slog.New(slog.NewTextHandler(&t.log, nil))
	c := tracing.Config{
		Ratio: 1, Instance: tracing.Instance{Service: "userinfo", Version: "v1", ID: "i", Datacentre: "dc1"}, Send: send,
		Now: time.Now, Random: rand.Uint64, Registry: t.registry, Panics: panics.NewRecorder(t.registry, log), Log: log,
	}
	if change != nil {
		change(&c)
	}
	t.Tracer = tracing.New(c)
	return t
}

// parent returns the span of a client.
func parent(traceID, spanID string, sampled bool) tracing.ClientSpan {
	return tracing.ClientSpan{TraceID: traceID, SpanID: spanID, Sampled: sampled}
}

// span starts and ends the span of a request.
func (t *tracer) span() { t.StartRequest(tracing.ClientSpan{}, time.Now(), "GET", "/r").End() }

// want checks the metrics of sent and dropped spans. A reason that is not named must be 0.
func (t *tracer) want(tb testing.TB, sent int, dropped map[string]int) {
	tb.Helper()
	counts := make(map[string]float64)
	families, err := t.registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if name, ok := strings.CutPrefix(f.GetName(), "userinfo_tracing_spans_"); ok {
				for _, l := range m.GetLabel() {
					name = l.GetValue()
				}
				counts[name] = m.GetCounter().GetValue()
			}
		}
	}
	if len(counts) != 5 || counts["sent_total"] != float64(sent) {
		tb.Errorf("metrics %v; want %d sent", counts, sent)
	}
	for _, reason := range []string{"queue_full", "failed", "rejected", "stopped"} {
		if counts[reason] != float64(dropped[reason]) {
			tb.Errorf("%v were dropped for the reason %s; want %d", counts[reason], reason, dropped[reason])
		}
	}
}

func TestTracer_SamplesByParentThenByRatio(t *testing.T) {
	for _, test := range []struct {
		name   string
		parent tracing.ClientSpan
		ratio  float64
		random uint64
		want   bool
	}{
		{"ratio 1", tracing.ClientSpan{}, 1, 1<<64 - 1, true},
		{"ratio 0", tracing.ClientSpan{}, 0, 1, false},
		{"just below the ratio", tracing.ClientSpan{}, 0.25, 1<<62 - 1, true},
		{"just above the ratio", tracing.ClientSpan{}, 0.25, 1 << 62, false},
		{"the client samples", parent(clientTrace, clientSpan, true), 0, 1, true},
		{"the client does not sample", parent(clientTrace, clientSpan, false), 1, 1, false},
		{"no trace id", parent("", clientSpan, true), 0, 1, false},
		{"a trace id of zeros", parent(strings.Repeat("0", 32), clientSpan, true), 1, 1, false},
		{"a span id of zeros", parent(clientTrace, strings.Repeat("0", 16), true), 1, 1, false},
		{"a short trace id", parent(clientTrace[:30], clientSpan, true), 1, 1, false},
		{"a long span id", parent(clientTrace, clientSpan+"00", true), 1, 1, false},
		{"no digits", parent(strings.Repeat("g", 32), clientSpan, true), 1, 1, false},
		{"no span id", parent(clientTrace, "", true), 1, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			tr := newTracer(new(tracingtest.Collector).Send, func(c *tracing.Config) {
				c.Ratio = test.ratio
				c.Random = func() uint64 { return test.random }
			})
			defer tr.Close()
			if s := tr.StartRequest(test.parent, time.Now(), "GET", "/r"); (s != nil) != test.want {
				t.Errorf("sampled: %v; want %v", s != nil, test.want)
			}
		})
	}
}

func TestTracer_SpansHaveParentsAndAttributes(t *testing.T) {
	var c tracingtest.Collector
	tr := newTracer(c.Send, nil)
	start := time.Now()
	request := tr.StartRequest(parent(clientTrace, clientSpan, true), start, "GET", "/sessions/v1/:key")
	store := request.Child("sessions get", tracing.Internal, start.Add(1))
	attempt := store.Child("cassandra read", tracing.Outgoing, start.Add(2))
	attempt.Set(tracing.Outcome("slow"), tracing.Node("10.0.0.1"))
	attempt.Set(tracing.Outcome("timeout"))
	attempt.Fail()
	attempt.End()
	attempt.End()
	attempt.Set(tracing.Outcome("too late"))
	request.Set(tracing.Status(404), tracing.Client("not UTF-8: \xff"))
	request.End()
	store.End() // after its parent
	own := tr.StartRequest(tracing.ClientSpan{}, start.Add(3), "PUT", "/x")
	own.End()
	own.Fail()
	tr.Close()
	spans := c.Spans(t)
	const want = `GET /sessions/v1/:key 404
  sessions get
    cassandra read timeout 10.0.0.1 failed
PUT /x
`
	if got := tracingtest.Tree(spans, "http.response.status_code", "userinfo.cassandra.outcome", "server.address"); got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
	r := spans[0]
	if r.Trace != clientTrace || r.Parent != clientSpan || !r.HasRemoteParent() || r.Kind != "server" || spans[2].Kind != "client" || spans[1].Kind != "internal" {
		t.Errorf("the request is %+v", r)
	}
	if !r.Start.Equal(start.Truncate(1)) || r.End.Before(r.Start) || time.Since(r.End) > time.Minute {
		t.Errorf("the request began at %v and ended at %v", r.Start, r.End)
	}
	for name, want := range map[string]string{
		"service.name": "userinfo", "service.version": "v1", "service.instance.id": "i", "userinfo.datacentre": "dc1",
		"http.request.method": "GET", "http.route": "/sessions/v1/:key", "userinfo.client": "not UTF-8: \uFFFD",
	} {
		if got := r.Attributes[name]; got != want {
			t.Errorf("%s is %q; want %q", name, got, want)
		}
	}
	if p := spans[3]; p.Trace == clientTrace || len(p.Trace) != 32 || p.Parent != "" || p.HasRemoteParent() || own.TraceID() != p.Trace {
		t.Errorf("a trace of our own: %+v", p)
	}
	tr.want(t, 4, nil)
}

func TestTracer_NilDoesNothing(t *testing.T) {
	var tr *tracing.Tracer
	s := tr.StartRequest(parent(clientTrace, clientSpan, true), time.Now(), "GET", "/r")
	child := s.Child("x", tracing.Internal, time.Now())
	s.Set(tracing.Status(200))
	s.Fail()
	s.End()
	child.End()
	tr.Close()
	ctx := tracing.NewContext(t.Context(), s)
	if s != nil || child != nil || s.TraceID() != "" || ctx != t.Context() || tracing.FromContext(ctx) != nil {
		t.Error("a nil Tracer has spans")
	}
}

// TestTracer_FullQueueDropsAndDoesNotWait uses a collector that never answers.
func TestTracer_FullQueueDropsAndDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracer(func(ctx context.Context, _ []byte) (int64, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}, nil)
		tr.span()
		time.Sleep(time.Minute) // the first batch, of one span, is being sent
		start := time.Now()
		const surplus = 1000
		for range tracing.QueueSize + surplus {
			tr.span()
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("requests have waited for %v", waited)
		}
		tr.want(t, 0, map[string]int{"queue_full": surplus})
		start = time.Now()
		tr.Close()
		if took := time.Since(start); took != tracing.FlushTimeout {
			t.Errorf("Close took %v; want %v", took, tracing.FlushTimeout)
		}
		tr.span()
		tr.Close()
		tr.want(t, 0, map[string]int{"queue_full": surplus, "failed": tracing.QueueSize + 1, "stopped": 1})
	})
}

func TestTracer_CloseSendsWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c tracingtest.Collector
		tr := newTracer(c.Send, nil)
		start := time.Now()
		for range 3*tracing.MaxBatch + 1 {
			tr.span()
		}
		tr.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if n := len(c.Spans(t)); n != 3*tracing.MaxBatch+1 {
			t.Errorf("%d spans were sent", n)
		}
		tr.want(t, 3*tracing.MaxBatch+1, nil)
	})
}

// TestTracer_TriesAgain uses a collector that fails for a number of attempts.
func TestTracer_TriesAgain(t *testing.T) {
	down := errors.New("connection refused")
	for _, test := range []struct {
		name  string
		fails int
		err   error
		tries int
		took  time.Duration // from the first attempt to the last one
	}{
		{"a collector that is away once", 1, down, 2, tracing.FirstPause},
		{"a collector that is away for some time", 3, down, 4, 7 * tracing.FirstPause},
		{"a collector that stays away", 100, down, tracing.MaxTries, 15 * tracing.FirstPause},
		{"a collector that refuses", 100, tracing.ErrRefused, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var times []time.Time
				tr := newTracer(func(context.Context, []byte) (int64, error) {
					times = append(times, time.Now())
					if len(times) <= test.fails {
						return 0, test.err
					}
					return 0, nil
				}, nil)
				tr.span()
				time.Sleep(time.Hour)
				tr.Close()
				if len(times) != test.tries || times[len(times)-1].Sub(times[0]) != test.took {
					t.Errorf("attempts at %v; want %d in %v", times, test.tries, test.took)
				}
				if test.fails < test.tries {
					tr.want(t, 1, nil)
				} else {
					tr.want(t, 0, map[string]int{"failed": 1})
				}
			})
		})
	}
}

func TestTracer_LogsFailuresRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Bool
		tr := newTracer(func(context.Context, []byte) (int64, error) {
			if !back.Load() {
				return 0, errors.New("connection refused")
			}
			return 0, nil
		}, nil)
		for range 3600 {
			tr.span()
			time.Sleep(time.Second)
		}
		back.Store(true)
		time.Sleep(time.Minute)
		tr.Close()
		log := tr.log.String()
		failures, most := strings.Count(log, "does not take spans"), int(time.Hour/tracing.FailureLogInterval)+1
		if failures < 2 || failures > most || strings.Count(log, "takes spans again") != 1 || strings.Count(log, "\n") != failures+1 {
			t.Errorf("in an hour, at most %d records are expected, and one at the end:\n%s", most, log)
		}
		if !strings.Contains(log, "connection refused") {
			t.Errorf("the log does not say why:\n%s", log)
		}
	})
}

func TestTracer_CountsRejectedSpans(t *testing.T) {
	for rejected, want := range map[int64]int{2: 2, -1: 0, 1000: 3} {
		synctest.Test(t, func(t *testing.T) {
			tr := newTracer(func(context.Context, []byte) (int64, error) { return rejected, nil }, nil)
			for range 3 {
				tr.span()
			}
			tr.Close()
			tr.want(t, 3-want, map[string]int{"rejected": want})
		})
	}
}

func TestTracer_GoesOnAfterPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		tr := newTracer(func(context.Context, []byte) (int64, error) {
			if calls++; calls == 1 {
				panic("once")
			}
			return 0, nil
		}, nil)
		tr.span()
		time.Sleep(panics.Pause + time.Minute)
		tr.span()
		time.Sleep(time.Minute)
		tr.Close()
		tr.want(t, 1, map[string]int{"failed": 1})
		if calls != 2 {
			t.Errorf("%d batches; want 2", calls)
		}
	})
}

// BenchmarkSpan_Off measures everything that a get of an unsampled request does for tracing while tracing is off.
func BenchmarkSpan_Off(b *testing.B) {
	var tr *tracing.Tracer
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		s := tr.StartRequest(tracing.ClientSpan{}, time.Time{}, "GET", "/r")
		if tracing.FromContext(tracing.NewContext(ctx, s)) != nil {
			b.Fatal("a span")
		}
		s.End()
	}
}

// BenchmarkSpan_On measures the four spans of a sampled get, and sending them to a collector that does nothing.
func BenchmarkSpan_On(b *testing.B) {
	tr := newTracer(func(context.Context, []byte) (int64, error) { return 0, nil }, nil)
	defer tr.Close()
	b.ReportAllocs()
	for b.Loop() {
		now := time.Now()
		s := tr.StartRequest(tracing.ClientSpan{}, now, "GET", "/r")
		for _, name := range []string{"access", "sessions get", "cassandra read"} {
			c := s.Child(name, tracing.Internal, now)
			c.Set(tracing.Resource("sessions"), tracing.Action("get"))
			c.End()
		}
		s.Set(tracing.Status(200), tracing.Client("c"))
		s.End()
	}
}
