package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/access"
	"userinfo/store"
)

func TestLimiter_InFlight(t *testing.T) {
	g := newGate()
	s := start(t, setup{store: g.store(), limits: access.Limits{MaxInFlight: 2}})
	c := s.client(t, protocols[1])
	var answered sync.WaitGroup
	for range 2 {
		answered.Go(func() {
			if got, err := s.do(c, get("k")); err != nil || got.status != 200 {
				t.Errorf("a request within the limit: %v %v", got, err)
			}
		})
		<-g.entered
	}
	got := s.must(t, c, get("k"))
	checkProblem(t, got, 429, "too-many-requests")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", got.header["Retry-After"])
	}
	answered.Go(func() {
		if got, err := s.do(c, ask{method: "GET", path: "/sessions/v1/k", header: as(reader)}); err != nil || got.status != 200 {
			t.Errorf("another client: %v %v", got, err)
		}
	})
	<-g.entered
	if got := s.must(t, c, ask{method: "GET", path: "/healthz", header: as(wiki)}); got.status != 200 {
		t.Errorf("health: %d", got.status)
	}
	close(g.opened)
	answered.Wait()
	if got := s.must(t, c, get("k")); got.status != 200 {
		t.Errorf("after the others have finished: status %d", got.status)
	}
	if n := testutil.ToFloat64(s.api.limiter.limited.WithLabelValues("wiki", "in_flight")); n != 1 {
		t.Errorf("the metric counts %v refusals; want 1", n)
	}
}

// timed returns a service with a clock that the test sets.
func timed(t *testing.T, u setup) (*service, *clock) {
	t.Helper()
	c := &clock{now: time.Now()}
	u.now = c.Now
	return newAPI(t, u), c
}

func (s *service) status(r *http.Request) (status int, retryAfter string) {
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	return w.Code, w.Header().Get("Retry-After")
}

func TestLimiter_Rate(t *testing.T) {
	s, c := timed(t, setup{limits: access.Limits{RequestsPerSecond: 5}, store: new(recorder).store()})
	count := func() (good int) {
		for range 20 {
			switch status, after := s.status(requestFor("GET", "k", wiki)); {
			case status == 200:
				good++
			case status != 429 || after != "1":
				t.Errorf("status %d, Retry-After %q", status, after)
			}
		}
		return good
	}
	if n := count(); n != 5 {
		t.Errorf("%d requests at once; want 5", n)
	}
	c.advance(time.Second)
	if n := count(); n != 5 {
		t.Errorf("%d requests after one second; want 5", n)
	}
	if status, _ := s.status(requestFor("GET", "k", reader)); status != 200 {
		t.Errorf("another client: %d", status)
	}
}

func TestLimiter_Misses(t *testing.T) {
	for name, guess := range map[string]func() *http.Request{
		"absent keys":          func() *http.Request { return requestFor("GET", "enwiki%3Anone", enwiki) },
		"touches":              func() *http.Request { return requestFor("PATCH", "enwiki%3Anone", enwiki) },
		"foreign keys":         func() *http.Request { return requestFor("GET", "dewiki%3Anone", enwiki) },
		"sets of foreign keys": func() *http.Request { return requestFor("PUT", "dewiki%3Anone", enwiki) },
	} {
		s, c := timed(t, setup{limits: access.Limits{MissesPerMinute: 3}})
		for range 3 {
			if status, _ := s.status(guess()); status != 404 && status != 403 {
				t.Errorf("%s: %d", name, status)
			}
		}
		for _, key := range []string{"enwiki%3Anone", "dewiki%3Anone", "enwiki%3Athere"} {
			for _, method := range []string{"GET", "PATCH"} {
				w := httptest.NewRecorder()
				s.api.ServeHTTP(w, requestFor(method, key, enwiki))
				if w.Code != 429 || !strings.Contains(w.Body.String(), "too-many-misses") || w.Header().Get("Retry-After") != "20" {
					t.Errorf("%s, then %s %s: %s", name, method, key, withoutInstance(w))
				}
			}
		}
		if status, _ := s.status(requestFor("DELETE", "enwiki%3Athere", enwiki)); status != 204 {
			t.Errorf("%s, then a delete: status %d", name, status)
		}
		if status, _ := s.status(requestFor("PUT", "enwiki%3Anew", enwiki)); status != 204 {
			t.Errorf("%s, then a set: status %d", name, status)
		}
		if status, _ := s.status(requestFor("GET", "none", wiki)); status != 404 {
			t.Errorf("%s, then another client: status %d", name, status)
		}
		c.advance(20 * time.Second)
		if status, _ := s.status(requestFor("GET", "enwiki%3Anone", enwiki)); status != 404 {
			t.Errorf("%s, 20 s later: status %d", name, status)
		}
		if status, _ := s.status(requestFor("GET", "enwiki%3Anone", enwiki)); status != 429 {
			t.Errorf("%s, immediately after that: status %d", name, status)
		}
	}
}

func TestLimiter_BytesPerSecond(t *testing.T) {
	const size = store.LargeValue
	value := store.Value{Data: make([]byte, size), TTL: time.Minute}
	s, c := timed(t, setup{limits: access.Limits{BytesPerSecond: size}, store: stub(func(context.Context, call) (store.Value, error) { return value, nil })})
	set := func() *http.Request {
		r := requestFor("PUT", "k", wiki)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(value.Data)), size
		return r
	}
	for name, ask := range map[string]func() *http.Request{"gets": func() *http.Request { return requestFor("GET", "k", wiki) }, "sets": set} {
		c.advance(time.Hour)
		good := 0
		for range 10 {
			switch status, after := s.status(ask()); {
			case status == 200 || status == 204:
				good++
			case status != 429 || after != "1":
				t.Errorf("%s: status %d, Retry-After %q", name, status, after)
			}
		}
		if good != 2 { // the burst, and one that begins a debt
			t.Errorf("%d %s at once; want 2", good, name)
		}
		if status, _ := s.status(requestFor("DELETE", "k", wiki)); status != 204 {
			t.Errorf("%s, then a delete: %d", name, status)
		}
		if status, _ := s.status(requestFor("GET", "k", reader)); status != 200 {
			t.Errorf("%s, then another client: %d", name, status)
		}
		c.advance(time.Second)
		if status, _ := s.status(ask()); status >= 300 {
			t.Errorf("%s, a second later: %d", name, status)
		}
	}
	if n := testutil.ToFloat64(s.api.limiter.limited.WithLabelValues("wiki", "byte_rate")); n != 16 {
		t.Errorf("the metric counts %v refusals; want 16", n)
	}
}

func TestLimiter_BytesPerSecond_SmallValuesDoNotCount(t *testing.T) {
	value := store.Value{Data: make([]byte, store.LargeValue-1), TTL: time.Minute}
	s, _ := timed(t, setup{limits: access.Limits{BytesPerSecond: 1}, store: stub(func(context.Context, call) (store.Value, error) { return value, nil })})
	for range 10 {
		if status, _ := s.status(requestFor("GET", "k", wiki)); status != 200 {
			t.Fatalf("status %d", status)
		}
	}
}

func TestLimiter_ClientsOwnLimits(t *testing.T) {
	own := access.Client{Name: "own", Tokens: []access.TokenRule{{SHA256: access.Token("own-token").HashText()}}, Grants: []access.Grant{"sessions:get"},
		Keys: []string{"*"}, Limits: access.Limits{RequestsPerSecond: 2}}
	first, err := access.NewPolicy(testRules(own))
	if err != nil {
		t.Fatal(err)
	}
	own.Limits.RequestsPerSecond = 4
	second, err := access.NewPolicy(testRules(own))
	if err != nil {
		t.Fatal(err)
	}
	policy := first
	s, c := timed(t, setup{limits: access.Limits{RequestsPerSecond: 1}, store: new(recorder).store(), policy: func() *access.Policy { return policy }})
	for _, step := range []struct {
		policy *access.Policy
		want   int
	}{{first, 2}, {second, 4}, {first, 2}} {
		policy, c.now = step.policy, c.now.Add(time.Minute)
		good := 0
		for range 10 {
			if status, _ := s.status(requestFor("GET", "k", "own-token")); status == 200 {
				good++
			}
		}
		if good != step.want {
			t.Errorf("%d requests at once; want %d", good, step.want)
		}
	}
}

func TestLimiter_LogsMissesAndRefusals(t *testing.T) {
	s, c := timed(t, setup{})
	for range 7 {
		s.status(requestFor("GET", "enwiki%3Anone", enwiki))
		s.status(requestFor("DELETE", "dewiki%3Anone", enwiki))
		s.status(requestFor("GET", "none", "userinfo_nobody"))
	}
	if n := testutil.ToFloat64(s.api.limiter.misses.WithLabelValues("enwiki")); n != 7 {
		t.Errorf("%v misses", n)
	}
	for _, d := range []struct{ client, status string }{{"enwiki", "403"}, {"", "401"}} {
		if n := testutil.ToFloat64(s.api.limiter.refusals.WithLabelValues(d.client, d.status)); n != 7 {
			t.Errorf("%v refusals of client %q with status %s", n, d.client, d.status)
		}
	}
	const said = "misses and refused requests of a client"
	if n := strings.Count(s.logs.String(), said); n != 0 {
		t.Errorf("logged %d times in the first minute", n)
	}
	for range 5 {
		c.advance(time.Minute)
		for range 10 {
			s.status(requestFor("GET", "enwiki%3Anone", enwiki))
		}
	}
	if n := strings.Count(s.logs.String(), said); n != 5 {
		t.Errorf("logged %d times in five minutes", n)
	}
	if !strings.Contains(s.logs.String(), `"client":"enwiki","misses":8,"denials":7`) || !strings.Contains(s.logs.String(), `"misses":10,"denials":0`) {
		t.Errorf("the log is %s", s.logs)
	}
}

func TestLimiter_RefusalBeforeAuthenticationDoesNotCount(t *testing.T) {
	s, _ := timed(t, setup{limits: access.Limits{RequestsPerSecond: 1}, store: new(recorder).store()})
	for _, path := range []string{"/nowhere", "/sessions/v1/k?x"} {
		for range 3 {
			s.serve("GET", path, as(wiki))
		}
	}
	if status, _ := s.status(requestFor("GET", "k", wiki)); status != 200 {
		t.Errorf("the first request after refusals: status %d; want 200", status)
	}
	if status, _ := s.status(requestFor("GET", "k", wiki)); status != 429 {
		t.Errorf("the second request: status %d; want 429", status)
	}
}
