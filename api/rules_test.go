package api

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/access/forwarded"
)

func TestRules_AreTakenOnceForEachRequest(t *testing.T) {
	s := newAPI(t, setup{})
	current := s.api.config.Rules
	taken := 0
	s.api.config.Rules = func() *Rules {
		taken++
		return current()
	}
	for _, a := range []struct {
		name, method, path string
		token              access.Token
	}{
		{"a success", "PUT", "/sessions/v1/k", wiki},
		{"a refusal, which is audited", "GET", "/sessions/v1/dewiki%3Ak", enwiki},
		{"an unauthenticated request", "GET", "/sessions/v1/k", "unknown"},
		{"an unknown path", "GET", "/nowhere", wiki},
		{"health", "GET", "/healthz", wiki},
	} {
		taken = 0
		if s.serve(a.method, a.path, as(a.token)); taken != 1 {
			t.Errorf("%s: the rules were taken %d times; want once", a.name, taken)
		}
	}
}

func TestRules_WithoutKeysNoSignatureKeyIsFound(t *testing.T) {
	r := &Rules{Policy: new(access.Policy), Forwarded: new(forwarded.Rules)}
	if _, found := r.signatureKey(""); found {
		t.Error("a key was found in an empty set")
	}
}

func TestRules_ReloadAppliesToNextRequest(t *testing.T) {
	var policy atomic.Pointer[access.Policy]
	first, err := testPolicy()
	if err != nil {
		t.Fatal(err)
	}
	other, err := accesstest.Policy([]access.Client{{
		Name: "other", Tokens: []access.TokenRule{{SHA256: access.Token("other-token").HashText()}}, Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"},
	}}, []string{"sessions"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var r recorder
	s := start(t, setup{policy: policy.Load, store: r.store()})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for _, step := range []struct {
			rules  *access.Policy
			token  access.Token
			status int
		}{{first, wiki, 200}, {first, "other-token", 401}, {other, wiki, 401}, {other, "other-token", 200}} {
			policy.Store(step.rules)
			if got := s.must(t, c, ask{method: "GET", path: "/sessions/v1/k", header: as(step.token)}); got.status != step.status {
				t.Errorf("%s: %d; want %d", protocol, got.status, step.status)
			}
		}
	}
}

func TestRules_ZeroPolicyRefusesEverybody(t *testing.T) {
	s := newAPI(t, setup{policy: func() *access.Policy { return &access.Policy{} }})
	for _, path := range []string{"/sessions/v1/k", "/metrics", "/openapi"} {
		checkProblem(t, s.serve("GET", path, as(wiki)), 401, "unauthenticated")
		checkProblem(t, s.serve("GET", path, http.Header{}), 403, "forbidden")
	}
}
