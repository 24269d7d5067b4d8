package api

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/internal/devca"
)

const (
	challengeNone  = `Bearer realm="userinfo"`
	challengeToken = `Bearer realm="userinfo", error="invalid_token"`
)

func TestWhoMayDoWhat(t *testing.T) {
	canary := issue(testCA(), devca.Leaf{CommonName: "canary", Client: true})
	stranger := issue(testCA(), devca.Leaf{CommonName: "stranger", Client: true})
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, test := range []struct {
		name        string
		certificate *tls.Certificate
		header      http.Header // nil: no Authorization
		method      string      // usually GET
		path        string
		status      int
		problem     string
		challenge   string
	}{
		{name: "nobody", path: "/sessions/v1/k", status: 401, problem: "unauthenticated", challenge: challengeNone},
		{name: "nobody, metrics", path: "/metrics", status: 401, problem: "unauthenticated", challenge: challengeNone},
		{name: "nobody, description", path: "/openapi", status: 401, problem: "unauthenticated", challenge: challengeNone},
		{name: "nobody, alive", path: "/healthz", status: 200},
		{name: "nobody, ready", path: "/readyz", status: 200},
		{name: "a key that nobody could have", path: "/sessions/v1/" + strings.Repeat("k", 5000), status: 401, problem: "unauthenticated", challenge: challengeNone},
		{name: "token", header: as(wiki), path: "/sessions/v1/k", status: 200},
		{name: "token, another case of scheme", header: http.Header{"Authorization": {"bEARER " + string(wiki)}}, path: "/sessions/v1/k", status: 200},
		{name: "unknown token", header: as("userinfo_wrong"), path: "/sessions/v1/k", status: 401, problem: "unauthenticated", challenge: challengeToken},
		{name: "token from another network", header: as(elsewhere), path: "/sessions/v1/k", status: 401, problem: "unauthenticated", challenge: challengeToken},
		{name: "token cut short", header: as(wiki[:len(wiki)-1]), path: "/sessions/v1/k", status: 401, problem: "unauthenticated", challenge: challengeToken},
		{name: "empty token", header: as(""), path: "/sessions/v1/k", status: 400, problem: "malformed-credentials"},
		{name: "another scheme", header: http.Header{"Authorization": {"Basic d2lraTp3aWtp"}}, path: "/sessions/v1/k", status: 400, problem: "malformed-credentials"},
		{name: "two tokens", header: http.Header{"Authorization": {"Bearer " + string(wiki), "Bearer " + string(wiki)}}, path: "/sessions/v1/k", status: 400, problem: "malformed-credentials"},
		{name: "token without the grant", header: as(reader), method: "DELETE", path: "/sessions/v1/k", status: 403, problem: "forbidden"},
		{name: "token without the grant, touching", header: as(reader, "TTL", "7"), method: "PATCH", path: "/sessions/v1/k", status: 403, problem: "forbidden"},
		{name: "token without the grant, setting", header: as(reader), method: "PUT", path: "/sessions/v1/k", status: 403, problem: "forbidden"},
		{name: "token with the grant", header: as(reader), path: "/sessions/v1/k", status: 200},
		{name: "token within its keys", header: as(enwiki), path: "/sessions/v1/enwiki%3Ak", status: 200},
		{name: "token outside its keys", header: as(enwiki), path: "/sessions/v1/dewiki%3Ak", status: 403, problem: "forbidden"},
		{name: "token, a key that only looks like its own", header: as(enwiki), path: "/sessions/v1/enwiki%253Ak", status: 403, problem: "forbidden"},
		{name: "sessions' token, metrics", header: as(wiki), path: "/metrics", status: 403, problem: "forbidden"},
		{name: "sessions' token, description", header: as(wiki), path: "/openapi", status: 403, problem: "forbidden"},
		{name: "metrics' token", header: as(prom), path: "/metrics", status: 200},
		{name: "metrics' token, description", header: as(prom), path: "/openapi", status: 403, problem: "forbidden"},
		{name: "metrics' token, sessions", header: as(prom), path: "/sessions/v1/k", status: 403, problem: "forbidden"},
		{name: "description's token", header: as(docs), path: "/openapi", status: 200},
		{name: "description's token, metrics", header: as(docs), path: "/metrics", status: 403, problem: "forbidden"},
		{name: "certificate within its keys", certificate: &canary, path: "/sessions/v1/canary%3Ak", status: 200},
		{name: "certificate outside its keys", certificate: &canary, path: "/sessions/v1/k", status: 403, problem: "forbidden"},
		{name: "certificate of no client", certificate: &stranger, path: "/sessions/v1/k", status: 401, problem: "unauthenticated", challenge: challengeNone},
		{name: "certificate of no client, token", certificate: &stranger, header: as(wiki), path: "/sessions/v1/k", status: 200},
		{name: "certificate of one, token of another", certificate: &canary, header: as(wiki), path: "/sessions/v1/canary%3Ak", status: 400, problem: "conflicting-credentials"},
		{name: "right certificate, unknown token", certificate: &canary, header: as("wrong"), path: "/sessions/v1/canary%3Ak", status: 401, problem: "unauthenticated", challenge: challengeToken},
		{name: "right certificate, alive", certificate: &canary, path: "/healthz", status: 200},
		{name: "another method, nobody", method: "BREW", path: "/sessions/v1/k", status: 405, problem: "method-not-allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, protocol := range protocols {
				var certificates []tls.Certificate
				if test.certificate != nil {
					certificates = append(certificates, *test.certificate)
				}
				a := ask{method: orElse(test.method, "GET"), path: test.path, header: test.header}
				if a.header == nil {
					a.header = http.Header{"Authorization": nil}
				}
				got := s.must(t, s.client(t, protocol, certificates...), a)
				if test.problem != "" {
					checkProblem(t, got, test.status, test.problem)
				} else if got.status != test.status {
					t.Errorf("%s: %d %s", protocol, got.status, got.body)
				}
				if have := got.header.Get("WWW-Authenticate"); have != test.challenge {
					t.Errorf("%s: WWW-Authenticate %q; want %q", protocol, have, test.challenge)
				}
				if calls := r.take(); got.status >= 400 && len(calls) > 0 {
					t.Errorf("%s: it reached the store", protocol)
				}
			}
		})
	}
}

func TestACertificateOfAnotherCADoesNotCompleteTLS(t *testing.T) {
	foreign, err := devca.New("foreign")
	if err != nil {
		t.Fatal(err)
	}
	expired := issue(testCA(), devca.Leaf{CommonName: "canary", Client: true, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	s := start(t, setup{})
	for name, certificate := range map[string]tls.Certificate{
		"another CA": issue(foreign, devca.Leaf{CommonName: "canary", Client: true}), "expired": expired,
	} {
		for _, protocol := range protocols {
			// crypto/tls sends no certificate of a CA that the server did not name, unless it is made to.
			c := s.client(t, protocol)
			c.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
			if got, err := s.do(c, get("canary%3Ak")); err == nil {
				t.Errorf("%s, %s: answered %d", protocol, name, got.status)
			}
		}
	}
}

func TestACertificateThatTLSHasNotVerifiedIsNone(t *testing.T) {
	foreign, err := devca.New("foreign")
	if err != nil {
		t.Fatal(err)
	}
	certificate := issue(foreign, devca.Leaf{CommonName: "canary", Client: true})
	s := start(t, setup{clientAuth: tls.RequireAnyClientCert}) // a mistake in the settings of TLS
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		c.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
		checkProblem(t, s.must(t, c, ask{method: "GET", path: "/sessions/v1/canary%3Ak", header: http.Header{"Authorization": nil}}), 401, "unauthenticated")
	}
	parsed, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	peers := []*x509.Certificate{parsed}
	for name, state := range map[string]*tls.ConnectionState{
		"no TLS":         nil,
		"no chain":       {PeerCertificates: peers},
		"no chains":      {PeerCertificates: peers, VerifiedChains: [][]*x509.Certificate{}},
		"an empty chain": {PeerCertificates: peers, VerifiedChains: [][]*x509.Certificate{{}}},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if r.TLS = state; verifiedChains(r) != nil {
			t.Errorf("%s: it was believed", name)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	if r.TLS = (&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{peers}}); len(verifiedChains(r)) != 1 || verifiedChains(r)[0][0] != parsed {
		t.Error("one that was verified was not believed")
	}
}

func TestNewRulesHoldFromTheNextRequestOn(t *testing.T) {
	var policy atomic.Pointer[access.Policy]
	first, err := testPolicy()
	if err != nil {
		t.Fatal(err)
	}
	other, err := accesstest.Policy([]access.Client{{
		Name: "other", Tokens: []access.TokenRule{{SHA256: access.Token("other").HashText()}}, Grants: []access.Grant{"sessions:get"}, Keys: []string{"*"},
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
		}{{first, wiki, 200}, {first, "other", 401}, {other, wiki, 401}, {other, "other", 200}} {
			policy.Store(step.rules)
			if got := s.must(t, c, ask{method: "GET", path: "/sessions/v1/k", header: as(step.token)}); got.status != step.status {
				t.Errorf("%s: %d; want %d", protocol, got.status, step.status)
			}
		}
	}
}

func TestWithoutRulesNobodyMayDoAnything(t *testing.T) {
	s := newAPI(t, setup{policy: func() *access.Policy { return &access.Policy{} }})
	for _, path := range []string{"/sessions/v1/k", "/metrics", "/openapi"} {
		checkProblem(t, s.serve("GET", path, as(wiki)), 401, "unauthenticated")
		checkProblem(t, s.serve("GET", path, http.Header{}), 403, "forbidden")
	}
}
