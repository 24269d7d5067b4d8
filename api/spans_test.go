package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/internal/tracing"
	"userinfo/internal/tracing/tracingtest"
	"userinfo/store"
)

// Parts of clientTrace.
const (
	clientTraceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientParentID = "00f067aa0ba902b7"
)

// unsampled is clientTrace of a client that does not record the trace.
var unsampled = clientTrace[:len(clientTrace)-2] + "00"

func TestSpans_ShowRequestAccessAndStore(t *testing.T) {
	for _, test := range []struct {
		name, method, path string
		token              access.Token
		setup              setup
		header             []string
		want               string
	}{
		{"a get", "GET", "/sessions/v1/k", wiki, setup{store: new(recorder).store()}, nil, `GET /sessions/v1/:key 200 wiki
  access allowed
  sessions get
`},
		{"a set", "PUT", "/sessions/v1/k", wiki, setup{}, nil, `PUT /sessions/v1/:key 204 wiki
  access allowed
  sessions set
`},
		{"a touch of nothing", "PATCH", "/sessions/v1/k", wiki, setup{}, []string{"TTL", "60"}, `PATCH /sessions/v1/:key 404 not-found wiki
  access allowed
  sessions touch not-found
`},
		{"a delete", "DELETE", "/sessions/v1/k", wiki, setup{}, nil, `DELETE /sessions/v1/:key 204 wiki
  access allowed
  sessions delete
`},
		{"a delete that is not everywhere", "DELETE", "/sessions/v1/k", wiki, setup{store: failing(store.ErrNotEverywhere)}, nil,
			`DELETE /sessions/v1/:key 503 not-everywhere wiki failed
  access allowed
  sessions delete not-everywhere failed
`},
		{"a foreign key", "GET", "/sessions/v1/k", enwiki, setup{}, nil, `GET /sessions/v1/:key 403 forbidden enwiki
  access denied forbidden
`},
		{"no grant", "DELETE", "/sessions/v1/k", reader, setup{}, nil, `DELETE /sessions/v1/:key 403 forbidden reader
  access denied forbidden
`},
		{"a key that is too long", "GET", "/sessions/v1/" + strings.Repeat("k", MaxKeyBytes+1), wiki, setup{}, nil, `GET /sessions/v1/:key 414 key-too-long wiki
  access key-too-long
`},
		{"a store that fails", "GET", "/sessions/v1/k", wiki, setup{store: failing(store.ErrUnavailable)}, nil, `GET /sessions/v1/:key 503 unavailable wiki failed
  access allowed
  sessions get unavailable failed
`},
		{"a panic", "GET", "/sessions/v1/k", wiki, setup{store: stub(func(context.Context, call) (store.Value, error) { panic(planted) })}, nil,
			`GET /sessions/v1/:key 500 internal wiki failed
  access allowed
  sessions get internal failed
`},
		{"metrics", "GET", "/metrics", prom, setup{}, nil, `GET /metrics 200 prometheus
  access allowed
`},
		{"metrics without the grant", "GET", "/metrics", wiki, setup{}, nil, `GET /metrics 403 forbidden wiki
  access denied forbidden
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c tracingtest.Collector
			test.setup.tracer = c.New(1)
			defer test.setup.tracer.Close()
			s := newAPI(t, test.setup)
			got := s.serve(test.method, test.path, as(test.token, test.header...))
			test.setup.tracer.Close()
			spans := c.Spans(t)
			if tree := tracingtest.Tree(spans, "userinfo.access.decision", "http.response.status_code", "error.type", "userinfo.client"); tree != test.want {
				t.Errorf("status %d; got\n%swant\n%s", got.status, tree, test.want)
			}
			// The log names the trace, also if the client sent none.
			if log := idsIn(t, s.logs.String()); len(log) == 0 || log[len(log)-1].TraceID != spans[0].Trace || log[len(log)-1].ParentID != "" ||
				log[len(log)-1].RequestID != spans[0].Attributes["userinfo.request_id"] {
				t.Errorf("the log has %v; the span is %+v", log, spans[0])
			}
		})
	}
}

// TestSpans_OfLimitedRequest uses up a client's requests.
func TestSpans_OfLimitedRequest(t *testing.T) {
	var c tracingtest.Collector
	tracer := c.New(1)
	defer tracer.Close()
	now := time.Now()
	s := newAPI(t, setup{tracer: tracer, store: new(recorder).store(), limits: access.Limits{RequestsPerSecond: 1}, now: func() time.Time { return now }})
	for _, want := range []int{200, 429} {
		if got := s.serve("GET", "/sessions/v1/k", as(wiki)); got.status != want {
			t.Fatalf("status %d; want %d", got.status, want)
		}
	}
	tracer.Close()
	const want = `GET /sessions/v1/:key
  access allowed
  sessions get
GET /sessions/v1/:key too-many-requests
  access limited too-many-requests
`
	if tree := tracingtest.Tree(c.Spans(t), "userinfo.access.decision", "error.type"); tree != want {
		t.Errorf("got\n%swant\n%s", tree, want)
	}
}

// TestSpans_TraceparentOfKnownClientDecides sends a traceparent with both flags, and none.
func TestSpans_TraceparentOfKnownClientDecides(t *testing.T) {
	for _, test := range []struct {
		name  string
		value string
		ratio float64
		want  bool // that there are spans
		child bool // of the client's span
	}{
		{"the client records", clientTrace, 0, true, true},
		{"the client does not record", unsampled, 1, false, false},
		{"none, ratio 1", "", 1, true, false},
		{"none, ratio 0", "", 0, false, false},
		{"invalid, ratio 1", clientTrace + "-", 1, true, false},
		{"invalid, ratio 0", clientTrace + "-", 0, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c tracingtest.Collector
			tracer := c.New(test.ratio)
			defer tracer.Close()
			header := as(wiki)
			if test.value != "" {
				header.Set("traceparent", test.value)
			}
			newAPI(t, setup{tracer: tracer, store: new(recorder).store()}).serve("GET", "/sessions/v1/k", header)
			tracer.Close()
			spans := c.Spans(t)
			if (len(spans) == 3) != test.want || !test.want && len(spans) > 0 {
				t.Fatalf("%d spans", len(spans))
			}
			if !test.want {
				return
			}
			request := spans[0]
			if isChild := request.Trace == clientTraceID && request.Parent == clientParentID && request.HasRemoteParent(); isChild != test.child ||
				!test.child && (request.Parent != "" || request.HasRemoteParent() || request.Trace == clientTraceID) {
				t.Errorf("the span of the request is %+v", request)
			}
		})
	}
}

// TestSpans_StrangerHasNone sends a sampled traceparent, with a ratio of 1. It can neither start nor continue a trace.
func TestSpans_StrangerHasNone(t *testing.T) {
	for _, test := range []struct {
		name, method, path string
		token              access.Token
		setup              setup
	}{
		{"an unknown token", "GET", "/sessions/v1/k", "unknown", setup{}},
		{"no credential", "GET", "/sessions/v1/k", "", setup{}},
		{"no credential, where none is needed", "GET", "/healthz", "", setup{policy: healthOf(access.Alternative{Network: []string{"192.0.2.0/24"}})}},
		{"health, although the client is known", "GET", "/healthz", wiki, setup{policy: healthOf(access.Alternative{Token: new(true)})}},
		{"an unknown path", "GET", "/nothing", wiki, setup{}},
		{"an unknown method", "OPTIONS", "/sessions/v1/k", wiki, setup{}},
		{"a query string", "GET", "/sessions/v1/k?x", wiki, setup{}},
		{"another host", "GET", "https://elsewhere.example/sessions/v1/k", wiki, setup{}},
		{"overload", "GET", "/sessions/v1/k", wiki, setup{maxInFlight: -1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c tracingtest.Collector
			test.setup.tracer = c.New(1)
			header := traced(test.token)
			if test.token == "" {
				header.Del("Authorization")
			}
			got := newAPI(t, test.setup).serve(test.method, test.path, header)
			test.setup.tracer.Close()
			if spans := c.Spans(t); len(spans) > 0 {
				t.Errorf("status %d, and there are spans:\n%s", got.status, tracingtest.Tree(spans))
			}
		})
	}
}

func TestRequestState_StartSpanFailsClosed(t *testing.T) {
	var c tracingtest.Collector
	tracer := c.New(1)
	defer tracer.Close()
	s := newAPI(t, setup{tracer: tracer})
	rs := &requestState{api: s.api, route: &route{}, r: httptest.NewRequest("GET", "/", nil)} // the zero Identity
	rs.startSpan(true)
	if rs.span != nil {
		t.Error("a request without a client has a span")
	}
}

// BenchmarkGetTraced measures a get with tracing off, and with some ratios. The spans are encoded and discarded. The CPU time
// includes that. docs/performance.md has the result.
func BenchmarkGetTraced(b *testing.B) {
	for _, of := range []struct {
		name   string
		tracer func() *tracing.Tracer
	}{
		{"off", func() *tracing.Tracer { return nil }},
		{"ratio=0.01", func() *tracing.Tracer { return tracingtest.NewDiscarding(0.01) }},
		{"ratio=1", func() *tracing.Tracer { return tracingtest.NewDiscarding(1) }},
	} {
		b.Run(of.name, func(b *testing.B) {
			tracer := of.tracer()
			defer tracer.Close()
			s := newAPI(b, setup{level: quiet, tracer: tracer})
			if got := s.serve("PUT", "/sessions/v1/enwiki%3AMWSession%3Aabc", as(wiki)); got.status != http.StatusNoContent {
				b.Fatalf("setting: %d", got.status)
			}
			before := cpu(b)
			bench(b, s, benchRequest("GET", "/sessions/v1/enwiki%3AMWSession%3Aabc"), http.StatusOK)
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}
