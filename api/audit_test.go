package api

import (
	"encoding/json"
	"net/http"
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
