//go:build integration

package proxies

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// smugglingRequests returns requests that some programs read as one request and others as two. The second claims to be of
// bob. If it reached the service on the proxy's connection, the service would believe it.
func smugglingRequests(cert string) map[string]string {
	inner := "GET /sessions/v1/smuggled HTTP/1.1\r\nHost: userinfo.example\r\nClient-Cert: " + cert + "\r\n\r\n"
	post := func(body string, fields ...string) string {
		return "POST /sessions/v1/k HTTP/1.1\r\nHost: userinfo.example\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n" + body
	}
	chunks := "0\r\n\r\n" + inner
	return map[string]string{
		"a length and chunks":             post(chunks, "Content-Length: 5", "Transfer-Encoding: chunked"),
		"a long length and chunks":        post(chunks, "Content-Length: 4000", "Transfer-Encoding: chunked"),
		"chunks and a length":             post(chunks, "Transfer-Encoding: chunked", "Content-Length: 5"),
		"chunks, with a space":            post(chunks, "Content-Length: 5", "Transfer-Encoding : chunked"),
		"chunks, with a tab":              post(chunks, "Content-Length: 5", "Transfer-Encoding:\tchunked"),
		"chunks, misspelt":                post(chunks, "Content-Length: 5", "Transfer-Encoding: xchunked"),
		"chunks twice":                    post(chunks, "Content-Length: 5", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
		"chunks in a list":                post(chunks, "Content-Length: 5", "Transfer-Encoding: identity, chunked"),
		"chunks, folded":                  post(chunks, "Content-Length: 5", "Transfer-Encoding:", " chunked"),
		"a chunk of a size with a sign":   post("-1\r\n"+chunks, "Transfer-Encoding: chunked"),
		"a chunk of a size too large":     post("ffffffffffffffff0\r\n"+chunks, "Transfer-Encoding: chunked"),
		"a chunk that ends in LF":         post("0\n\n"+inner, "Transfer-Encoding: chunked"),
		"a chunk with an extension":       post("0;a=\r\n"+chunks, "Transfer-Encoding: chunked"),
		"two lengths":                     post(inner, "Content-Length: 0", "Content-Length: 4000"),
		"a length with a sign":            post(inner, "Content-Length: +0"),
		"a length in a list":              post(inner, "Content-Length: 0, 0"),
		"HTTP/1.0 with chunks":            strings.Replace(post(chunks, "Transfer-Encoding: chunked", "Connection: keep-alive"), "HTTP/1.1", "HTTP/1.0", 1),
		"a trailer":                       post("0\r\nClient-Cert: "+cert+"\r\n\r\n", "Transfer-Encoding: chunked", "Trailer: Client-Cert"),
		"one request after another":       post("", "Content-Length: 0") + inner,
		"a request to another protocol":   "GET /sessions/v1/k HTTP/1.1\r\nHost: userinfo.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" + inner,
		"a line end in the path":          "GET /sessions/v1/k%0d%0aClient-Cert:%20" + cert + " HTTP/1.1\r\nHost: userinfo.example\r\n\r\n",
		"a carriage return in the path":   "GET /sessions/v1/k\rClient-Cert: " + cert + " HTTP/1.1\r\nHost: userinfo.example\r\n\r\n",
		"an absolute URL and a field":     "GET https://userinfo.example/sessions/v1/k HTTP/1.1\r\nHost: userinfo.example\r\nClient-Cert: " + cert + "\r\n\r\n",
		"a method that asks for a tunnel": "CONNECT userinfo.example:443 HTTP/1.1\r\nHost: userinfo.example:443\r\n\r\n" + inner,
	}
}

func TestTerminatingProxy_ForwardsNoSmuggledRequest(t *testing.T) {
	env := newEnvironment(t)
	const bobsOwn = "/sessions/v1/bob"
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			v := env.serve(t, k.serviceConfig())
			at := env.start(t, k, v).at(terminating)
			found := false // bob's own request
			check := func(t *testing.T) {
				t.Helper()
				for _, seen := range v.all() {
					switch {
					case seen.Client == "bob" && seen.Path == bobsOwn:
						found = true
					case seen.Client == "bob":
						t.Errorf("%+v", seen)
					}
				}
			}
			for name, raw := range smugglingRequests(env.field(t, "bob")) {
				t.Run(name, func(t *testing.T) {
					env.send(t, at, request{cert: "alice", raw: raw})
					// The next request on the proxy's connection must not get another client's response.
					env.send(t, at, request{})
					check(t)
				})
			}
			// What a proxy reads as a second request is alice's. It may arrive after the client got its only response, and thus also here.
			last := env.send(t, at, request{cert: "bob", path: bobsOwn})
			if check(t); last.Status != ok || !found {
				t.Errorf("bob's own request: status %d (%v), seen by the service: %v; otherwise a smuggled one would not be seen either", last.Status, last.err, found)
			}
		})
	}
}

// http2 sends one HTTP/2 request and returns the status.
func (env *environment) http2(t *testing.T, address, cert string, header http.Header) int {
	t.Helper()
	config := &tls.Config{RootCAs: env.servers.Pool(), ServerName: "userinfo.example"}
	if cert != "" {
		config.Certificates = []tls.Certificate{*env.pair(t, cert)}
	}
	transport := &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: true,
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(away)}}).DialContext,
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/sessions/v1/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header, request.Host = header, "userinfo.example"
	response, err := (&http.Client{Transport: transport, Timeout: 15 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.ProtoMajor != 2 {
		t.Fatalf("%s answered with %s", address, response.Proto)
	}
	return response.StatusCode
}

func TestProxies_ForwardNoForgedIdentityOverHTTP2(t *testing.T) {
	env := newEnvironment(t)
	bob := env.field(t, "bob")
	for _, k := range both {
		t.Run(k.name, func(t *testing.T) {
			plain := env.serve(t, serviceConfig{})
			v := env.serve(t, k.serviceConfig())
			direct := env.start(t, k, plain).at(passthrough)
			p := env.start(t, k, v)
			for _, header := range []http.Header{
				{"Client-Cert": {bob}}, {"Client-Cert": {bob, bob}}, {"Client-Cert": {""}}, {"Client-Cert-Chain": {bob}},
			} {
				if status := env.http2(t, direct, "alice", header); status != badRequest {
					t.Errorf("through a passthrough: status %d", status)
				}
				if status, seen := env.http2(t, p.at(terminating), "alice", header), v.last(t); status != ok || seen.Client != "alice" {
					t.Errorf("%d, %+v", status, seen)
				}
				if status := env.http2(t, p.at(terminating), "", header); status != unauthorized || v.last(t).Client != "" {
					t.Errorf("%d", status)
				}
				if status := env.http2(t, p.at(dedicatedTokens), "", header); status != unauthorized || v.last(t).Client != "" {
					t.Errorf("%d", status)
				}
			}
			if status := env.http2(t, direct, "alice", http.Header{"Client_Cert": {bob}}); status != badRequest {
				t.Errorf("with an underscore, through a passthrough: status %d", status)
			}
		})
	}
}
