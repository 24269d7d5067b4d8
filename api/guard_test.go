package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/access"
	"userinfo/store"
)

// allMethods are the ways to a key, each as a client in its right would ask.
var allMethods = []string{"GET", "PUT", "POST", "PATCH", "DELETE"}

// requestFor is a request for key by a method, from token.
func requestFor(method, key string, token access.Token) *http.Request {
	var r *http.Request
	if method == "PUT" || method == "POST" {
		r = httptest.NewRequest(method, "/sessions/v1/"+key, strings.NewReader("value"))
	} else {
		r = httptest.NewRequest(method, "/sessions/v1/"+key, nil)
	}
	r.Header.Set("Authorization", "Bearer "+string(token))
	if method == "PATCH" {
		r.Header.Set("TTL", "60")
	}
	return r
}

// shape is an answer but for what is each request's own: the instance.
func shape(w *httptest.ResponseRecorder) string {
	body := regexp.MustCompile(`urn:uuid:[0-9a-f-]+`).ReplaceAllString(w.Body.String(), "INSTANCE")
	var head strings.Builder
	if err := w.Result().Header.Write(&head); err != nil {
		panic(err)
	}
	return fmt.Sprint(w.Code, "\n", head.String(), "\n", body)
}

// TestAClientLearnsNothingOfKeysThatAreNotItsOwn: every refusal is the same in each byte but its instance, and none has
// asked the store, which is the only thing whose time could tell.
func TestAClientLearnsNothingOfKeysThatAreNotItsOwn(t *testing.T) {
	var calls sync.Map
	notices := stub(func(_ context.Context, c call) (store.Value, error) {
		if strings.HasPrefix(string(c.key), "dewiki:") {
			calls.Store(string(c.action)+" "+string(c.key), true)
		}
		return store.Value{Data: []byte("value"), TTL: time.Minute}, nil
	})
	s := newAPI(t, setup{store: notices})
	shapes := make(map[string][]string)
	for _, token := range []access.Token{enwiki} {
		for _, key := range []string{"dewiki%3Athere", "dewiki%3Aabsent", "dewiki%3A", "DEWIKI%3Athere", "dewiki%3A" + strings.Repeat("x", 4000)} {
			for _, method := range allMethods {
				for name, change := range map[string]func(*http.Request){
					"as it should be": func(*http.Request) {},
					"a wrong TTL":     func(r *http.Request) { r.Header.Set("TTL", "never") },
					"a large body":    body(http.NoBody, testMaxValue+1),
				} {
					r := requestFor(method, key, token)
					change(r)
					w := httptest.NewRecorder()
					s.api.ServeHTTP(w, r)
					shapes[shape(w)] = append(shapes[shape(w)], method+" "+key[:8]+" "+name)
				}
			}
		}
	}
	if len(shapes) != 1 {
		for text, which := range shapes {
			t.Errorf("%v are answered:\n%s", which, text)
		}
	}
	for text := range shapes {
		if !strings.HasPrefix(text, "403") {
			t.Errorf("the answer is %s", text)
		}
	}
	calls.Range(func(what, _ any) bool {
		t.Errorf("the store was asked: %v", what)
		return true
	})
}

func TestAClientThatAsksTooMuchIsRefusedAndOthersAreNot(t *testing.T) {
	g := newGate()
	s := start(t, setup{store: g.store(), limits: access.Limits{MaxInFlight: 2}})
	c := s.client(t, protocols[1])
	var answered sync.WaitGroup
	for range 2 {
		answered.Go(func() {
			if got, err := s.do(c, get("k")); err != nil || got.status != 200 {
				t.Errorf("one of two at once: %v %v", got, err)
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
		t.Errorf("once they are answered: %d", got.status)
	}
	if n := testutil.ToFloat64(s.api.limiter.limited.WithLabelValues("wiki", "in_flight")); n != 1 {
		t.Errorf("%v are counted", n)
	}
}

// timed is an API whose clock the test moves.
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

func TestAClientsRateIsBounded(t *testing.T) {
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
		t.Errorf("%d at once; want 5", n)
	}
	c.advance(time.Second)
	if n := count(); n != 5 {
		t.Errorf("%d after a second; want 5", n)
	}
	if status, _ := s.status(requestFor("GET", "k", reader)); status != 200 {
		t.Errorf("another client: %d", status)
	}
}

func TestABudgetOfMissesMakesGuessingSlowAndLogoutsNot(t *testing.T) {
	for name, guess := range map[string]func() *http.Request{
		"keys that are not there": func() *http.Request { return requestFor("GET", "enwiki%3Anone", enwiki) },
		"touches":                 func() *http.Request { return requestFor("PATCH", "enwiki%3Anone", enwiki) },
		"keys of others":          func() *http.Request { return requestFor("GET", "dewiki%3Anone", enwiki) },
		"sets of others' keys":    func() *http.Request { return requestFor("PUT", "dewiki%3Anone", enwiki) },
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
					t.Errorf("%s, then %s %s: %s", name, method, key, shape(w))
				}
			}
		}
		if status, _ := s.status(requestFor("DELETE", "enwiki%3Athere", enwiki)); status != 204 {
			t.Errorf("%s, then a logout: %d", name, status)
		}
		if status, _ := s.status(requestFor("PUT", "enwiki%3Anew", enwiki)); status != 204 {
			t.Errorf("%s, then a login: %d", name, status)
		}
		if status, _ := s.status(requestFor("GET", "none", wiki)); status != 404 {
			t.Errorf("%s, then another client: %d", name, status)
		}
		c.advance(20 * time.Second)
		if status, _ := s.status(requestFor("GET", "enwiki%3Anone", enwiki)); status != 404 {
			t.Errorf("%s, 20 s later: %d", name, status)
		}
		if status, _ := s.status(requestFor("GET", "enwiki%3Anone", enwiki)); status != 429 {
			t.Errorf("%s, once more: %d", name, status)
		}
	}
}

func TestAClientsOwnLimitsAreInPlaceOfTheUsual(t *testing.T) {
	own := access.Client{Name: "own", Tokens: []access.TokenRule{{SHA256: access.Token("own").HashText()}}, Grants: []access.Grant{"sessions:get"},
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
			if status, _ := s.status(requestFor("GET", "k", "own")); status == 200 {
				good++
			}
		}
		if good != step.want {
			t.Errorf("%d at once; want %d", good, step.want)
		}
	}
}

func TestMissesAndDenialsAreCountedAndNowAndThenLogged(t *testing.T) {
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
			t.Errorf("%v denials of client %q with %s", n, d.client, d.status)
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

// record is an audit record.
type record struct {
	Msg, Decision, Client, Method, Route, Request, Peer, Address, Reason, Key string
	Status                                                                    int
	Dropped                                                                   int64
}

func (s *service) records(t *testing.T) (all []record) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(s.audit.String()), "\n") {
		if line == "" {
			continue
		}
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, r)
	}
	return all
}

func TestEveryRefusalAndEveryDeleteLeavesARecord(t *testing.T) {
	key, err := access.NewAuditKey(strings.NewReader(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		request *http.Request
		want    *record // nil: none
	}{
		{"a delete", requestFor("DELETE", "enwiki%3A1", enwiki), &record{Decision: "allowed", Client: "enwiki", Method: "DELETE", Status: 204, Key: key.Hash("enwiki:1")}},
		{"a delete of another's", requestFor("DELETE", "dewiki%3A1", enwiki), &record{Decision: "denied", Client: "enwiki", Method: "DELETE", Status: 403,
			Reason: "denied: outside its key patterns", Key: key.Hash("dewiki:1")}},
		{"a get of another's", requestFor("GET", "dewiki%3A1", enwiki), &record{Decision: "denied", Client: "enwiki", Method: "GET", Status: 403,
			Reason: "denied: outside its key patterns", Key: key.Hash("dewiki:1")}},
		{"a set without the grant", requestFor("PUT", "k", reader), &record{Decision: "denied", Client: "reader", Method: "PUT", Status: 403,
			Reason: "denied: no grant", Key: key.Hash("k")}},
		{"a stranger", requestFor("GET", "k", "userinfo_nobody"), &record{Decision: "denied", Method: "GET", Status: 401,
			Reason: "not identified: unknown token, or not from this network", Key: key.Hash("k")}},
		{"a get", requestFor("GET", "enwiki%3A1", enwiki), nil},
		{"a set", requestFor("PUT", "enwiki%3A1", enwiki), nil},
		{"a delete that is not understood", requestFor("DELETE", "enwiki%3A"+strings.Repeat("x", 5000), enwiki), nil},
	} {
		s := newAPI(t, setup{auditKey: key})
		s.status(test.request)
		got := s.records(t)
		if test.want == nil {
			if len(got) > 0 {
				t.Errorf("%s: %+v", test.name, got)
			}
			continue
		}
		if len(got) != 1 {
			t.Errorf("%s: %d records", test.name, len(got))
			continue
		}
		want := *test.want
		want.Msg, want.Route, want.Request, want.Peer, want.Address = "audit", "/sessions/v1/:key", got[0].Request, "192.0.2.1", "192.0.2.1"
		if got[0] != want || !strings.HasPrefix(got[0].Request, "urn:uuid:") {
			t.Errorf("%s: %+v\nwant %+v", test.name, got[0], want)
		}
	}
}

func TestADeleteWhoseOutcomeIsNotKnownLeavesARecordWithItsStatus(t *testing.T) {
	s := newAPI(t, setup{store: failing(store.ErrUnavailable)})
	s.status(requestFor("DELETE", "k", wiki))
	if got := s.records(t); len(got) != 1 || got[0].Decision != "allowed" || got[0].Status != 503 || got[0].Key != "" {
		t.Errorf("%+v", got)
	}
}

func TestRefusalsDoNotFloodTheLog(t *testing.T) {
	s, c := timed(t, setup{})
	for range 1000 {
		s.status(requestFor("GET", "k", "userinfo_nobody"))
	}
	s.status(requestFor("GET", "dewiki%3A1", enwiki)) // another's records are not dropped for it
	if got := s.records(t); len(got) != auditBurst+1 || got[auditBurst].Client != "enwiki" {
		t.Fatalf("%d records of 1000 strangers and a client", len(got))
	}
	c.advance(time.Second)
	for range 1000 {
		s.status(requestFor("GET", "k", "userinfo_nobody"))
	}
	got := s.records(t)
	if len(got) != auditBurst+1+auditRate {
		t.Errorf("%d records a second later", len(got))
	}
	if first := got[auditBurst+1]; first.Dropped != 1000-auditBurst {
		t.Errorf("the next says that %d were dropped; want %d", first.Dropped, 1000-auditBurst)
	}
	if n := testutil.ToFloat64(s.api.limiter.droppedRecords.WithLabelValues("")); n != 2000-auditBurst-auditRate {
		t.Errorf("%v are counted as dropped", n)
	}
	for range 1000 {
		s.status(requestFor("DELETE", "k", wiki))
	}
	if n := len(s.records(t)) - len(got); n != 1000 {
		t.Errorf("%d records of 1000 deletes", n)
	}
}

func TestAuditRecordsShowNoKeyNoTokenAndNoValue(t *testing.T) {
	s := newAPI(t, setup{})
	for _, method := range allMethods {
		for _, token := range []access.Token{enwiki, reader, "planted-token"} {
			s.status(requestFor(method, "planted-key", token))
		}
	}
	if got := s.audit.String(); strings.Contains(got, "planted") || strings.Contains(got, string(enwiki)) || !strings.Contains(got, "denied") {
		t.Errorf("the records are %s", got)
	}
}
