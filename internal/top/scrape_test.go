package top

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// startInstance starts a server that answers /metrics and the list of rewritten keys with these statuses.
func startInstance(t *testing.T, metrics, keys int) (url string, seen *[]string) {
	seen = new([]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = append(*seen, r.URL.Path+" "+r.Header.Get("Authorization"))
		status, text := metrics, "userinfo_connections 3\n"
		if r.URL.Path != "/metrics" {
			status, text = keys, `{"collections":[{"collection":"sessions","keys":[{"hash":"h","writes":2}]}]}`
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	return s.URL, seen
}

func TestClient_Fetch(t *testing.T) {
	url, seen := startInstance(t, 200, 200)
	s, err := Client{HTTP: http.DefaultClient, Authorization: "Bearer x"}.Fetch(t.Context(), url)
	if err != nil || s.gauge("userinfo_connections") != 3 || len(s.rewritten) != 1 || s.rewritten[0].Keys[0].Hash != "h" {
		t.Errorf("%v, %+v", err, s)
	}
	if got := strings.Join(*seen, ", "); got != "/metrics Bearer x, /operators/v1/rewritten-keys Bearer x" {
		t.Errorf("it asked for %s", got)
	}
}

func TestClient_FetchErrors(t *testing.T) {
	for _, c := range []struct {
		metrics, keys int
		want, without string
	}{
		{403, 200, "needs the grant metrics:get", ""},
		{401, 200, "the answer is 401: needs the grant metrics:get", ""},
		{500, 200, "the answer is 500", ""},
		{200, 403, "", "needs the grant operators:get"},
		{200, 404, "", "older version"},
		{200, 503, "", "the answer is 503"},
	} {
		url, _ := startInstance(t, c.metrics, c.keys)
		s, err := Client{HTTP: http.DefaultClient}.Fetch(t.Context(), url)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), url) {
				t.Errorf("%d: %v; want %s", c.metrics, err, c.want)
			}
		} else if err != nil || s.rewrittenErr == nil || !strings.Contains(s.rewrittenErr.Error(), c.without) {
			t.Errorf("%d: %v, %+v; want %s", c.keys, err, s, c.without)
		}
	}
	_, err := Client{HTTP: http.DefaultClient}.Fetch(t.Context(), "http://127.0.0.1:1")
	if err == nil || strings.Contains(err.Error(), "/metrics") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v", err)
	}
}

// FuzzScrape checks that no text of an instance reaches the terminal with control characters.
func FuzzScrape(f *testing.F) {
	f.Add(firstMetrics, secondMetrics, list)
	f.Add("", "userinfo_http_request_seconds 1\n", "{}")
	f.Add("# TYPE userinfo_http_request_seconds histogram\nuserinfo_http_request_seconds_count 3\n", "userinfo_client_requests_total{client=\"\\n\"} -1\n", `{"collections":null}`)
	f.Fuzz(func(t *testing.T, one, two, keys string) {
		var scrapes []*Scrape
		for i, text := range []string{one, two} {
			s := &Scrape{at: time.Unix(int64(i), 0)}
			if s.parseMetrics(strings.NewReader(text)) != nil {
				return
			}
			s.rewrittenErr = s.parseList(strings.NewReader(keys))
			scrapes = append(scrapes, s)
		}
		s := screen{views: []view{{name: "a", scrape: scrapes[1], rates: ratesBetween(scrapes[0], scrapes[1])}}}
		for _, line := range s.lines() {
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("a line has a control character: %q", line)
			}
		}
	})
}
