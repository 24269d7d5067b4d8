package api

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"userinfo/access"
	"userinfo/internal/devca"
	"userinfo/store"
)

// Marked parts of secrets. No part occurs in any text by chance.
const (
	keyHead, keyTail     = "kQ7head", "Zx9tail"
	valueHead, valueTail = "vW3head", "Yb5tail"
	tokenHead, tokenTail = "tR8head", "Lm2tail"
)

const (
	markedKey                = "enwiki:MWSession:" + keyHead + "/" + keyTail
	markedValue              = valueHead + "\x00" + valueTail
	markedToken access.Token = tokenHead + "-" + tokenTail
)

// leaks returns the marked parts in the encodings in which they could leak.
func leaks() []string {
	var all []string
	for _, part := range []string{keyHead, keyTail, valueHead, valueTail, tokenHead, tokenTail} {
		all = append(all, part, strings.ToLower(part), hex.EncodeToString([]byte(part)), escape(part),
			base64.RawStdEncoding.EncodeToString([]byte(part))[:8], fmt.Sprint([]byte(part)))
	}
	return all
}

// noLeak fails the test if text contains a marked part.
func noLeak(t *testing.T, where, text string) {
	t.Helper()
	for _, leak := range leaks() {
		if strings.Contains(strings.ToLower(text), strings.ToLower(leak)) {
			t.Errorf("%s: %q is in %s", where, leak, text)
		}
	}
}

// markedService starts a service with a client whose token is marked.
func markedService(t *testing.T, st store.Store) *service {
	t.Helper()
	policy, err := access.NewPolicy(testRules(access.Client{
		Name: "marked", Tokens: []access.TokenRule{{SHA256: markedToken.HashText()}},
		Grants: []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete", "metrics:get"}, Keys: []string{"enwiki:*"},
	}))

	if err != nil {
		t.Fatal(err)
	}
	return start(t, setup{store: st, policy: func() *access.Policy { return policy }})
}

// operations returns one request for each method on a marked key.
func operations(token access.Token) []ask {
	path := "/sessions/v1/" + strings.ReplaceAll(markedKey, "/", "%2F")
	value := func() io.Reader { return strings.NewReader(markedValue) }
	return []ask{
		{method: "PUT", path: path, header: as(token), body: value()},
		{method: "GET", path: path, header: as(token)},
		{method: "POST", path: path, header: as(token), body: io.MultiReader(value())},
		{method: "PATCH", path: path, header: as(token, "TTL", "60")},
		{method: "DELETE", path: path, header: as(token)},
		{method: "GET", path: path, header: as(token)},
		{method: "PUT", path: path, header: as(token), body: value()},
	}
}

// mistakes returns invalid requests that contain secrets.
func mistakes() []ask {
	path := "/sessions/v1/" + strings.ReplaceAll(markedKey, "/", "%2F")
	value := func() io.Reader { return strings.NewReader(markedValue) }
	long := strings.Repeat(keyHead, 1000)
	return []ask{
		{method: "PUT", path: path, header: as(markedToken, "TTL", valueHead), body: value()},
		{method: "PUT", path: path, header: as(markedToken, "TTL", "5", "TTL", valueTail), body: value()},
		{method: "PUT", path: path, header: as(markedToken), body: strings.NewReader(strings.Repeat(markedValue, 1<<17))},
		{method: "PUT", path: path, header: as(markedToken)},
		{method: "GET", path: path, header: as(markedToken), body: value()},
		{method: "GET", path: path + "?" + keyHead + "=" + valueHead, header: as(markedToken)},
		{method: "GET", path: "/sessions/v1/" + long, header: as(markedToken)},
		{method: "GET", path: "/sessions/v2/" + keyHead, header: as(markedToken)},
		{method: "GET", path: "/" + keyHead + "/" + keyTail, header: as(markedToken)},
		{method: "GET", path: "/sessions/v1/dewiki%3A" + keyHead, header: as(markedToken)},
		{method: keyHead, path: path, header: as(markedToken)},
		{method: "GET", path: path, header: http.Header{"Authorization": {"Basic " + tokenHead}}},
		{method: "GET", path: path, header: http.Header{"Authorization": {tokenHead + " " + tokenTail}}},
		{method: "GET", path: path, header: http.Header{"Authorization": {"Bearer " + tokenHead, "Bearer " + tokenTail}}},
		{method: "GET", path: path, header: http.Header{"Authorization": {"Bearer " + tokenHead + "\xff" + tokenTail}}},
		{method: "GET", path: path, header: as(markedToken[:len(markedToken)-1])},
		{method: "GET", path: "/openapi", header: as(markedToken)},
		{method: "GET", path: path, header: as(markedToken, "X-Key", markedKey[:20], "Cookie", "session="+keyTail, "User-Agent", valueHead, "Referer", "https://"+keyTail, "X-Request-Id", tokenHead)},
	}
}

func TestAPI_NoSecretInLogMetricOrProblem(t *testing.T) {
	t.Parallel()
	stores := map[string]store.Store{
		"memory": nil,
		"a store that panics": stub(func(_ context.Context, c call) (store.Value, error) {
			panic(fmt.Sprint(string(c.key), string(c.data)))
		}),
		"an unknown error": failing(errors.New("unknown")),
	}
	for _, s := range sentinels {
		stores[s.name] = failing(fmt.Errorf("doing: %w", s.err))
	}
	for name, st := range stores {
		s := markedService(t, st)
		for _, protocol := range protocols {
			c := s.client(t, protocol)
			asks := append(operations(markedToken), operations("userinfo_other")...)
			if st == nil { // the store does not matter: it is not called
				asks = append(asks, mistakes()...)
			}
			for _, a := range asks {
				got := s.must(t, c, a)
				if got.status >= 300 {
					noLeak(t, name+": a problem document", got.body+fmt.Sprint(got.header))
				}
			}
			metrics := s.must(t, c, ask{method: "GET", path: "/metrics", header: as(markedToken)})
			if metrics.status != 200 {
				t.Fatalf("%s: /metrics: %d", name, metrics.status)
			}
			noLeak(t, name+": the metrics", metrics.body)
		}
		noLeak(t, name+": the log", s.logs.String())
		if n := strings.Count(s.logs.String(), "\n"); n < 2*len(operations("")) {
			t.Errorf("%s: the log has %d lines; at level debug it has more", name, n)
		}
	}
}

func TestServer_NoSecretInLogOfBrokenConnection(t *testing.T) {
	s := markedService(t, nil)
	token := "Authorization: Bearer " + string(markedToken) + "\r\n"
	for _, text := range []string{
		"GET /sessions/v1/" + keyHead + "%zz HTTP/1.1\r\nHost: h\r\n" + token + "\r\n",
		"GET /sessions/v1/" + keyHead + " " + keyTail + " HTTP/1.1\r\nHost: h\r\n" + token + "\r\n",
		"GET /sessions/v1/" + keyHead + "\x01 HTTP/1.1\r\nHost: h\r\n" + token + "\r\n",
		"GET /sessions/v1/" + keyHead + " HTTP/9.9\r\nHost: h\r\n" + token + "\r\n",
		"GET /sessions/v1/" + keyHead + " HTTP/1.1\r\n" + token + "\r\n",
		"GET /sessions/v1/" + keyHead + " HTTP/1.1\r\nHost: " + keyTail + " " + keyHead + "\r\n" + token + "\r\n",
		"GET /sessions/v1/" + keyHead + " HTTP/1.1\r\nHost: h\r\n" + tokenHead + " " + tokenTail + "\r\n\r\n",
		"GET /sessions/v1/" + keyHead + " HTTP/1.1\r\nHost: h\r\nX: \x00" + tokenTail + "\r\n\r\n",
		"PUT /sessions/v1/enwiki:" + keyHead + " HTTP/1.1\r\nHost: h\r\n" + token + "Content-Length: " + valueHead + "\r\n\r\n",
		"PUT /sessions/v1/enwiki:" + keyHead + " HTTP/1.1\r\nHost: h\r\n" + token + "Transfer-Encoding: " + valueHead + "\r\n\r\n",
		"PUT /sessions/v1/enwiki:" + keyHead + " HTTP/1.1\r\nHost: h\r\n" + token + "Expect: " + valueHead + "\r\n\r\n",
		"PUT /sessions/v1/enwiki:" + keyHead + " HTTP/1.1\r\nHost: h\r\n" + token + "Transfer-Encoding: chunked\r\n\r\n" + valueHead + "\r\n",
		"PUT /sessions/v1/enwiki:" + keyHead + " HTTP/1.1\r\nHost: h\r\n" + token + "Content-Length: 100\r\n\r\n" + valueHead,
		keyHead + valueHead + tokenHead,
	} {
		w := s.wire(t)
		w.send(t, text)
		if err := w.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(w.r) // a connection that is cut off is an answer, too
		noLeak(t, "an answer", string(said))
	}
	// HTTP without TLS.
	raw := s.dial(t)
	if _, err := io.WriteString(raw, "GET /sessions/v1/"+keyHead+" HTTP/1.1\r\nHost: h\r\n"+token+"\r\n"); err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(raw)
	noLeak(t, "an answer to plain HTTP", string(said))
	eventually(t, "the connections are closed", func() bool { return gauge(t, s, "userinfo_connections") == 0 })
	eventually(t, "the log has a handshake error", func() bool { return strings.Contains(s.logs.String(), "TLS handshake error") })
	noLeak(t, "the log", s.logs.String())
}

func TestLeaks_FindsEncodedSecrets(t *testing.T) {
	for _, text := range []string{markedKey, markedValue, string(markedToken), fmt.Sprintf("%q", markedValue), fmt.Sprintf("%x", markedKey), escape(markedKey)} {
		found := false
		for _, leak := range leaks() {
			found = found || strings.Contains(strings.ToLower(text), strings.ToLower(leak))
		}
		if !found {
			t.Errorf("no leak was found in %q", text)
		}
	}
}

const (
	challengeNone  = `Bearer realm="userinfo"`
	challengeToken = `Bearer realm="userinfo", error="invalid_token"`
)

func TestAPI_Permissions(t *testing.T) {
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
		{name: "no credentials", path: "/sessions/v1/k", status: 401, problem: "unauthenticated", challenge: challengeNone},
		{name: "no credentials, metrics", path: "/metrics", status: 401, problem: "unauthenticated", challenge: challengeNone},
		{name: "no credentials, description", path: "/openapi", status: 401, problem: "unauthenticated", challenge: challengeNone},
		{name: "no credentials, healthz", path: "/healthz", status: 200},
		{name: "no credentials, readyz", path: "/readyz", status: 200},
		{name: "no credentials, key too long", path: "/sessions/v1/" + strings.Repeat("k", 5000), status: 401, problem: "unauthenticated", challenge: challengeNone},
		{name: "token", header: as(wiki), path: "/sessions/v1/k", status: 200},
		{name: "token, scheme in another case", header: http.Header{"Authorization": {"bEARER " + string(wiki)}}, path: "/sessions/v1/k", status: 200},
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
		{name: "token, key pattern escaped twice", header: as(enwiki), path: "/sessions/v1/enwiki%253Ak", status: 403, problem: "forbidden"},
		{name: "token for sessions, metrics", header: as(wiki), path: "/metrics", status: 403, problem: "forbidden"},
		{name: "token for sessions, description", header: as(wiki), path: "/openapi", status: 403, problem: "forbidden"},
		{name: "token for metrics", header: as(prom), path: "/metrics", status: 200},
		{name: "token for metrics, description", header: as(prom), path: "/openapi", status: 403, problem: "forbidden"},
		{name: "token for metrics, sessions", header: as(prom), path: "/sessions/v1/k", status: 403, problem: "forbidden"},
		{name: "token for the description", header: as(docs), path: "/openapi", status: 200},
		{name: "token for the description, metrics", header: as(docs), path: "/metrics", status: 403, problem: "forbidden"},
		{name: "certificate within its keys", certificate: &canary, path: "/sessions/v1/canary%3Ak", status: 200},
		{name: "certificate outside its keys", certificate: &canary, path: "/sessions/v1/k", status: 403, problem: "forbidden"},
		{name: "certificate of no client", certificate: &stranger, path: "/sessions/v1/k", status: 401, problem: "unauthenticated", challenge: challengeNone},
		{name: "certificate of no client, token", certificate: &stranger, header: as(wiki), path: "/sessions/v1/k", status: 200},
		{name: "certificate and token of different clients", certificate: &canary, header: as(wiki), path: "/sessions/v1/canary%3Ak", status: 400, problem: "conflicting-credentials"},
		{name: "certificate, unknown token", certificate: &canary, header: as("wrong"), path: "/sessions/v1/canary%3Ak", status: 401, problem: "unauthenticated", challenge: challengeToken},
		{name: "certificate, healthz", certificate: &canary, path: "/healthz", status: 200},
		{name: "unknown method, no credentials", method: "BREW", path: "/sessions/v1/k", status: 405, problem: "method-not-allowed"},
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
					t.Errorf("%s: the request reached the store", protocol)
				}
			}
		})
	}
}
