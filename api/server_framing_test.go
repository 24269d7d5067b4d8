package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"userinfo/access"
)

// These tests show what happens to HTTP/1.1 requests that two programs could read differently. Some are answered by
// net/http before the handler sees them, in plain text. Some are refused by this package, with a problem document. The
// others are accepted with one fixed meaning.

func TestServer_RefusesAmbiguousRequests(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	token := "Authorization: Bearer " + string(wiki)
	for _, test := range []struct {
		name    string
		request string
		status  int
		problem string // empty: net/http answers, in plain text
	}{
		{"no version", "GET /sessions/v1/k\r\nHost: h\r\n" + token, 400, ""},
		{"version 1.2 is served as 1.1", "GET /sessions/v1/k HTTP/1.2\r\nHost: h\r\nAuthorization: Bearer x", 401, "unauthenticated"},
		{"version 3.0", "GET /sessions/v1/k HTTP/3.0\r\nHost: h\r\n" + token, 505, ""},
		{"a space in the target", "GET /sessions/v1/a b HTTP/1.1\r\nHost: h\r\n" + token, 400, ""},
		{"a target that is not a path", "GET sessions/v1/k HTTP/1.1\r\nHost: h\r\n" + token, 400, ""},
		{"an incomplete escape", "GET /sessions/v1/%2 HTTP/1.1\r\nHost: h\r\n" + token, 400, ""},
		{"no Host", "GET /sessions/v1/k HTTP/1.1\r\n" + token, 400, ""},
		{"two Hosts", "GET /sessions/v1/k HTTP/1.1\r\nHost: h\r\nHost: h\r\n" + token, 400, ""},
		{"a Host that is no host", "GET /sessions/v1/k HTTP/1.1\r\nHost: a b\r\n" + token, 400, ""},
		{"a space before the colon", "GET /sessions/v1/k HTTP/1.1\r\nHost: h\r\nX : y\r\n" + token, 400, ""},
		{"a header without a colon", "GET /sessions/v1/k HTTP/1.1\r\nHost: h\r\nX\r\n" + token, 400, ""},
		{"a header without a name", "GET /sessions/v1/k HTTP/1.1\r\nHost: h\r\n: y\r\n" + token, 400, ""},
		{"a header name that is not ASCII", "GET /sessions/v1/k HTTP/1.1\r\nHost: h\r\nÄ: y\r\n" + token, 400, ""},
		{"NUL in a header", "GET /sessions/v1/k HTTP/1.1\r\nHost: h\r\nX: \x00\r\n" + token, 400, ""},
		{"a first header line that is folded", "GET /sessions/v1/k HTTP/1.1\r\n Host: h\r\n" + token, 400, ""},
		{"two different lengths", "PUT /sessions/v1/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n" + token, 400, ""},
		{"a negative length", "PUT /sessions/v1/k HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n" + token, 400, ""},
		{"a length with a sign", "PUT /sessions/v1/k HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n" + token, 400, ""},
		{"an unknown transfer coding", "PUT /sessions/v1/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n" + token, 501, ""},
		{"two transfer codings", "PUT /sessions/v1/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n" + token, 501, ""},
		{"two Transfer-Encodings", "PUT /sessions/v1/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + token, 501, ""},
		{"a coding that only looks like chunked", "PUT /sessions/v1/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chun\u212Aed\r\n" + token, 501, ""},
		{"an unknown expectation", "PUT /sessions/v1/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: more\r\n" + token, 417, ""},
		{"two tokens", "GET /sessions/v1/k HTTP/1.1\r\nHost: h\r\n" + token + "\r\n" + token, 400, "malformed-credentials"},
		{"two tokens in one header", "GET /sessions/v1/k HTTP/1.1\r\nHost: h\r\n" + token + ", Bearer x", 400, "malformed-credentials"},
		{"a fold within a token", "GET /sessions/v1/k HTTP/1.1\r\nHost: h\r\n" + token[:25] + "\r\n " + token[25:], 400, "malformed-credentials"},
		{"a body that GET does not have", "GET /sessions/v1/k HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n" + token, 400, "bad-request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := s.wire(t)
			w.send(t, test.request+"\r\n\r\n")
			got := w.answer(t, "GET")
			if test.problem != "" {
				checkProblem(t, got, test.status, test.problem)
			} else if got.status != test.status || strings.Contains(got.body, problemBase) {
				t.Errorf("status %d, body %q; want %d in plain text", got.status, got.body, test.status)
			}
			if calls := r.take(); len(calls) > 0 {
				t.Error("the request reached the store")
			}
		})
	}
}

// TestServer_JoinsFoldedHeaders shows that a folded line (RFC 9112, section 5.2) belongs to the header before it. It is
// never a header of its own, so nobody can use it to add a header that a proxy does not see.
func TestServer_JoinsFoldedHeaders(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, fold := range []string{"\r\n ", "\r\n\t", "\n ", "\r\n \r\n "} {
		for _, test := range []struct {
			name, header string
			status       int
		}{
			{"a token is joined to its scheme", "Authorization: Bearer" + fold + string(wiki), 200},
			{"a folded Authorization authenticates nobody", "X: y" + fold + "Authorization: Bearer " + string(wiki), 401},
			{"a folded second Authorization is not seen", "Authorization: Bearer " + string(wiki) + "\r\nX: y" + fold + "Authorization: Bearer x", 200},
			{"a folded Client-Cert is not seen", "Authorization: Bearer " + string(wiki) + "\r\nX: y" + fold + "Client-Cert: :AAAA:", 200},
			{"a folded Content-Length is not seen", "Authorization: Bearer " + string(wiki) + "\r\nX: y" + fold + "Content-Length: 5", 200},
			{"a folded Transfer-Encoding is not seen", "Authorization: Bearer " + string(wiki) + "\r\nX: y" + fold + "Transfer-Encoding: chunked", 200},
		} {
			w := s.wire(t)
			w.send(t, "GET /sessions/v1/k HTTP/1.1\r\nHost: h\r\n"+test.header+"\r\n\r\n")
			if got := w.answer(t, "GET"); got.status != test.status {
				t.Errorf("%s, fold %q: status %d %s; want %d", test.name, fold, got.status, got.body, test.status)
			}
			_ = w.NetConn().Close()
		}
	}
}

// TestServer_ClosesConnectionAfterChunkedBody shows that no request follows a body whose length a proxy could see
// differently.
func TestServer_ClosesConnectionAfterChunkedBody(t *testing.T) {
	s := start(t, setup{})
	c := s.client(t, protocols[0])
	s.must(t, c, put("victim", "value"))
	smuggled := head("DELETE", "/sessions/v1/victim") + "\r\n"
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len("value"), "value")
	for _, test := range []struct {
		name   string
		fields []string
		body   string
	}{
		{"chunked", []string{"Transfer-Encoding: chunked"}, chunked},
		{"chunked, with a length that includes the next request", []string{"Transfer-Encoding: chunked", fmt.Sprintf("Content-Length: %d", len(chunked)+len(smuggled))}, chunked},
		{"chunked, with a length that ends within the body", []string{"Content-Length: 3", "Transfer-Encoding: chunked"}, chunked},
		{"chunked in capitals", []string{"Transfer-Encoding: CHUNKED"}, chunked},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := s.wire(t)
			w.send(t, head("PUT", "/sessions/v1/k", test.fields...)+"\r\n"+test.body+smuggled)
			if got := w.answer(t, "PUT"); got.status != http.StatusNoContent || !got.close {
				t.Errorf("status %d, close %v; want 204 and close", got.status, got.close)
			}
			w.closed(t)
			if got := s.must(t, c, get("k")); got.body != "value" {
				t.Errorf("the value is %q", got.body)
			}
			if got := s.must(t, c, get("victim")); got.status != http.StatusOK {
				t.Fatalf("the rest was served as a request: status %d", got.status)
			}
		})
	}
}

func TestServer_PipelinedRequests(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	get := head("GET", "/sessions/v1/k") + "\r\n"
	value := "a\r\n b\r\n\r\n" + get // looks like a folded header and a request
	put := head("PUT", "/sessions/v1/k", fmt.Sprintf("Content-Length: %d", len(value))) + "\r\n" + value
	for name, writes := range map[string][]string{
		"in one write":     {get + put + get + put},
		"in two writes":    {get + put[:len(put)-5], put[len(put)-5:] + get + put},
		"one byte a write": strings.Split(get+put+get+put, ""),
	} {
		t.Run(name, func(t *testing.T) {
			w := s.wire(t)
			for _, text := range writes {
				w.send(t, text)
			}
			for i, status := range []int{200, 204, 200, 204} {
				if got := w.answer(t, "GET"); got.status != status {
					t.Fatalf("response %d has status %d %s; want %d", i+1, got.status, got.body, status)
				}
			}
			for _, c := range r.take() {
				if c.action == access.Set && string(c.data) != value {
					t.Errorf("the stored value is %q", c.data)
				}
			}
		})
	}
}
