package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/access"
	"userinfo/store"
)

// record is one audit record.
type record struct {
	Msg, Decision, Client, Method, Route, Peer, Address, Reason, Key string
	Status                                                           int
	Dropped                                                          int64
	Request                                                          string `json:"request_id"`
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

func TestAudit_Records(t *testing.T) {
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
		{"a delete of a foreign key", requestFor("DELETE", "dewiki%3A1", enwiki), &record{Decision: "denied", Client: "enwiki", Method: "DELETE", Status: 403,
			Reason: "denied: outside its key patterns", Key: key.Hash("dewiki:1")}},
		{"a get of a foreign key", requestFor("GET", "dewiki%3A1", enwiki), &record{Decision: "denied", Client: "enwiki", Method: "GET", Status: 403,
			Reason: "denied: outside its key patterns", Key: key.Hash("dewiki:1")}},
		{"a set without the grant", requestFor("PUT", "k", reader), &record{Decision: "denied", Client: "reader", Method: "PUT", Status: 403,
			Reason: "denied: no grant", Key: key.Hash("k")}},
		{"an unknown token", requestFor("GET", "k", "userinfo_nobody"), &record{Decision: "denied", Method: "GET", Status: 401,
			Reason: "not authenticated: unknown token, or not from this network", Key: key.Hash("k")}},
		{"a get", requestFor("GET", "enwiki%3A1", enwiki), nil},
		{"a set", requestFor("PUT", "enwiki%3A1", enwiki), nil},
		{"a delete with an invalid key", requestFor("DELETE", "enwiki%3A"+strings.Repeat("x", 5000), enwiki), nil},
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
		if got[0] != want || !uuidForm.MatchString(got[0].Request) {
			t.Errorf("%s: %+v\nwant %+v", test.name, got[0], want)
		}
	}
}

func TestAudit_DeleteWithUnknownOutcome(t *testing.T) {
	s := newAPI(t, setup{store: failing(store.ErrUnavailable)})
	s.status(requestFor("DELETE", "k", wiki))
	if got := s.records(t); len(got) != 1 || got[0].Decision != "allowed" || got[0].Status != 503 || got[0].Key != "" {
		t.Errorf("%+v", got)
	}
}

func TestAudit_DropsRecords(t *testing.T) {
	s, c := timed(t, setup{})
	for range 1000 {
		s.status(requestFor("GET", "k", "userinfo_nobody"))
	}
	s.status(requestFor("GET", "dewiki%3A1", enwiki)) // another client has its own limit
	if got := s.records(t); len(got) != auditBurst+1 || got[auditBurst].Client != "enwiki" {
		t.Fatalf("%d records after 1000 unauthenticated requests and one of a client", len(got))
	}
	c.advance(time.Second)
	for range 1000 {
		s.status(requestFor("GET", "k", "userinfo_nobody"))
	}
	got := s.records(t)
	if len(got) != auditBurst+1+auditRate {
		t.Errorf("%d records one second later", len(got))
	}
	if first := got[auditBurst+1]; first.Dropped != 1000-auditBurst {
		t.Errorf("the next record says that %d were dropped; want %d", first.Dropped, 1000-auditBurst)
	}
	if n := testutil.ToFloat64(s.api.limiter.droppedRecords.WithLabelValues("")); n != 2000-auditBurst-auditRate {
		t.Errorf("the metric says that %v were dropped", n)
	}
	for range 1000 {
		s.status(requestFor("DELETE", "k", wiki))
	}
	if n := len(s.records(t)) - len(got); n != 1000 {
		t.Errorf("%d records of 1000 deletes", n)
	}
}

func TestAudit_NoSecrets(t *testing.T) {
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

// errNoAudit is why the audit log of a test cannot be written.
var errNoAudit = errors.New("the audit log cannot be written")

func TestAudit_UnavailableRefusesWhatMustBeAudited(t *testing.T) {
	with := func(r *http.Request, change func(*http.Request)) *http.Request {
		change(r)
		return r
	}
	for _, test := range []struct {
		name     string
		request  func() *http.Request
		required int // status if records are required
		optional int // status if they may be lost
	}{
		{"a delete", func() *http.Request { return requestFor("DELETE", "k", wiki) }, 503, 204},
		{"a delete with a body", func() *http.Request {
			return with(requestFor("DELETE", "k", wiki), body(io.NopCloser(strings.NewReader("x")), 1))
		}, 503, 400},
		{"a get", func() *http.Request { return requestFor("GET", "k", wiki) }, 200, 200},
		{"a set", func() *http.Request { return requestFor("PUT", "k", wiki) }, 204, 204},
		{"a touch without TTL", func() *http.Request {
			return with(requestFor("PATCH", "k", wiki), func(r *http.Request) { r.Header.Del("TTL") })
		}, 400, 400},
		{"a get of a foreign key", func() *http.Request { return requestFor("GET", "dewiki%3A1", enwiki) }, 503, 403},
		{"an unknown token", func() *http.Request { return requestFor("GET", "k", "userinfo_nobody") }, 503, 401},
		{"no such resource", func() *http.Request { return httptest.NewRequest("GET", "/x", nil) }, 404, 404},
	} {
		for _, optional := range []bool{false, true} {
			r := new(recorder)
			s := newAPI(t, setup{store: r.store(), noAudit: errNoAudit, auditOptional: optional})
			want := test.required
			if optional {
				want = test.optional
			}
			w := httptest.NewRecorder()
			s.api.ServeHTTP(w, test.request())
			if w.Code != want {
				t.Errorf("%s, optional %t: status %d; want %d", test.name, optional, w.Code, want)
			}
			if calls := r.take(); want == 503 && len(calls) > 0 {
				t.Errorf("%s: the store was called: %v", test.name, calls)
			}
			if want == 503 {
				checkProblem(t, answer{status: w.Code, header: w.Header(), body: w.Body.String()}, 503, "audit-unavailable")
			}
			if got := s.records(t); len(got) > 0 || s.audit.reserved.Load() != 0 {
				t.Errorf("%s: %d records, %d reserved", test.name, len(got), s.audit.reserved.Load())
			}
			if log := s.logs.String(); strings.Contains(log, `"level":"ERROR"`) {
				t.Errorf("%s: clients can fill the log with errors: %s", test.name, log)
			}
		}
	}
}

func TestAudit_EveryReservationIsUsedOnce(t *testing.T) {
	panics := stub(func(context.Context, call) (store.Value, error) { panic("a fault") })
	for name, st := range map[string]store.Store{"memory": nil, "refusing": failing(access.ErrDenied), "unavailable": failing(store.ErrUnavailable), "panicking": panics} {
		s := newAPI(t, setup{store: st})
		for _, method := range allMethods {
			for _, token := range []access.Token{wiki, enwiki, reader, "userinfo_nobody"} {
				for range auditBurst {
					s.status(requestFor(method, "k", token))
				}
			}
		}
		if n := s.audit.reserved.Load(); n != 0 {
			t.Errorf("%s: %d reservations are left", name, n)
		}
		if got := s.records(t); !slices.ContainsFunc(got, func(r record) bool { return r.Method == "DELETE" && r.Client == "wiki" }) {
			t.Errorf("%s: no delete is recorded", name)
		}
	}
}

func TestAudit_ShownByReadiness(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{{nil, "ready\n"}, {errNoAudit, readyWithoutAudit}} {
		if got := newAPI(t, setup{noAudit: test.err}).serve("GET", "/readyz", nil); got.status != 200 || got.body != test.want {
			t.Errorf("%d %q; want 200 %q", got.status, got.body, test.want)
		}
	}
}
