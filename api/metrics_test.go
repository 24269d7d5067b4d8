package api

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
)

// requests returns the number of requests by "method route status".
func requests(t testing.TB, s *service) map[string]uint64 {
	t.Helper()
	counts := make(map[string]uint64)
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "userinfo_http_request_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			counts[labels["method"]+" "+labels["route"]+" "+labels["status"]] = m.GetHistogram().GetSampleCount()
		}
	}
	return counts
}

func TestMetrics_RequestsByStatus(t *testing.T) {
	s := start(t, setup{})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for _, a := range []ask{
			{method: "GET", path: "/healthz"},
			{method: "GET", path: "/readyz"},
			{method: "GET", path: "/metrics", header: as(prom)},
			{method: "GET", path: "/metrics", header: as(wiki)},
			{method: "GET", path: "/openapi", header: as(docs)},
			{method: "GET", path: "/openapi", header: as("")},
			get("absent"),
			put(protocol, "value"),
			get(protocol),
			{method: "POST", path: "/sessions/v1/" + protocol, body: strings.NewReader("value")},
			{method: "PATCH", path: "/sessions/v1/" + protocol, header: as(wiki, "TTL", "7")},
			{method: "PATCH", path: "/sessions/v1/" + protocol, header: as(reader, "TTL", "7")},
			{method: "DELETE", path: "/sessions/v1/" + protocol},
			put(protocol, "value"),
			{method: "DELETE", path: "/sessions/v1/" + protocol, header: as("unknown")},
			put(protocol, strings.Repeat("x", testMaxValue+1)),
			get(strings.Repeat("k", MaxKeyBytes+1)),
			{method: "GET", path: "/sessions/v1/k?x"},
		} {
			a.path = strings.ReplaceAll(a.path, "HTTP/", "")
			s.must(t, c, a)
		}
	}
	const keyed = "/sessions/v1/:key"
	want := map[string]uint64{
		"GET /healthz 200": 2, "GET /readyz 200": 2, "GET /metrics 200": 2, "GET /metrics 403": 2, "GET /openapi 200": 2, "GET /openapi 400": 2,
		"GET " + keyed + " 200": 2, "GET " + keyed + " 404": 2, "GET " + keyed + " 414": 2, "GET " + keyed + " 400": 2,
		"PUT " + keyed + " 204": 2, "PUT " + keyed + " 409": 2, "PUT " + keyed + " 413": 2, "POST " + keyed + " 201": 2,
		"PATCH " + keyed + " 204": 2, "PATCH " + keyed + " 403": 2, "DELETE " + keyed + " 204": 2, "DELETE " + keyed + " 401": 2,
	}
	var got map[string]uint64
	eventually(t, "every request is counted", func() bool {
		got = requests(t, s)
		return maps.Equal(got, want)
	})
}

func TestMetrics_ClientsCannotAddSeries(t *testing.T) {
	s := start(t, setup{})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for i := range 20 {
			odd := fmt.Sprintf("ODD%d", i)
			for _, a := range []ask{
				{method: odd, path: "/sessions/v1/" + odd}, {method: odd, path: "/healthz"}, {method: odd, path: "/" + odd},
				{method: "GET", path: "/" + odd}, {method: "PUT", path: "/sessions/" + odd + "/k", body: strings.NewReader("v")},
				{method: "GET", path: "/sessions/v1/" + odd, header: as(access.Token(odd))}, {method: "get", path: "/sessions/v1/" + odd},
			} {
				s.must(t, c, a)
			}
		}
	}
	want := []string{"GET /sessions/v1/:key 401", "other unmatched 404", "other unmatched 405"}
	if got := slices.Sorted(maps.Keys(requests(t, s))); !slices.Equal(got, want) {
		t.Errorf("the labels are %v; want %v", got, want)
	}
}

func TestMetrics_ShedRequests(t *testing.T) {
	g := newGate()
	s := start(t, setup{store: g.store(), maxInFlight: 1})
	c := s.client(t, protocols[1])
	held := make(chan answer)
	go func() {
		a, _ := s.do(c, get("k")) // after an error, the status is 0
		held <- a
	}()
	<-g.entered
	s.must(t, c, get("k"))
	s.must(t, c, ask{method: "GET", path: "/metrics", header: as(prom)})
	s.must(t, c, ask{method: "GET", path: "/nowhere"})
	if got := gauge(t, s, "userinfo_http_in_flight"); got != 1 {
		t.Errorf("%v requests in flight; want 1", got)
	}
	close(g.opened)
	if a := <-held; a.status != 200 {
		t.Errorf("the request that was in flight: %d", a.status)
	}
	eventually(t, "nothing is in flight", func() bool { return gauge(t, s, "userinfo_http_in_flight") == 0 })
	want := map[string]uint64{
		"GET /sessions/v1/:key 200": 1, "GET /sessions/v1/:key 503": 1, "GET /metrics 503": 1, "other unmatched 503": 1,
	}
	if got := requests(t, s); !maps.Equal(got, want) {
		t.Errorf("counted %v; want %v", got, want)
	}
	if got := gauge(t, s, "userinfo_http_shed_total"); got != 3 {
		t.Errorf("%v requests shed; want 3", got)
	}
}

func TestMetrics_BrokenCollector(t *testing.T) {
	s := newAPI(t, setup{})
	s.registry.MustRegister(broken{})
	got := s.serve("GET", "/metrics", as(prom))
	if got.status != 200 || !strings.Contains(got.body, "userinfo_http_in_flight") || strings.Contains(got.body, "planted") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if !strings.Contains(s.logs.String(), `"level":"ERROR"`) {
		t.Errorf("the log has no error: %s", s.logs)
	}
}

// broken is a collector that always fails.
type broken struct{}

func (broken) Describe(c chan<- *prometheus.Desc) {
	prometheus.NewGauge(prometheus.GaugeOpts{Name: "broken"}).Describe(c)
}

func (broken) Collect(c chan<- prometheus.Metric) {
	c <- prometheus.NewInvalidMetric(prometheus.NewDesc("broken", "", nil, nil), errors.New("planted"))
}

// byLabel returns the values of a counter by its only label.
func byLabel(t *testing.T, s *service, name string) map[string]float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				values[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return values
}

func TestMetrics_ProblemsByName(t *testing.T) {
	s := newAPI(t, setup{})
	s.serve("PUT", "/sessions/v1/k", as(wiki))
	for _, path := range []string{"/sessions/v1/k", "/sessions/v1/absent", "/sessions/v1/absent", "/nowhere"} {
		s.serve("GET", path, as(wiki))
	}
	s.serve("GET", "/sessions/v1/k", as("unknown"))
	s.serve("DELETE", "/sessions/v1/k", as(reader))
	want := map[string]float64{"not-found": 2, "no-such-resource": 1, "unauthenticated": 1, "forbidden": 1}
	if got := byLabel(t, s, "userinfo_http_problems_total"); !maps.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestMetrics_RequestsByClient(t *testing.T) {
	s := newAPI(t, setup{})
	s.serve("PUT", "/sessions/v1/k", as(wiki))
	s.serve("GET", "/sessions/v1/k", as(wiki))
	s.serve("DELETE", "/sessions/v1/k", as(reader)) // refused after it was counted
	s.serve("GET", "/sessions/v1/k", as("unknown"))
	s.serve("GET", "/metrics", as(prom))
	s.serve("GET", "/healthz", as(wiki))
	want := map[string]float64{"wiki": 2, "reader": 1, "prometheus": 1, "": 0}
	if got := byLabel(t, s, "userinfo_client_requests_total"); !maps.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}
