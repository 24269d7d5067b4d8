package api

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/devca"
)

// signing is a service with a client that signs its requests, a client with a certificate, the usual clients and a
// trusted proxy.
type signing struct {
	*service
	signer signature.Signer
	other  signature.Signer // of wiki
	proxy  tls.Certificate
	envoy  tls.Certificate // a trusted proxy that sends X-Forwarded-Client-Cert
	canary tls.Certificate
}

func newSigning(t *testing.T, u setup) *signing {
	t.Helper()
	keys := make(map[string]signature.Key)
	signer := func(id string) signature.Signer {
		secret, err := signature.NewSecret(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := signature.HMACSigningKey(id, secret)
		if err != nil {
			t.Fatal(err)
		}
		keys[id] = key.Key
		return signature.Signer{Key: key}
	}
	w := &signing{
		signer: signer("signer-1"), other: signer("wiki-1"),
		proxy: issue(testCA(), devca.Leaf{CommonName: "edge-proxy", Client: true}), envoy: issue(testCA(), devca.Leaf{CommonName: "envoy-proxy", Client: true}),
		canary: issue(testCA(), devca.Leaf{CommonName: "canary", Client: true}),
	}
	rules := testRules(access.Client{Name: "signer", SignatureKeys: []access.SignatureKey{{ID: "signer-1", File: "f"}},
		Grants: []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete"}, Keys: []string{"*"}})
	rules.Clients[0].SignatureKeys = []access.SignatureKey{{ID: "wiki-1", File: "f"}}
	rules.Proxies = []access.Proxy{{CN: "edge-proxy"}, {CN: "envoy-proxy", Header: access.XFCCHeader}}
	rules.ClientDNCA = access.DefaultClientCA
	policy, err := access.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	u.policy = func() *access.Policy { return policy }
	u.signatureKeys = keys
	w.service = start(t, u)
	return w
}

// signedBy returns a signed request. change is applied after signing.
func (w *signing) signedBy(t *testing.T, s signature.Signer, method, body string, change func(*http.Request)) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "https://"+w.addr+"/sessions/v1/signed%2Fkey", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == "PATCH" {
		r.Header.Set("TTL", "60")
	}
	if err := s.Sign(r, []byte(body)); err != nil {
		t.Fatal(err)
	}
	change(r)
	return r
}

func (w *signing) send(t *testing.T, c *http.Client, r *http.Request) answer {
	t.Helper()
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	a, err := read(res)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func asIs(*http.Request) {}

func TestCredentials_Signature(t *testing.T) {
	w := newSigning(t, setup{})
	for _, protocol := range protocols {
		c := w.client(t, protocol)
		for _, step := range []struct {
			method, body string
			status       int
		}{{"PUT", "value", 204}, {"GET", "", 200}, {"PATCH", "", 204}, {"DELETE", "", 204}, {"GET", "", 404}} {
			got := w.send(t, c, w.signedBy(t, w.signer, step.method, step.body, asIs))
			if got.status != step.status {
				t.Errorf("%s %s: %d %s", protocol, step.method, got.status, got.body)
			}
		}
		w.clock.advance(testMaxTTL) // past the fence
	}
}

func TestCredentials_InvalidSignature(t *testing.T) {
	var r recorder
	w := newSigning(t, setup{store: r.store()})
	withToken := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+string(wiki)) }
	for _, protocol := range protocols {
		c := w.client(t, protocol)
		again := w.signedBy(t, w.signer, "GET", "", asIs)
		if got := w.send(t, c, again); got.status != 200 {
			t.Fatalf("%s: %d", protocol, got.status)
		}
		r.take()
		for _, test := range []struct {
			name    string
			request *http.Request
			status  int
			problem string
		}{
			{"a replay", again, 401, "unauthenticated"},
			{"another method", w.signedBy(t, w.signer, "GET", "", func(r *http.Request) { r.Method = "DELETE" }), 401, "unauthenticated"},
			{"another key", w.signedBy(t, w.signer, "GET", "", func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/sessions/v1/other", "" }), 401, "unauthenticated"},
			{"another host", w.signedBy(t, w.signer, "GET", "", func(r *http.Request) { r.Host = "elsewhere.example" }), 421, "misdirected-request"},
			{"another host of the service", w.signedBy(t, w.signer, "GET", "", func(r *http.Request) { r.Host = "localhost" }), 401, "unauthenticated"},
			{"another TTL", w.signedBy(t, w.signer, "PATCH", "", func(r *http.Request) { r.Header.Set("TTL", "61") }), 401, "unauthenticated"},
			{"a TTL that is not signed", w.signedBy(t, w.signer, "PUT", "v", func(r *http.Request) { r.Header.Set("TTL", "61") }), 400, "malformed-credentials"},
			{"another body", w.signedBy(t, w.signer, "PUT", "value", withBody("eulav")), 401, "unauthenticated"},
			{"a body that is not signed", w.signedBy(t, w.signer, "PUT", "", withBody("value")), 400, "malformed-credentials"},
			{"another body with its own digest", w.signedBy(t, w.signer, "PUT", "value", func(r *http.Request) {
				other := w.signedBy(t, w.signer, "PUT", "eulav", asIs)
				r.Header["Content-Digest"] = other.Header["Content-Digest"]
				withBody("eulav")(r)
			}), 401, "unauthenticated"},
			{"Signature-Input without Signature", w.signedBy(t, w.signer, "GET", "", func(r *http.Request) { r.Header.Del("Signature") }), 400, "malformed-credentials"},
			{"Signature without Signature-Input", w.signedBy(t, w.signer, "GET", "", func(r *http.Request) { r.Header.Del("Signature-Input") }), 400, "malformed-credentials"},
			{"two signatures", w.signedBy(t, w.signer, "GET", "", func(r *http.Request) { r.Header["Signature"] = append(r.Header["Signature"], r.Header["Signature"]...) }), 400, "malformed-credentials"},
			{"an invalid signature", w.signedBy(t, w.signer, "GET", "", func(r *http.Request) { r.Header.Set("Signature", "\"(\x7f"); r.Header.Set("Signature", "?") }), 400, "malformed-credentials"},
			{"an invalid signature with a valid token", w.signedBy(t, w.signer, "GET", "", func(r *http.Request) { r.Header.Set("Signature", "?"); withToken(r) }), 400, "malformed-credentials"},
			{"signature and token of different clients", w.signedBy(t, w.signer, "GET", "", withToken), 400, "conflicting-credentials"},
			{"a signature with an unknown token", w.signedBy(t, w.signer, "GET", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer wrong") }), 401, "unauthenticated"},
			{"a signature with two tokens", w.signedBy(t, w.signer, "GET", "", func(r *http.Request) { withToken(r); r.Header.Add("Authorization", "Bearer x") }), 400, "malformed-credentials"},
		} {
			if got := w.send(t, c, test.request); got.status != test.status || !strings.Contains(got.body, test.problem) {
				t.Errorf("%s, %s: %d %s; want %d %s", protocol, test.name, got.status, got.body, test.status, test.problem)
			}
			if calls := r.take(); len(calls) > 0 {
				t.Errorf("%s, %s: the request reached the store", protocol, test.name)
			}
		}
		if got := w.send(t, c, w.signedBy(t, w.other, "GET", "", withToken)); got.status != 200 {
			t.Errorf("%s: signature and token of one client: status %d", protocol, got.status)
		}
		r.take()
	}
}

func withBody(text string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		r.GetBody = nil
	}
}

// clientCert returns the value of Client-Cert (RFC 9440) for a certificate.
func clientCert(c tls.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Certificate[0]) + ":"
}

// xfcc returns the value of X-Forwarded-Client-Cert for a certificate.
func xfcc(c tls.Certificate) string {
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
	hash := sha256.Sum256(c.Certificate[0])
	return "Hash=" + hex.EncodeToString(hash[:]) + `;Cert="` + strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D").Replace(text) + `"`
}

func TestCredentials_ForwardedByProxyOnly(t *testing.T) {
	w := newSigning(t, setup{})
	foreignCA, err := devca.New("foreign")
	if err != nil {
		t.Fatal(err)
	}
	foreign := issue(foreignCA, devca.Leaf{CommonName: "canary", Client: true})
	const mine, others = "/sessions/v1/canary%3Ak", "/sessions/v1/k"
	for _, test := range []struct {
		name    string
		from    *tls.Certificate
		header  http.Header
		path    string
		status  int
		problem string
	}{
		{"proxy, client certificate", &w.proxy, http.Header{"Client-Cert": {clientCert(w.canary)}}, mine, 404, "not-found"},
		{"proxy, client certificate, foreign key", &w.proxy, http.Header{"Client-Cert": {clientCert(w.canary)}}, others, 403, "forbidden"},
		{"proxy, token", &w.proxy, as(wiki), others, 404, "not-found"},
		{"proxy, no credentials", &w.proxy, http.Header{}, mine, 401, "unauthenticated"},
		{"proxy, certificate of no client", &w.proxy, http.Header{"Client-Cert": {clientCert(w.proxy)}}, mine, 401, "unauthenticated"},
		{"proxy, certificate of another CA", &w.proxy, http.Header{"Client-Cert": {clientCert(foreign)}}, mine, 401, "unauthenticated"},
		{"proxy, two client certificates", &w.proxy, http.Header{"Client-Cert": {clientCert(w.canary), clientCert(w.canary)}}, mine, 400, "malformed-credentials"},
		{"proxy, invalid Client-Cert", &w.proxy, http.Header{"Client-Cert": {"canary"}}, mine, 400, "malformed-credentials"},
		{"proxy, certificate and token of different clients", &w.proxy, as(wiki, "Client-Cert", clientCert(w.canary)), mine, 400, "conflicting-credentials"},
		{"proxy, distinguished name", &w.proxy, http.Header{"X-Client-Dn": {"CN=canary,O=x"}}, mine, 404, "not-found"},
		{"proxy, distinguished name and certificate", &w.proxy, http.Header{"X-Client-Dn": {"CN=canary"}, "Client-Cert": {clientCert(w.canary)}}, mine, 400, "malformed-credentials"},
		{"proxy, distinguished name of no client", &w.proxy, http.Header{"X-Client-Dn": {"CN=edge-proxy"}}, mine, 401, "unauthenticated"},
		{"Envoy, client certificate", &w.envoy, http.Header{"X-Forwarded-Client-Cert": {xfcc(w.canary)}}, mine, 404, "not-found"},
		{"Envoy, client certificate, foreign key", &w.envoy, http.Header{"X-Forwarded-Client-Cert": {xfcc(w.canary)}}, others, 403, "forbidden"},
		{"Envoy, token", &w.envoy, as(wiki), others, 404, "not-found"},
		{"Envoy, no credentials", &w.envoy, http.Header{}, mine, 401, "unauthenticated"},
		{"Envoy, certificate of another CA", &w.envoy, http.Header{"X-Forwarded-Client-Cert": {xfcc(foreign)}}, mine, 401, "unauthenticated"},
		{"Envoy, no certificate", &w.envoy, http.Header{"X-Forwarded-Client-Cert": {`Hash=00;Subject="CN=canary"`}}, mine, 400, "set_current_client_cert_details: {cert: true, chain: true}"},
		{"Envoy, two elements", &w.envoy, http.Header{"X-Forwarded-Client-Cert": {xfcc(w.canary) + "," + xfcc(w.canary)}}, mine, 400, "SANITIZE_SET"},
		{"Envoy, Client-Cert", &w.envoy, http.Header{"Client-Cert": {clientCert(w.canary)}}, mine, 400, "malformed-credentials"},
		{"Envoy, both headers", &w.envoy, http.Header{"Client-Cert": {clientCert(w.canary)}, "X-Forwarded-Client-Cert": {xfcc(w.canary)}}, mine, 400, "malformed-credentials"},
		{"another proxy, X-Forwarded-Client-Cert", &w.proxy, http.Header{"X-Forwarded-Client-Cert": {xfcc(w.canary)}}, mine, 400, "malformed-credentials"},
		{"no proxy, X-Forwarded-Client-Cert", nil, http.Header{"X-Forwarded-Client-Cert": {xfcc(w.canary)}}, mine, 400, "malformed-credentials"},
		{"a client that forwards its own certificate in X-Forwarded-Client-Cert", &w.canary, http.Header{"X-Forwarded-Client-Cert": {xfcc(w.canary)}}, mine, 400, "malformed-credentials"},
		{"no proxy, client certificate in a header", nil, http.Header{"Client-Cert": {clientCert(w.canary)}}, mine, 400, "malformed-credentials"},
		{"a client that forwards its own certificate", &w.canary, http.Header{"Client-Cert": {clientCert(w.canary)}}, mine, 400, "malformed-credentials"},
		{"a client with a token that forwards a certificate", nil, as(wiki, "Client-Cert", clientCert(w.canary)), mine, 400, "malformed-credentials"},
		{"no proxy, distinguished name", nil, http.Header{"X-Client-Dn": {"CN=canary"}}, mine, 400, "malformed-credentials"},
		{"no proxy, header name with an underscore", nil, http.Header{"CLIENT_CERT": {clientCert(w.canary)}}, mine, 400, "malformed-credentials"},
		{"no proxy, empty Client-Cert", nil, http.Header{"Client-Cert": {""}}, mine, 400, "malformed-credentials"},
	} {
		for _, protocol := range protocols {
			var certificates []tls.Certificate
			if test.from != nil {
				certificates = append(certificates, *test.from)
			}
			a := ask{method: "GET", path: test.path, header: test.header.Clone()}
			if _, ok := a.header["Authorization"]; !ok {
				a.header["Authorization"] = nil
			}
			got := w.must(t, w.client(t, protocol, certificates...), a)
			if got.status != test.status || !strings.Contains(got.body, test.problem) {
				t.Errorf("%s, %s: %d %s; want %d %s", protocol, test.name, got.status, got.body, test.status, test.problem)
			}
			if wantClose := test.from != &w.proxy && test.from != &w.envoy; protocol == protocols[0] && test.status >= 400 && got.close != wantClose {
				t.Errorf("%s: the connection is closed: %v", test.name, got.close)
			}
		}
	}
}

// TestCredentials_MalformedHeaders sends requests that HTTP libraries cannot send.
func TestCredentials_MalformedHeaders(t *testing.T) {
	var r recorder
	w := newSigning(t, setup{store: r.store()})
	token := "Authorization: Bearer " + string(wiki) + "\r\n"
	signed := w.signedBy(t, w.signer, "GET", "", asIs)
	var sig bytes.Buffer
	if err := signed.Header.Write(&sig); err != nil {
		t.Fatal(err)
	}
	host := "Host: " + w.addr + "\r\n"
	for _, test := range []struct{ name, lines string }{
		{"two Authorization headers", host + token + token},
		{"two Authorization headers, of two clients", host + token + "Authorization: Bearer " + string(reader) + "\r\n"},
		{"two Authorization headers, one in upper case", host + token + "AUTHORIZATION: Bearer " + string(wiki) + "\r\n"},
		{"two Authorization headers, one empty", host + token + "Authorization:\r\n"},
		{"two tokens in one header", host + "Authorization: Bearer " + string(wiki) + ", Bearer " + string(wiki) + "\r\n"},
		{"a space before the colon", host + "Authorization : Bearer " + string(wiki) + "\r\n"},
		{"a folded token", host + "Authorization: Bearer " + string(wiki[:9]) + "\r\n " + string(wiki[9:]) + "\r\n"},
		{"a first line that is folded", " folded\r\n" + host + token},
		{"a bare line feed in a header", host + "X: y\n " + token},
		{"NUL in a header", host + token + "X: \x00\r\n"},
		{"two Hosts", host + host + token},
		{"no Host", token},
		{"two lengths", host + token + "Content-Length: 0\r\nContent-Length: 5\r\n"},
		{"a length and a chunked body", host + token + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"},
		{"a negative length", host + token + "Content-Length: -1\r\n"},
		{"two TTLs", host + token + "TTL: 1\r\nTTL: 1\r\n"},
		{"two signatures", host + sig.String() + sig.String()},
		{"a folded signature", host + strings.Replace(sig.String(), ";created", "\r\n ;created", 1)},
		{"Client-Cert", host + token + "Client-Cert: " + clientCert(w.canary) + "\r\n"},
		{"Client-Cert folded", host + token + "Client-Cert:\r\n " + clientCert(w.canary) + "\r\n"},
		{"client_cert", host + token + "client_cert: " + clientCert(w.canary) + "\r\n"},
	} {
		c := w.wire(t)
		method := "GET"
		if test.name == "two TTLs" {
			method = "PATCH"
		}
		c.send(t, method+" /sessions/v1/signed%2Fkey HTTP/1.1\r\n"+test.lines+"\r\n")
		got := c.answer(t, method)
		if got.status < 400 || got.status > 499 {
			t.Errorf("%s: %d %s", test.name, got.status, got.body)
		}
		if calls := r.take(); len(calls) > 0 {
			t.Errorf("%s: the request reached the store: %s", test.name, fmt.Sprint(calls[0].action))
		}
		_ = c.NetConn().Close()
	}
}

func TestVerifiedChains_IgnoresUnverifiedCertificate(t *testing.T) {
	foreign, err := devca.New("foreign")
	if err != nil {
		t.Fatal(err)
	}
	certificate := issue(foreign, devca.Leaf{CommonName: "canary", Client: true})
	s := start(t, setup{clientAuth: tls.RequireAnyClientCert}) // a wrong TLS configuration
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
			t.Errorf("%s: the certificate was accepted", name)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	if r.TLS = (&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{peers}}); len(verifiedChains(r)) != 1 || verifiedChains(r)[0][0] != parsed {
		t.Error("a verified certificate was not accepted")
	}
}
