package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"userinfo/store"
)

// sink is a ResponseWriter that discards the body.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header { return s.header }

func (s *sink) WriteHeader(status int) { s.status = status }

func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// bench measures how long s takes to handle r. want is the expected status.
func bench(b *testing.B, s *service, r *http.Request, want int) {
	b.Helper()
	w := &sink{header: make(http.Header)}
	path := r.URL.Path
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		r.URL.Path = path
		s.api.ServeHTTP(w, r)
	}
	if w.status != want {
		b.Fatalf("status %d; want %d", w.status, want)
	}
}

func benchRequest(method, path string) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	r.Header = as(wiki)
	return r
}

// quiet is the default log level of the program. It hides the log records of successful requests.
const quiet = slog.LevelInfo + 1

func BenchmarkGet(b *testing.B) {
	s := newAPI(b, setup{level: quiet})
	w := httptest.NewRecorder()
	r := httptest.NewRequest("PUT", "/sessions/v1/enwiki%3AMWSession%3Aabc", strings.NewReader(strings.Repeat("v", 2048)))
	r.Header = as(wiki)
	if s.api.ServeHTTP(w, r); w.Code != http.StatusNoContent {
		b.Fatalf("setting: %d", w.Code)
	}
	bench(b, s, benchRequest("GET", "/sessions/v1/enwiki%3AMWSession%3Aabc"), http.StatusOK)
}

// BenchmarkGetWithoutStore measures a get without the memory store: this package and access alone.
func BenchmarkGetWithoutStore(b *testing.B) {
	data := []byte(strings.Repeat("v", 2048))
	s := newAPI(b, setup{level: quiet, store: stub(func(context.Context, call) (store.Value, error) { return store.Value{Data: data}, nil })})
	bench(b, s, benchRequest("GET", "/sessions/v1/enwiki%3AMWSession%3Aabc"), http.StatusOK)
}

func BenchmarkSet(b *testing.B) {
	s := newAPI(b, setup{level: quiet, store: stub(func(context.Context, call) (store.Value, error) { return store.Value{}, nil })})
	value := strings.NewReader(strings.Repeat("v", 2048))
	r := httptest.NewRequest("PUT", "/sessions/v1/enwiki%3AMWSession%3Aabc", value)
	r.Header, r.Body = as(wiki), io.NopCloser(value)
	w := &sink{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		value.Reset(strings.Repeat("v", 2048))
		s.api.ServeHTTP(w, r)
	}
	if w.status != http.StatusNoContent {
		b.Fatalf("status %d", w.status)
	}
}

// BenchmarkRoute measures a request to /healthz, which is not authenticated.
func BenchmarkRoute(b *testing.B) {
	bench(b, newAPI(b, setup{level: quiet}), benchRequest("GET", "/healthz"), http.StatusOK)
}

func BenchmarkShed(b *testing.B) {
	bench(b, newAPI(b, setup{level: quiet, maxInFlight: -1}), benchRequest("GET", "/sessions/v1/k"), http.StatusServiceUnavailable)
}

func BenchmarkNotFound(b *testing.B) {
	bench(b, newAPI(b, setup{level: quiet}), benchRequest("GET", "/sessions/v1/k"), http.StatusNotFound)
}

func BenchmarkProblem(b *testing.B) {
	w := &sink{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		problemFor(store.ErrUnavailable).send(w, "urn:uuid:f81d4fae-7dec-41d0-a765-00a0c91e6bf6")
	}
}

func BenchmarkPath(b *testing.B) {
	r := benchRequest("GET", "/sessions/v1/enwiki%3AMWSession%3Aabc")
	b.ReportAllocs()
	for b.Loop() {
		if key, err := parseKey(sentPath(r)[len("/sessions/v1/"):]); err != nil || len(key) != len("enwiki:MWSession:abc") {
			b.Fatal("another key")
		}
	}
}
