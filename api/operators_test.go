package api

import (
	"strings"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

func TestRewrittenKeys_AreListedForOperatorsOnly(t *testing.T) {
	since := time.Date(2026, 11, 29, 8, 0, 0, 5, time.FixedZone("", 3600))
	s := newAPI(t, setup{rewrittenKeys: func() []store.RewrittenKeys {
		return []store.RewrittenKeys{
			{Collection: "sessions", Since: since, Writes: 9, Keys: []store.RewrittenKey{{Hash: "11111111:22", Writes: 5, AtMost: 7, Unchanged: 4}}},
			{Collection: "others", Since: since},
		}
	}})
	got := s.serve("GET", rewrittenKeysPath, as(ops))
	const want = `{"collections":[` +
		`{"collection":"sessions","since":"2026-11-29T07:00:00Z","writes":9,"keys":[{"hash":"11111111:22","writes":5,"at_most":7,"unchanged":4}]},` +
		`{"collection":"others","since":"2026-11-29T07:00:00Z","writes":0,"keys":[]}]}` + "\n"
	if got.status != 200 || got.body != want || got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s; want %s", got.status, got.header, got.body, want)
	}
	for _, token := range []access.Token{wiki, reader, prom, docs, elsewhere, "unknown"} {
		if got := s.serve("GET", rewrittenKeysPath, as(token)); got.status != 403 && got.status != 401 || strings.Contains(got.body, "hash") {
			t.Errorf("another client: %d %s", got.status, got.body)
		}
	}
	for _, path := range []string{"/operators/v1/k", "/operators/v1", rewrittenKeysPath + "/k", rewrittenKeysPath + "/"} {
		if got := s.serve("GET", path, as(ops)); got.status != 404 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if got := s.serve("GET", rewrittenKeysPath+"?key=k", as(ops)); got.status != 400 {
		t.Errorf("with a query: %d", got.status)
	}
}

// TestRewrittenKeys_AreClosedByDefault has rules that do not list the audience operators.
func TestRewrittenKeys_AreClosedByDefault(t *testing.T) {
	rules := testRules()
	delete(rules.Audiences, access.Operators)
	policy, err := access.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	s := newAPI(t, setup{policy: func() *access.Policy { return policy }})
	if got := s.serve("GET", rewrittenKeysPath, as(ops)); got.status != 403 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestRewrittenKeys_OfAStoreWithoutAny(t *testing.T) {
	s := newAPI(t, setup{})
	if got := s.serve("GET", rewrittenKeysPath, as(ops)); got.status != 200 || got.body != "{\"collections\":[]}\n" {
		t.Errorf("%d %s", got.status, got.body)
	}
}
