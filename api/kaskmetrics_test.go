package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"userinfo/access"
)

// kaskSeries returns the values of the series with a name of Kask, without buckets and sums.
func kaskSeries(t *testing.T, s *service) map[string]string {
	t.Helper()
	got := s.serve("GET", "/metrics", as(prom))
	if got.status != 200 {
		t.Fatalf("/metrics: %d", got.status)
	}
	series := make(map[string]string)
	for line := range strings.Lines(got.body) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if ok && (strings.HasPrefix(name, "http_") || strings.HasPrefix(name, "kask_")) && !strings.Contains(name, "_bucket") && !strings.Contains(name, "_sum") {
			series[name+"}"] = value
		}
	}
	return series
}

func TestKaskMetrics_HaveItsNamesLabelsAndBuckets(t *testing.T) {
	s := newAPI(t, setup{kaskNames: true})
	for _, r := range []struct {
		method, path string
		token        access.Token
		status       int
	}{
		{"GET", "/sessions/v1/k", wiki, 404},
		{"POST", "/sessions/v1/k", wiki, 201},
		{"GET", "/sessions/v1/k", wiki, 200},
		{"GET", "/sessions/v1/k", wiki, 200},
		{"DELETE", "/sessions/v1/k", wiki, 204},
		{"POST", "/sessions/v1/k", reader, 403},
		{"GET", "/healthz", wiki, 200},       // not counted
		{"GET", "/nowhere", wiki, 404},       // not counted
		{"ODD", "/sessions/v1/k", wiki, 405}, // not counted
	} {
		if got := s.serve(r.method, r.path, as(r.token)); got.status != r.status {
			t.Errorf("%s %s: %d; want %d", r.method, r.path, got.status, r.status)
		}
	}
	want := make(map[string]string)
	for labels, n := range map[string]int{
		`code="404",method="GET"`: 1, `code="201",method="POST"`: 1, `code="200",method="GET"`: 2, `code="204",method="DELETE"`: 1, `code="403",method="POST"`: 1,
	} {
		want["http_requests_total{"+labels+"}"] = fmt.Sprint(n)
		want["http_request_duration_seconds_count{"+labels+"}"] = fmt.Sprint(n)
	}
	got := kaskSeries(t, s)
	for name := range got {
		if strings.HasPrefix(name, "kask_build_info{") {
			for _, label := range []string{`version="test"`, `build_date="`, `build_host="`, `go_version="go`} {
				if !strings.Contains(name, label) {
					t.Errorf("%s has no %s", name, label)
				}
			}
			want[name] = "1"
		}
	}
	if len(want) != 11 || !maps.Equal(got, want) {
		t.Errorf("got %v; want %v and kask_build_info", got, want)
	}
	text := s.serve("GET", "/metrics", as(prom)).body
	var bounds []string
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, `http_request_duration_seconds_bucket{code="200",method="GET",le="`); ok {
			bound, _, _ := strings.Cut(rest, `"`)
			bounds = append(bounds, bound)
		}
	}
	if want := strings.Fields("0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 +Inf"); !slices.Equal(bounds, want) {
		t.Errorf("the buckets are %v; want %v", bounds, want)
	}
}

func TestKaskMetrics_AreAbsentByDefault(t *testing.T) {
	s := newAPI(t, setup{})
	s.serve("GET", "/sessions/v1/k", as(wiki))
	if got := kaskSeries(t, s); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}
