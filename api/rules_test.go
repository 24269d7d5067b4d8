package api

import (
	"testing"

	"userinfo/access"
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
