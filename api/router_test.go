package api

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"userinfo/access"
	"userinfo/store"
)

const keyMethods = "GET, PUT, POST, PATCH, DELETE"

func TestRouter_UnknownPath(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	c := s.client(t, protocols[1])
	for _, path := range []string{
		"/", "//", "/sessions", "/sessions/", "/sessions/v1", "/sessions/v1/", "/sessions/v1//", "/sessions/v1//k", "/sessions/v1/k/",
		"/sessions/v1/a/b", "/sessions/v1/../v1/k", "/sessions/v1/./k", "//sessions/v1/k", "/sessions//v1/k", "/Sessions/v1/k", "/SESSIONS/V1/k",
		"/sessions%2Fv1%2Fk", "/sessions/v1%2Fk", "/%73essions/v1/k", "/sessions/v2/k", "/healthz/", "/Healthz", "/healthz/k", "/metrics/", "/openapi.yaml",
		"/debug/pprof", "/debug/vars", "/favicon.ico", "/robots.txt", "/.well-known/acme-challenge/k",
	} {
		for _, method := range []string{"GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"} {
			w := s.wire(t) // one for each request, because the server closes it
			w.send(t, head(method, path, "Content-Length: 0")+"\r\n")
			overHTTP1 := w.answer(t, method)
			_ = w.NetConn().Close()
			for protocol, got := range map[string]answer{protocols[0]: overHTTP1, protocols[1]: s.must(t, c, ask{method: method, path: path})} {
				if got.status != 404 || got.header.Get("Location") != "" || got.header.Get("Allow") != "" {
					t.Errorf("%s %s %s: %d %v", protocol, method, path, got.status, got.header)
				}
				if method != "HEAD" {
					checkProblem(t, got, 404, "no-such-resource")
				}
			}
		}
	}
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("%d requests reached the store", len(calls))
	}
}

func TestRouter_MethodNotAllowed(t *testing.T) {
	s := start(t, setup{})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for _, path := range []struct{ path, allow string }{
			{"/sessions/v1/k", keyMethods}, {"/sessions/v1/..", keyMethods}, {"/healthz", "GET, HEAD"}, {"/readyz", "GET, HEAD"}, {"/metrics", "GET, HEAD"}, {"/openapi", "GET, HEAD"},
		} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "PURGE", "get", "Get", "BREW"} {
				if strings.Contains(", "+path.allow+",", ", "+method+",") {
					continue
				}
				got := s.must(t, c, ask{method: method, path: path.path})
				if got.status != 405 || got.header.Get("Allow") != path.allow {
					t.Errorf("%s %s %s: %d, Allow %q; want 405, %q", protocol, method, path.path, got.status, got.header["Allow"], path.allow)
				}
				if method == "HEAD" {
					if got.body != "" || got.header.Get("Cache-Control") != "no-store" {
						t.Errorf("%s HEAD %s: body %q, %v", protocol, path.path, got.body, got.header)
					}
					continue
				}
				checkProblem(t, got, 405, "method-not-allowed")
			}
		}
	}
}

// TestRouter_HeadIsGetWithoutBody compares the responses to both methods, for every operator resource and refusal.
func TestRouter_HeadIsGetWithoutBody(t *testing.T) {
	s := start(t, setup{policy: healthOf(access.Alternative{Token: new(true)})})
	closed := start(t, setup{ready: func(context.Context) error { return store.ErrUnavailable }})
	for _, protocol := range protocols {
		for _, test := range []struct {
			s      *service
			path   string
			token  access.Token
			status int
		}{
			{s, "/healthz", wiki, 200}, {s, "/readyz", wiki, 200}, {s, "/metrics", prom, 200}, {s, "/openapi", docs, 200},
			{s, "/healthz?x", wiki, 400}, {s, "/healthz", "unknown", 401}, {s, "/metrics", wiki, 403}, {s, "/openapi", prom, 403},
			{closed, "/readyz", wiki, 503}, {closed, "/healthz", wiki, 200},
		} {
			c := test.s.client(t, protocol)
			get := test.s.must(t, c, ask{method: "GET", path: test.path, header: as(test.token)})
			head := test.s.must(t, c, ask{method: "HEAD", path: test.path, header: as(test.token)})
			for _, h := range []http.Header{get.header, head.header} {
				h.Del("Date")
				h.Del("X-Request-Id")
			}
			if get.status != test.status || head.status != test.status || get.body == "" || head.body != "" || head.close != get.close || !reflect.DeepEqual(get.header, head.header) {
				t.Errorf("%s %s: GET %d %v, HEAD %d %v %q; want %d twice, the second without a body", protocol, test.path,
					get.status, get.header, head.status, head.header, head.body, test.status)
			}
			if test.path != "/metrics" && head.header.Get("Content-Length") == "" {
				t.Errorf("%s HEAD %s: no Content-Length in %v", protocol, test.path, head.header)
			}
		}
	}
	if got := requests(t, s)["HEAD /healthz 200"]; got != 2 {
		t.Errorf("%d requests are counted as HEAD /healthz 200; want 2: %v", got, requests(t, s))
	}
}

func TestRouter_TargetsWithoutPath(t *testing.T) {
	s := start(t, setup{})
	for _, test := range []struct {
		line   string
		status int
	}{
		{"OPTIONS * HTTP/1.1", 404},
		{"GET https://test HTTP/1.1", 404},
		{"GET https://test?x HTTP/1.1", 400},
		{"CONNECT test:443 HTTP/1.1", 404},
		{"CONNECT /sessions/v1/k HTTP/1.1", 405},
		{"GET sessions/v1/k HTTP/1.1", 400},
		{"GET /sessions/v1/a b HTTP/1.1", 400},
		{"GET /sessions/v1/a\x01b HTTP/1.1", 400},
		{"GET /sessions/v1/k HTTP/3.0", 505},
	} {
		w := s.wire(t)
		w.send(t, test.line+"\r\nHost: test\r\nAuthorization: Bearer "+string(wiki)+"\r\n\r\n")
		got := w.answer(t, "GET")
		if got.status != test.status || got.header.Get("Location") != "" {
			t.Errorf("%q: %d %s; want %d", test.line, got.status, got.body, test.status)
		}
	}
}
