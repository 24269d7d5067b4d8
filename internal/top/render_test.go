package top

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	firstMetrics = `
# TYPE userinfo_http_request_seconds histogram
userinfo_http_request_seconds_bucket{method="GET",route="/sessions/v1/:key",status="200",le="0.001"} 100
userinfo_http_request_seconds_bucket{method="GET",route="/sessions/v1/:key",status="200",le="0.01"} 100
userinfo_http_request_seconds_bucket{method="GET",route="/sessions/v1/:key",status="200",le="+Inf"} 100
userinfo_http_request_seconds_sum{method="GET",route="/sessions/v1/:key",status="200"} 0.1
userinfo_http_request_seconds_count{method="GET",route="/sessions/v1/:key",status="200"} 100
# TYPE userinfo_client_requests_total counter
userinfo_client_requests_total{client="wiki"} 100
# TYPE userinfo_http_problems_total counter
userinfo_http_problems_total{problem="not-found"} 5
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 10
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1000
# TYPE userinfo_pending_deletes gauge
userinfo_pending_deletes NaN
`
	secondMetrics = `
# TYPE userinfo_http_request_seconds histogram
userinfo_http_request_seconds_bucket{method="GET",route="/sessions/v1/:key",status="200",le="0.001"} 190
userinfo_http_request_seconds_bucket{method="GET",route="/sessions/v1/:key",status="200",le="0.01"} 200
userinfo_http_request_seconds_bucket{method="GET",route="/sessions/v1/:key",status="200",le="+Inf"} 200
userinfo_http_request_seconds_sum{method="GET",route="/sessions/v1/:key",status="200"} 0.2
userinfo_http_request_seconds_count{method="GET",route="/sessions/v1/:key",status="200"} 200
userinfo_http_request_seconds_bucket{method="PUT",route="/sessions/v1/:key",status="503",le="0.001"} 0
userinfo_http_request_seconds_bucket{method="PUT",route="/sessions/v1/:key",status="503",le="0.01"} 0
userinfo_http_request_seconds_bucket{method="PUT",route="/sessions/v1/:key",status="503",le="+Inf"} 5
userinfo_http_request_seconds_sum{method="PUT",route="/sessions/v1/:key",status="503"} 5
userinfo_http_request_seconds_count{method="PUT",route="/sessions/v1/:key",status="503"} 5
userinfo_http_request_seconds_bucket{method="GET",route="/metrics",status="200",le="+Inf"} 1
userinfo_http_request_seconds_count{method="GET",route="/metrics",status="200"} 1
# TYPE userinfo_client_requests_total counter
userinfo_client_requests_total{client="wiki"} 200
userinfo_client_requests_total{client="bot` + "\x1b" + `[2J"} 5
userinfo_client_requests_total{client=""} 0
# TYPE userinfo_client_limited_total counter
userinfo_client_limited_total{client="wiki",limit="rate"} 10
userinfo_client_limited_total{client="wiki",limit="misses"} 10
# TYPE userinfo_http_problems_total counter
userinfo_http_problems_total{problem="not-found"} 5
userinfo_http_problems_total{problem="unavailable"} 5
# TYPE userinfo_http_shed_total counter
userinfo_http_shed_total 0
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 15
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1000
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 1.048576e+08
# TYPE userinfo_pending_deletes gauge
userinfo_pending_deletes 2
# TYPE userinfo_pending_deletes_oldest_seconds gauge
userinfo_pending_deletes_oldest_seconds 95
# TYPE userinfo_cassandra_hosts_up gauge
userinfo_cassandra_hosts_up 3
# TYPE userinfo_cassandra_breakers_open gauge
userinfo_cassandra_breakers_open 1
# TYPE userinfo_cassandra_attempts_total counter
userinfo_cassandra_attempts_total{result="ok"} 100
userinfo_cassandra_attempts_total{result="slow"} 20
# TYPE userinfo_connections gauge
userinfo_connections 12
# TYPE userinfo_http_in_flight gauge
userinfo_http_in_flight 4
# TYPE userinfo_reload_failed gauge
userinfo_reload_failed{part="clients"} 1
userinfo_reload_failed{part="seal"} 0
# TYPE userinfo_certificate_days_left gauge
userinfo_certificate_days_left{file="tls.certificate"} 3.25
userinfo_certificate_days_left{file="tls.client_ca"} 300
`
	list = `{"collections":[{"collection":"sessions","since":"2026-11-29T08:00:00Z","writes":9,"keys":[
{"hash":"0123abcd:ff","writes":5,"at_most":7,"unchanged":4},{"hash":"0123abcd:aa","writes":2,"at_most":2,"unchanged":0}]}]}`
)

// testScreen has an instance with two scrapes, ten seconds apart, one that has been restarted between its scrapes, and one that is
// down.
func testScreen(t *testing.T) screen {
	first, second := parse(t, 90_000, firstMetrics, ""), parse(t, 90_010, secondMetrics, list)
	again := parse(t, 90_010, strings.Replace(secondMetrics, "start_time_seconds 1000", "start_time_seconds 90005", 1), list)
	again.rewrittenErr, again.rewritten[0].Keys = errForbidden, again.rewritten[0].Keys[:1]
	return screen{at: time.Unix(90_010, 0), interval: 10 * time.Second, views: []view{
		{name: "a:8443", scrape: second, rates: ratesBetween(first, second)},
		{name: "b:8443", scrape: again, rates: ratesBetween(first, again)},
		{name: "c:8443", err: errors.New("connection refused")},
	}}
}

// TestScreen_Lines compares the screen with testdata/screen.txt. Look at the difference, then at the figures above.
func TestScreen_Lines(t *testing.T) {
	got := strings.Join(testScreen(t).lines(), "\n") + "\n"
	want, err := os.ReadFile("testdata/screen.txt")
	if err != nil || got != string(want) {
		t.Errorf("%v; the screen is\n%s\nwant\n%s", err, got, want)
	}
}

func TestScreen_BeforeTheSecondScrapeHasNoRates(t *testing.T) {
	s := screen{at: time.Unix(90_000, 0), interval: time.Second, views: []view{{name: "a:8443", scrape: parse(t, 90_000, secondMetrics, "")}}}
	got := strings.Join(s.lines(), "\n")
	if !strings.Contains(got, "\na:8443                 -    -      -       -    -    -     -    -    -          4           12\n") {
		t.Errorf("the screen is\n%s", got)
	}
	if strings.Contains(got, "DURATION") || strings.Contains(got, "CLIENT") || strings.Contains(got, "\nall") {
		t.Errorf("the screen has rates:\n%s", got)
	}
}
