package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/internal/tracing/tracingtest"
	"userinfo/store"
)

// planted is in every key, value and header of the requests below, and in errors of the store. It must not be in any span.
const planted = "planted-secret"

// brokenRows are rows that fail or panic when the test wants, with a text that contains planted.
type brokenRows struct {
	store.Rows
	fails, panics atomic.Bool
}

func (r *brokenRows) err() error {
	if r.panics.Load() {
		panic(planted)
	}
	if r.fails.Load() {
		return fmt.Errorf("%w: a row of %s cannot be used", store.ErrUnavailable, planted)
	}
	return nil
}

func (r *brokenRows) Read(ctx context.Context, key access.Key) (store.Row, error) {
	if err := r.err(); err != nil {
		return store.Row{}, err
	}
	return r.Rows.Read(ctx, key)
}

func (r *brokenRows) Deleted(ctx context.Context, key access.Key) (bool, error) {
	if err := r.err(); err != nil {
		return false, err
	}
	return r.Rows.Deleted(ctx, key)
}

func (r *brokenRows) Delete(ctx context.Context, key access.Key, d store.Deletion, c store.Consistency) error {
	if err := r.err(); err != nil {
		return err
	}
	return r.Rows.Delete(ctx, key, d, c)
}

// startTracedService starts a service that traces every request of a known client. The configuration has this collector, and the
// client t may do everything with keys that begin with planted.
func startTracedService(t *testing.T, rows store.Rows, collector func(*testService) string) *testService {
	t.Helper()
	return startEditedService(t, func(s *testService, config string) string {
		return strings.Replace(config, `grants: [sessions:get, metrics:get], keys: ["*"]`,
			`grants: [sessions:get, sessions:set, sessions:touch, sessions:delete, metrics:get], keys: ["`+planted+`*"]`, 1) +
			"tracing: {sample_ratio: 1, " + collector(s) + "}\n"
	}, func(s *testService, ctx context.Context, l net.Listener) error {
		return s.serveTables(ctx, l, func(store.CollectionConfig) store.Rows { return rows })
	})
}

// tracedRequest is a request with planted text wherever a client can put some.
type tracedRequest struct {
	method, key string
	body        int // so many copies of planted
	change      func(*http.Request)
	status      int
	traced      bool
}

func (s *testService) send(r tracedRequest) {
	s.t.Helper()
	request, err := http.NewRequest(r.method, "https://"+s.address+"/sessions/v1/"+r.key, strings.NewReader(strings.Repeat(planted, r.body)))
	s.must("request", err)
	request.Header = http.Header{
		"Authorization": {"Bearer " + string(*s.token.Load())}, "User-Agent": {planted}, "X-Request-Id": {planted}, "Tracestate": {"a=" + planted},
		"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "Baggage": {"key=" + planted}, "X-Forwarded-For": {planted},
	}
	if r.change != nil {
		r.change(request)
	}
	transport := s.transport(nil)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(request)
	s.must("response", err)
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, res.Body)
	s.must("body", err)
	if res.StatusCode != r.status {
		s.t.Errorf("%s %s: %d; want %d", r.method, r.key, res.StatusCode, r.status)
	}
}

// TestService_SpansContainNoSecret plants a text in keys, values, headers and errors, and looks for it in everything that the
// collector receives from the real service.
func TestService_SpansContainNoSecret(t *testing.T) {
	var collector tracingtest.Collector
	server := httptest.NewTLSServer(&collector)
	t.Cleanup(server.Close)
	rows := &brokenRows{Rows: store.NewMemory(16<<20, time.Now)}
	const credential = "credential-of-the-collector"
	s := startTracedService(t, rows, func(s *testService) string {
		ca := s.write("collector.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
		headers := s.write("headers", []byte("Authorization: Bearer "+credential+"\n"))
		return fmt.Sprintf("endpoint: '%s', ca: %s, headers_file: %s", server.URL, ca, headers)
	})
	const key, foreign = planted + "%3Akey", "foreign-" + planted
	ttl := func(text string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("TTL", text) }
	}
	all := []tracedRequest{
		{"PUT", key, 1, nil, 204, true},
		{"GET", key, 0, nil, 200, true},
		{"PATCH", key, 0, ttl("60"), 204, true},
		{"DELETE", key, 0, nil, 204, true},
		{"GET", key, 0, nil, 404, true},
		{"PUT", key, 1, nil, 409, true},
		{"PUT", key, 1, ttl(planted), 400, true},
		{"PUT", key, 1 << 17, nil, 413, true},
		{"GET", foreign, 0, nil, 403, true},
		{"DELETE", foreign, 0, nil, 403, true},
		{"GET", strings.Repeat(planted, 400), 0, nil, 414, true},
		{"GET", key, 0, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+planted) }, 401, false},
		{"GET", key, 0, func(r *http.Request) { r.Header.Del("Authorization") }, 401, false},
		{"GET", key + "?" + planted, 0, nil, 400, false},
		{"GET", key + "/" + planted, 0, nil, 404, false},
	}
	broken := []tracedRequest{
		{"GET", planted + "1", 0, nil, 503, true},
		{"PUT", planted + "1", 1, nil, 503, true},
		{"PATCH", planted + "1", 0, ttl("60"), 503, true},
		{"DELETE", planted + "1", 0, nil, 503, true},
	}
	panicking := []tracedRequest{{"GET", planted + "2", 0, nil, 500, true}}
	for _, r := range all {
		s.send(r)
	}
	rows.fails.Store(true)
	for _, r := range broken {
		s.send(r)
	}
	rows.panics.Store(true)
	for _, r := range panicking {
		s.send(r)
	}
	want := make(map[string]int) // requests with spans, by method and status
	for _, r := range append(append(all, broken...), panicking...) {
		if r.traced {
			want[fmt.Sprint(r.method, " /sessions/v1/:key ", r.status)]++
		}
	}
	requests := func() (n int, got map[string]int) {
		got = make(map[string]int)
		for _, span := range collector.Spans(t) {
			if span.Kind == "server" {
				n++
				got[span.Name+" "+span.Attributes["http.response.status_code"]]++
			}
		}
		return n, got
	}
	total := 0
	for _, n := range want {
		total += n
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if n, _ := requests(); n >= total {
			break
		}
	}
	s.wantMetrics("all spans are sent", `userinfo_tracing_spans_dropped_total{reason="queue_full"} 0`, `userinfo_tracing_spans_dropped_total{reason="failed"} 0`)
	s.stop()
	for name, n := range want {
		if _, got := requests(); got[name] != n {
			t.Errorf("%d spans of requests are %q, want %d; all are %v", got[name], name, n, got)
		}
	}
	raw := collector.Raw()
	for _, secret := range []string{planted, string(*s.token.Load())} {
		if form := tracingtest.Find(raw, secret); form != "" {
			t.Errorf("the collector has received %s, %s", secret, form)
		}
	}
	for _, r := range collector.Requests() {
		if !strings.Contains(r, "Bearer "+credential) || !strings.HasPrefix(r, "POST /v1/traces ") {
			t.Errorf("a request to the collector is %s", r)
		}
	}
	if log := s.log.String(); strings.Contains(log, credential) {
		t.Error("the log contains the credential of the collector")
	}
}

// TestService_ServesWithoutCollector has a collector that cannot be reached.
func TestService_ServesWithoutCollector(t *testing.T) {
	s := startTracedService(t, store.NewMemory(1<<20, time.Now), func(*testService) string { return "endpoint: 'http://127.0.0.1:1'" })
	const record = "the collector of traces does not take spans"
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		s.send(tracedRequest{method: "GET", key: planted, status: http.StatusNotFound})
		if strings.Contains(s.logText(), record) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say that the collector is away:\n%s", s.logText())
		}
	}
	s.send(tracedRequest{method: "GET", key: planted, status: http.StatusNotFound})
	s.stop()
	if n := strings.Count(s.log.String(), record); n != 1 {
		t.Errorf("%d log records; want 1:\n%s", n, s.log.String())
	}
}
