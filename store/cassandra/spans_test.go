package cassandra

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
	"userinfo/api"
	"userinfo/internal/certchain"
	"userinfo/internal/tracing/tracingtest"
	"userinfo/store"
)

// What must not be in any span.
const (
	plantedKey   = "planted-session-key"
	plantedValue = "planted-session-value"
	plantedToken = access.Token("userinfo_planted-token")
)

// tracedService is the API with a collection in a stub of two nodes. It records every request.
type tracedService struct {
	*api.API
	t         *testing.T
	stub      *stub
	collector tracingtest.Collector
	close     func()
}

func newTracedService(t *testing.T) *tracedService {
	t.Helper()
	s := newStub(t)
	s.listen("127.0.0.2")
	s.set(func(s *stubState) {
		s.nodes = []stubNode{{1, "127.0.0.1", []string{"0"}, false}, {2, "127.0.0.2", []string{"5"}, false}}
		s.replication = map[string]string{"class": "NetworkTopologyStrategy", "dc1": "2"}
	})
	settings := s.config()
	settings.Timeout = time.Minute // a node that is silent stays so
	session, registry := s.open(settings, slog.New(slog.DiscardHandler))
	eventually(t, "both nodes are up", func() bool { return len(session.runner.Addresses()) == 2 })
	config := store.CollectionConfig{Name: "sessions", Table: "sessions", Layout: store.LayoutUserInfo, MaxTTL: time.Hour, Fence: time.Minute}
	table := session.Table(config)
	config.Layout = store.LayoutKask // which need not be sealed: the row key is the planted key itself
	yes := true
	policy, err := access.NewPolicy(access.PolicyConfig{
		Clients: []access.Client{{
			Name: "wiki", Tokens: []access.TokenRule{{SHA256: plantedToken.HashText()}}, Keys: []string{"*"},
			Grants: []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete"},
		}},
		Audiences:   access.Audiences{"sessions": {{Token: &yes}}},
		Collections: []string{"sessions"},
		Now:         time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	authorities, err := access.ParseAuthorities("", []string{"example.com"})
	if err != nil {
		t.Fatal(err)
	}
	headers, err := forwarded.NewRules(certchain.New(s.ca.Certificate()), "")
	if err != nil {
		t.Fatal(err)
	}
	service := &tracedService{t: t, stub: s}
	tracer := service.collector.New(1)
	service.close = tracer.Close
	t.Cleanup(tracer.Close)
	log := slog.New(slog.DiscardHandler)
	service.API = api.New(api.Config{
		Collections: []api.Collection{{
			Name: "sessions", Path: "/sessions/v1", DefaultTTL: time.Hour, MaxTTL: time.Hour, MaxValueBytes: 1 << 20,
			Store: store.NewCollection(table, config, store.Options{Now: time.Now, Log: log, Metrics: store.NewMetrics(registry)}),
		}},
		Rules: func() *api.Rules {
			return &api.Rules{
				Policy: policy, Authorities: authorities, Forwarded: headers,
				ClientCAs: func([][]*x509.Certificate) ([]string, error) { return nil, nil },
			}
		},
		Ready: func(context.Context) error { return nil }, Signatures: signature.NewVerifier(signature.Config{}), Audit: noAudit{},
		MaxInFlight: 100, RequestTimeout: time.Minute, Tracer: tracer, Registry: registry, Log: log, Now: time.Now, Random: rand.Reader,
	})
	return service
}

// noAudit drops all records.
type noAudit struct{}

func (noAudit) Reserve(bool) (bool, error)           { return false, nil }
func (noAudit) Record(context.Context, ...slog.Attr) {}
func (noAudit) Release()                             {}
func (noAudit) Check() error                         { return nil }

// spans sends one request and returns its spans, by their names. It checks the parents of all spans, and that nothing planted is in
// any.
func (s *tracedService) spans(method string, status int) map[string][]tracingtest.Span {
	s.t.Helper()
	var r *http.Request
	if method == http.MethodPut {
		r = httptest.NewRequest(method, "/sessions/v1/"+plantedKey, strings.NewReader(plantedValue))
	} else {
		r = httptest.NewRequest(method, "/sessions/v1/"+plantedKey, nil)
	}
	r.Header.Set("Authorization", "Bearer "+string(plantedToken))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != status {
		s.t.Fatalf("status %d %s; want %d", w.Code, w.Body, status)
	}
	s.close()
	for _, secret := range []string{plantedKey, plantedValue, string(plantedToken)} {
		if form := tracingtest.Find(s.collector.Raw(), secret); form != "" {
			s.t.Errorf("the spans contain %s, %s", secret, form)
		}
	}
	byName := make(map[string][]tracingtest.Span)
	for _, span := range s.collector.Spans(s.t) {
		byName[span.Name] = append(byName[span.Name], span)
	}
	request, access := byName[method+" /sessions/v1/:key"], byName["access"]
	var call []tracingtest.Span
	for name, spans := range byName {
		if strings.HasPrefix(name, "sessions ") {
			call = append(call, spans...)
		}
	}
	if len(request) != 1 || len(access) != 1 || len(call) != 1 || request[0].Parent != "" || access[0].Parent != request[0].ID || call[0].Parent != request[0].ID {
		s.t.Fatalf("the spans are\n%s", s.tree())
	}
	for name, spans := range byName {
		for _, span := range spans {
			if span.Trace != request[0].Trace {
				s.t.Errorf("%s is in another trace", name)
			}
			if !strings.HasPrefix(name, "cassandra ") {
				continue
			}
			if a := span.Attributes; span.Parent != call[0].ID || span.Kind != "client" || a["db.system.name"] != "cassandra" || "cassandra "+a["db.operation.name"] != name ||
				a["server.address"] != "127.0.0.1" && a["server.address"] != "127.0.0.2" || a["userinfo.cassandra.breaker"] != "closed" {
				s.t.Errorf("%s is %+v", name, span)
			}
		}
	}
	return byName
}

func (s *tracedService) tree() string {
	return tracingtest.Tree(s.collector.Spans(s.t), "error.type", "cassandra.consistency.level", "userinfo.cassandra.attempt", "userinfo.cassandra.outcome", "server.address")
}

// attempts returns why the attempts began, in order, and how each ended.
func attempts(spans []tracingtest.Span) (all []string) {
	for _, s := range spans {
		all = append(all, s.Attributes["cassandra.consistency.level"]+" "+s.Attributes["userinfo.cassandra.attempt"]+" "+s.Attributes["userinfo.cassandra.outcome"])
	}
	return all
}

// TestSpans_HedgedGet has a node that does not answer.
func TestSpans_HedgedGet(t *testing.T) {
	t.Parallel()
	s := newTracedService(t)
	s.stub.silenceNext()
	spans := s.spans("GET", http.StatusNotFound)
	reads := spans["cassandra read"]
	all := attempts(reads)
	// On a busy machine the first attempt can become slow before the hedged one is answered.
	if len(all) != 2 || all[0] != "local_quorum first superseded" && all[0] != "local_quorum first slow" || all[1] != "local_quorum hedge ok" ||
		reads[0].Attributes["server.address"] == reads[1].Attributes["server.address"] || reads[0].Failed || reads[1].Failed {
		t.Errorf("the spans are\n%s", s.tree())
	}
	if got := spans["sessions get"][0]; got.Attributes["error.type"] != "not-found" || got.Failed {
		t.Errorf("the call of the store is %+v", got)
	}
}

// TestSpans_RetriedSet has a node that answers Unavailable once.
func TestSpans_RetriedSet(t *testing.T) {
	t.Parallel()
	s := newTracedService(t)
	s.stub.set(func(s *stubState) { s.failNext = "UPDATE" })
	spans := s.spans("PUT", http.StatusNoContent)
	writes := attempts(spans["cassandra write"])
	retried := slices.Equal(writes, []string{"local_quorum first unavailable", "local_quorum retry ok"})
	hedged := slices.Contains(writes, "local_quorum hedge ok") // on a busy machine, before the first attempt was answered
	if !retried && !hedged || len(spans["cassandra read marker"]) == 0 {
		t.Errorf("the spans are\n%s", s.tree())
	}
	if first := spans["cassandra write"][0]; retried && (!first.Failed || first.Attributes["error.type"] != "unavailable") {
		t.Errorf("the first attempt is %+v", first)
	}
	if spans["PUT /sessions/v1/:key"][0].Failed || spans["sessions set"][0].Failed {
		t.Errorf("a set that succeeded has failed:\n%s", s.tree())
	}
}

// TestSpans_DeleteThatIsNotEverywhere has another datacentre that does not answer.
func TestSpans_DeleteThatIsNotEverywhere(t *testing.T) {
	t.Parallel()
	s := newTracedService(t)
	s.stub.set(func(s *stubState) { s.eachQuorumFails = true })
	spans := s.spans("DELETE", http.StatusServiceUnavailable)
	deletes := attempts(spans["cassandra delete"])
	refused := 0
	for _, a := range deletes {
		if strings.HasPrefix(a, "each_quorum ") && strings.HasSuffix(a, " unavailable") {
			refused++
		}
	}
	if refused < 2 || !slices.Contains(deletes, "each_quorum first unavailable") || !slices.Contains(deletes, "local_quorum first ok") {
		t.Errorf("the attempts to delete are %q", deletes)
	}
	for _, name := range []string{"cassandra read", "cassandra record pending delete", "cassandra list segment"} {
		if len(spans[name]) == 0 || !slices.Contains(attempts(spans[name]), "local_quorum first ok") {
			t.Errorf("there is no %s", name)
		}
	}
	for _, name := range []string{"DELETE /sessions/v1/:key", "sessions delete"} {
		if got := spans[name][0]; got.Attributes["error.type"] != "not-everywhere" || !got.Failed {
			t.Errorf("%s is %+v", name, got)
		}
	}
	if t.Failed() {
		t.Logf("the spans are\n%s", s.tree())
	}
}
