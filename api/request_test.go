package api

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/devca"
	"userinfo/store"
)

func TestRequestState_AuthenticatesAtMostOnce(t *testing.T) {
	canary := issue(testCA(), devca.Leaf{CommonName: "canary", Client: true}).Leaf
	checks := 0
	clientCAs := func([][]*x509.Certificate) ([]string, error) {
		checks++
		return []string{access.DefaultClientCA}, nil
	}
	guarded := healthOf(access.Alternative{Certificate: new(true)})
	for _, test := range []struct {
		name         string
		setup        setup
		method, path string
		status       int
		checks       int
	}{
		{"a success", setup{}, "PUT", "/sessions/v1/canary%3Ak", 204, 1},
		{"an absent key", setup{}, "GET", "/sessions/v1/canary%3Ak", 404, 1},
		{"a key that the client may not use", setup{}, "GET", "/sessions/v1/k", 403, 1},
		{"a header that is refused", setup{}, "PATCH", "/sessions/v1/canary%3Ak", 400, 1},
		{"an unavailable store", setup{store: failing(store.ErrUnavailable)}, "DELETE", "/sessions/v1/canary%3Ak", 503, 1},
		{"metrics without the grant", setup{}, "GET", "/metrics", 403, 1},
		{"guarded health", setup{policy: guarded}, "GET", "/healthz", 200, 1},
		{"open health", setup{}, "GET", "/healthz", 200, 0},
		{"an unknown path", setup{}, "GET", "/nowhere", 404, 0},
		{"an unknown method", setup{}, "BREW", "/sessions/v1/canary%3Ak", 405, 0},
		{"a query string", setup{}, "GET", "/sessions/v1/canary%3Ak?x", 400, 0},
		{"overload", setup{maxInFlight: -1}, "GET", "/sessions/v1/canary%3Ak", 503, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.setup.clientCAs = clientCAs
			s := newAPI(t, test.setup)
			checks = 0
			r := requestFor(test.method, "k", "")
			r.RequestURI = test.path
			if u, err := r.URL.Parse(test.path); err == nil {
				r.URL = u
			}
			r.Header.Del("Authorization")
			r.Header.Del("TTL")
			r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{canary}}}
			w := httptest.NewRecorder()
			if s.api.ServeHTTP(w, r); w.Code != test.status {
				t.Errorf("status %d %s; want %d", w.Code, w.Body, test.status)
			}
			if checks != test.checks {
				t.Errorf("the certificate was checked %d times; want %d", checks, test.checks)
			}
		})
	}
}

func TestRequestState_RefusalBeforeAuthenticationUsesNoNonce(t *testing.T) {
	secret, err := signature.NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signature.HMACSigningKey("signer-1", secret)
	if err != nil {
		t.Fatal(err)
	}
	rules := testRules(access.Client{Name: "signer", SignatureKeys: []access.SignatureKey{{ID: "signer-1", File: "f"}},
		Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"}})
	policy, err := access.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	s := newAPI(t, setup{policy: func() *access.Policy { return policy }, signatureKeys: map[string]signature.Key{"signer-1": key.Key}})
	s.api.config.Signatures = signature.NewVerifier(signature.Config{Nonces: 1}) // there is room for one nonce
	ask := func(method, path string) int {
		t.Helper()
		r := httptest.NewRequest(method, "https://test"+path, nil)
		if err := (signature.Signer{Key: key}).Sign(r, nil); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		return w.Code
	}
	for _, refused := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/nowhere", http.StatusNotFound},
		{"BREW", "/sessions/v1/k", http.StatusMethodNotAllowed},
		{"GET", "/sessions/v1/k?x", http.StatusBadRequest},
		{"GET", "/healthz", http.StatusOK},
	} {
		if got := ask(refused.method, refused.path); got != refused.status {
			t.Errorf("%s %s: status %d; want %d", refused.method, refused.path, got, refused.status)
		}
	}
	if got := ask("GET", "/sessions/v1/k"); got != http.StatusNotFound {
		t.Errorf("the first request that needs a nonce: status %d; want 404", got)
	}
	if got := ask("GET", "/sessions/v1/k"); got != http.StatusTooManyRequests {
		t.Errorf("the second request that needs a nonce: status %d; want 429, or this test proves nothing", got)
	}
}
