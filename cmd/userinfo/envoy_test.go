package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"userinfo/internal/devca"
)

// envoy stands in for Envoy. It ends TLS, verifies the certificate of a client that has one, and forwards requests on
// connections with its own certificate. It writes X-Forwarded-Client-Cert as Envoy documents it.
type envoy struct {
	*httptest.Server
	appendForward bool     // forward_client_cert_details: APPEND_FORWARD; otherwise SANITIZE_SET
	details       []string // set_current_client_cert_details: cert, chain, subject, uri, dns
}

// startEnvoy starts an envoy in front of s. certificate is its own.
func (s *testService) startEnvoy(certificate tls.Certificate, appendForward bool, details ...string) *envoy {
	e := &envoy{appendForward: appendForward, details: details}
	transport := s.transport(&certificate)
	e.Server = httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: s.address})
			e.forward(r.Out.Header, r.In.TLS)
		},
	})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.clients.PEM())
	e.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
	e.StartTLS()
	s.t.Cleanup(func() { e.Close(); transport.CloseIdleConnections() })
	return e
}

// forward changes X-Forwarded-Client-Cert in h for the client of a connection.
func (e *envoy) forward(h http.Header, connection *tls.ConnectionState) {
	const name = "X-Forwarded-Client-Cert"
	received := strings.Join(h.Values(name), ",")
	h.Del(name)
	if len(connection.PeerCertificates) == 0 {
		return
	}
	element := e.element(connection.PeerCertificates)
	if e.appendForward && received != "" {
		element = received + "," + element
	}
	h.Set(name, element)
}

// element returns the element for a client. Envoy always writes By and Hash.
func (e *envoy) element(chain []*x509.Certificate) string {
	leaf := chain[0]
	sum := sha256.Sum256(leaf.Raw)
	fields := []string{"By=spiffe://example.org/envoy", "Hash=" + hex.EncodeToString(sum[:])}
	for _, detail := range e.details {
		switch detail {
		case "cert":
			fields = append(fields, `Cert="`+urlEncodedPEM(leaf)+`"`)
		case "chain":
			fields = append(fields, `Chain="`+urlEncodedPEM(chain...)+`"`)
		case "subject":
			fields = append(fields, `Subject="`+leaf.Subject.String()+`"`)
		case "uri":
			fields = append(fields, "URI="+leaf.URIs[0].String())
		case "dns":
			fields = append(fields, "DNS="+leaf.DNSNames[0], "DNS="+leaf.DNSNames[1])
		}
	}
	return strings.Join(fields, ";")
}

// urlEncodedPEM escapes what Envoy escapes.
func urlEncodedPEM(certs ...*x509.Certificate) string {
	var text strings.Builder
	for _, c := range certs {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D").Replace(text.String())
}

// send sends a request to e and returns the status and the body. c is the client.
func (e *envoy) send(t *testing.T, c *http.Transport, method string, header http.Header) (status int, body string) {
	t.Helper()
	r, err := http.NewRequest(method, e.URL+"/sessions/v1/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	res, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// envoyClient is the certificate of client c, with its chain, and with names that have the characters which Envoy quotes.
func (s *testService) envoyClient() (pair tls.Certificate, certPEM []byte) {
	s.t.Helper()
	uri, err := url.Parse("spiffe://example.org/c?a=b")
	s.must("URI", err)
	cert, key, err := s.clients.Issue(devca.Leaf{CommonName: "c", Client: true, URIs: []*url.URL{uri}, DNSNames: []string{"c.example", "www.c.example"}})
	s.must("client certificate", err)
	pair, err = tls.X509KeyPair(append(cert, s.clients.PEM()...), key)
	s.must("client certificate", err)
	return pair, cert
}

// listProxy makes the service trust the proxy with the common name envoy.
func (s *testService) listProxy(header string) {
	s.t.Helper()
	rules := s.rules("{sha256: "+s.token.Load().HashText()+"}", "127.0.0.0/8", "{id: s-1, file: "+s.dir+"/s-1.key}", "")
	s.write("userinfo.yaml", []byte(strings.Replace(rules, "proxies: {", "proxies: {certificates: [{cn: envoy, header: "+header+"}], ", 1)))
	s.reloader.Reload(true)
	if log := s.logText(); strings.Contains(log, "reload failed") {
		s.t.Fatal(log)
	}
}

func TestService_KnowsClientsBehindEnvoy(t *testing.T) {
	s := newTestService(t)
	s.setValue()
	s.listProxy("xfcc")
	envoyPair, _ := s.clientPair(s.clients, "envoy")
	strangerPair, _ := s.clientPair(s.clients, "stranger")
	pair, certPEM := s.envoyClient()
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	s.must("client certificate", err)
	everything := []string{"cert", "chain", "subject", "uri", "dns"}
	element := (&envoy{details: everything}).element([]*x509.Certificate{leaf})

	sanitizing := s.startEnvoy(envoyPair, false, "cert", "chain")
	certain, nobody := s.transport(&pair), s.transport(nil)
	for _, c := range []*http.Transport{certain, nobody} {
		c.TLSClientConfig.InsecureSkipVerify = true // httptest's certificate; the service behind is verified
		t.Cleanup(c.CloseIdleConnections)
	}
	forged := http.Header{"X-Forwarded-Client-Cert": {element}}
	token := http.Header{"Authorization": {"Bearer " + string(*s.token.Load())}}
	for _, test := range []struct {
		name   string
		via    *envoy
		client *http.Transport
		header http.Header
		status int
		body   string // is in the body
	}{
		{"a certificate", sanitizing, certain, nil, 200, "value"},
		{"a certificate, again on the same connections", sanitizing, certain, nil, 200, "value"},
		{"a token", sanitizing, nobody, token, 200, "value"},
		{"no credentials", sanitizing, nobody, nil, 401, "unauthenticated"},
		{"no certificate, but a header that Envoy removes", sanitizing, nobody, forged, 401, "unauthenticated"},
		{"a certificate, and a header that Envoy replaces", sanitizing, certain, http.Header{"X-Forwarded-Client-Cert": {"x"}}, 200, "value"},
		{"both headers", sanitizing, certain, http.Header{"Client-Cert": {":AAAA:"}}, 400, "no other header"},
		{"everything that Envoy can write", s.startEnvoy(envoyPair, false, everything...), certain, nil, 200, "value"},
		{"only Hash and Subject", s.startEnvoy(envoyPair, false, "subject"), certain, nil, 400, "set_current_client_cert_details: {cert: true, chain: true}"},
		{"several elements", s.startEnvoy(envoyPair, true, "cert"), certain, forged, 400, "forward_client_cert_details: SANITIZE_SET"},
		{"a proxy that is not listed", s.startEnvoy(strangerPair, false, "cert"), certain, nil, 400, "from a trusted proxy only"},
	} {
		if status, body := test.via.send(t, test.client, "GET", test.header); status != test.status || !strings.Contains(body, test.body) {
			t.Errorf("%s: %d %s; want %d", test.name, status, body, test.status)
		}
	}
	// c may not delete, so there is an audit record that names the client.
	if status, _ := sanitizing.send(t, certain, "DELETE", nil); status != 403 || !strings.Contains(s.logText(), `"decision":"denied","client":"c","method":"DELETE"`) {
		t.Errorf("a delete: %d, log %s", status, s.logText())
	}

	s.crl(certPEM)
	s.reloader.Reload(true)
	if status, _ := sanitizing.send(t, certain, "GET", nil); status != 401 {
		t.Errorf("a revoked certificate, on the same connections: %d; want 401", status)
	}
	s.crl()
	s.listProxy("client-cert")
	if status, body := sanitizing.send(t, certain, "GET", nil); status != 400 {
		t.Errorf("a proxy that is configured for the other header: %d %s; want 400", status, body)
	}
}

// values returns every value with this name in a YAML document.
func values(in any, name string) (all []any) {
	switch in := in.(type) {
	case map[string]any:
		for key, value := range in {
			if key == name {
				all = append(all, value)
			}
			all = append(all, values(value, name)...)
		}
	case []any:
		for _, value := range in {
			all = append(all, values(value, name)...)
		}
	}
	return all
}

// TestEnvoyExample_IsSafe checks the settings of deploy/envoy.yaml on which security depends. It cannot run Envoy.
func TestEnvoyExample_IsSafe(t *testing.T) {
	text, err := os.ReadFile("../../deploy/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var example any
	if err := yaml.Unmarshal(text, &example); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"forward_client_cert_details":      "SANITIZE_SET",
		"set_current_client_cert_details":  map[string]any{"cert": true, "chain": true},
		"normalize_path":                   false,
		"merge_slashes":                    false,
		"path_with_escaped_slashes_action": "KEEP_UNCHANGED",
		"headers_with_underscores_action":  "REJECT_REQUEST",
		"use_remote_address":               true,
		"request_headers_to_remove":        []any{"client-cert", "client-cert-chain", "x-client-dn"},
		"match_typed_subject_alt_names":    []any{map[string]any{"san_type": "DNS", "matcher": map[string]any{"exact": "userinfo.example"}}},
		"tls_maximum_protocol_version":     "TLSv1_3",
		"require_client_certificate":       false,
		"path":                             "/readyz",
		"codec_client_type":                "HTTP2", // the checks offer alpn_protocols too, and the service takes h2
		"access_log":                       nil,     // would contain session keys, unless it has another format
		"tracing":                          nil,
		"retry_policy":                     nil,
		"prefix_rewrite":                   nil,
		"host_rewrite_literal":             nil,
		"allow_chunked_length":             nil,
		"strip_any_host_port":              nil,
	} {
		if got := values(example, name); want == nil && len(got) > 0 || want != nil && (len(got) != 1 || !reflect.DeepEqual(got[0], want)) {
			t.Errorf("%s is %v; want %v once", name, got, want)
		}
	}
	if got := values(example, "trusted_ca"); len(got) != 2 {
		t.Errorf("%d trusted_ca; want those of clients and of the service", len(got))
	}
	upstream := values(values(example, "clusters"), "idle_timeout")
	if len(upstream) != 1 {
		t.Fatalf("the cluster's idle_timeout is %v", upstream)
	}
	idle, err := time.ParseDuration(upstream[0].(string))
	if ours := newTestService(t).config.Limits.IdleTimeout; err != nil || idle+5*time.Second > ours {
		t.Errorf("Envoy closes an idle connection after %v (%v); want at least 5s less than the service's %v", idle, err, ours)
	}
}
