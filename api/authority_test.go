package api

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"userinfo/access"
)

// hostTests are values of the Host header and of :authority. PORT is the port of the service. The service's authorities are
// localhost and *.wiki.example.
var hostTests = []struct {
	host   string
	status int
}{
	{"localhost", 200},
	{"localhost:PORT", 200},
	{"localhost:443", 200},
	{"LocalHost.:PORT", 200},
	{"en.wiki.example", 200},
	{"localhost:1", 200},    // a proxy may listen at another port
	{"127.0.0.1:PORT", 200}, // the address of the connection
	{"elsewhere.example", 421},
	{"elsewhere.example:PORT", 421},
	{"localhost.elsewhere.example", 421},
	{"a.b.wiki.example", 421},
	{"wiki.example", 421},
	{"127.0.0.2:PORT", 421},
	{"[::1]:PORT", 421},
	{"", 400},
	{"localhost elsewhere.example", 400},
	{"localhost/", 400},
	{"/localhost", 400},
	{"user@localhost", 400},
	{"localhost@elsewhere.example", 400},
	{"localhost,elsewhere.example", 400},
	{"localhost%20", 400},
	{"localhost:PORT:1", 400},
	{"https://localhost", 400},
}

func hostService(t *testing.T, u setup) *service {
	t.Helper()
	var err error
	if u.authorities, err = access.ParseAuthorities("authorities", []string{"localhost", "*.wiki.example"}); err != nil {
		t.Fatal(err)
	}
	return start(t, u)
}

func (s *service) port(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestCheckAuthority_HTTP1(t *testing.T) {
	var r recorder
	s := hostService(t, setup{store: r.store()})
	const token = "Authorization: Bearer " + string(wiki) + "\r\n\r\n"
	send := func(name, request string, status int) {
		w := s.wire(t)
		w.send(t, strings.ReplaceAll(request, "PORT", s.port(t))+token)
		got := w.answer(t, "GET")
		if calls := r.take(); got.status != status || (len(calls) > 0) != (status == 200) {
			t.Errorf("%s: %d %s, %d calls of the store; want %d", name, got.status, got.body, len(calls), status)
		}
		if status == 421 {
			checkProblem(t, got, 421, "misdirected-request")
		}
	}
	for _, test := range hostTests {
		send(test.host, "GET /sessions/v1/k HTTP/1.1\r\nHost: "+test.host+"\r\n", test.status)
	}
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"no Host":                           {"GET /sessions/v1/k HTTP/1.1\r\n", 400},
		"no Host in HTTP/1.0":               {"GET /sessions/v1/k HTTP/1.0\r\n", 400},
		"two Hosts":                         {"GET /sessions/v1/k HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n", 400},
		"an absolute form of another":       {"GET https://elsewhere.example/sessions/v1/k HTTP/1.1\r\nHost: localhost\r\n", 421},
		"an absolute form with a user":      {"GET https://user@localhost/sessions/v1/k HTTP/1.1\r\nHost: localhost\r\n", 400},
		"an absolute form and another Host": {"GET https://localhost/sessions/v1/k HTTP/1.1\r\nHost: elsewhere.example\r\n", 200}, // RFC 9112, section 3.2.2
	} {
		send(name, c.request, c.status)
	}
}

func TestCheckAuthority_HTTP2(t *testing.T) {
	var r recorder
	s := hostService(t, setup{store: r.store()})
	f := s.frames(t)
	send := func(name string, reaches bool, header ...string) {
		for i, v := range header {
			header[i] = strings.ReplaceAll(v, "PORT", s.port(t))
		}
		header = append([]string{":method", "GET", ":scheme", "https", ":path", "/sessions/v1/k"}, header...)
		f.exchange(t, fields(append(header, "authorization", "Bearer "+string(wiki))...))
		if calls := r.take(); (len(calls) > 0) != reaches {
			t.Errorf("%s: %d calls of the store", name, len(calls))
			f = s.frames(t)
		}
		if f.goAway || !reaches { // an unauthenticated connection is closed
			f = s.frames(t)
		}
	}
	for _, test := range hostTests {
		send(":authority "+test.host, test.status == 200, ":authority", test.host)
		send("host "+test.host, test.status == 200, "host", test.host)
		send(":authority and host "+test.host, test.status == 200, ":authority", test.host, "host", test.host)
	}
	send("no authority", false)
	send("another host", false, ":authority", "localhost", "host", "elsewhere.example")
	send("another host of the service", false, ":authority", "localhost", "host", "en.wiki.example")
	send("another authority", false, ":authority", "elsewhere.example", "host", "localhost")
	send("an empty host", false, ":authority", "localhost", "host", "")
	send("two hosts", false, ":authority", "localhost", "host", "localhost", "host", "localhost")
	send("two hosts without authority", false, "host", "localhost", "host", "elsewhere.example")
	send("two authorities", false, ":authority", "localhost", ":authority", "localhost")
}

// TestCheckAuthority_HTTP2Status calls the API with requests as net/http makes them from HTTP/2.
func TestCheckAuthority_HTTP2Status(t *testing.T) {
	s := newAPI(t, setup{})
	for host, want := range map[string]int{"localhost": 404, "elsewhere.example": 421, "a b": 400, "localhost/x": 400, "": 400} {
		r := httptest.NewRequest("GET", "/sessions/v1/k", nil)
		r.Proto, r.ProtoMajor, r.ProtoMinor, r.Host = "HTTP/2.0", 2, 0, host
		r.Header = as(wiki)
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d %s; want %d", host, w.Code, w.Body, want)
		}
	}
}

// TestCheckAuthority_EveryResource sends requests that DNS rebinding could cause. Access rules do not matter: even with an
// audience that is open to everybody, as in `userinfo dev --open`, no data is served to another host.
func TestCheckAuthority_EveryResource(t *testing.T) {
	rules := testRules()
	rules.Dev = true
	for name := range rules.Audiences {
		rules.Audiences[name] = []access.Alternative{{Allow: new(true)}}
	}
	open, err := access.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	s := newAPI(t, setup{policy: func() *access.Policy { return open }})
	for path, want := range map[string][2]int{ // with the service's host and with another
		"/sessions/v1/k": {404, 421}, "/metrics": {200, 421}, "/openapi": {200, 421}, "/": {404, 421}, "/healthz": {200, 200}, "/readyz": {200, 200},
	} {
		for i, host := range []string{"localhost", "elsewhere.example"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			s.api.ServeHTTP(w, r)
			if w.Code != want[i] {
				t.Errorf("%s of %s: %d %s; want %d", path, host, w.Code, w.Body, want[i])
			}
		}
	}
	r := httptest.NewRequest("GET", "/healthz", nil)
	r.Host = "" // HTTP/1.0, as some probes send it
	w := httptest.NewRecorder()
	if s.api.ServeHTTP(w, r); w.Code != 200 {
		t.Errorf("/healthz without Host: %d", w.Code)
	}
}

func TestCheckAuthority_RefusesWithoutAuthorities(t *testing.T) {
	rs := &requestState{rules: &Rules{}, r: httptest.NewRequest("GET", "/sessions/v1/k", nil)}
	for _, host := range []string{"localhost", "", "127.0.0.1"} {
		if rs.r.Host = host; rs.checkAuthority() == nil {
			t.Errorf("%q is accepted", host)
		}
	}
}

func TestCheckAuthority_IsAudited(t *testing.T) {
	s := newAPI(t, setup{})
	r := requestFor(http.MethodGet, "k", wiki)
	r.Host = "elsewhere.example"
	s.api.ServeHTTP(httptest.NewRecorder(), r)
	records := s.records(t)
	if len(records) != 1 || records[0].Status != 421 || records[0].Decision != "denied" || !strings.Contains(records[0].Reason, "add it to authorities") {
		t.Errorf("%+v", records)
	}
	if strings.Contains(s.audit.String()+s.logs.String(), "elsewhere") {
		t.Error("a stranger's text is in the log")
	}
}

func TestCheckAuthority_BindsSignatures(t *testing.T) {
	var r recorder
	localhost, err := access.ParseAuthorities("", []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	w := newSigning(t, setup{store: r.store(), authorities: localhost})
	for _, protocol := range protocols {
		c := w.client(t, protocol)
		// The address of the connection is good for a token, and not for a signature.
		if got := w.send(t, c, w.signedBy(t, w.signer, "GET", "", asIs)); got.status != 421 {
			t.Errorf("%s: %d %s", protocol, got.status, got.body)
		}
		if calls := r.take(); len(calls) > 0 {
			t.Errorf("%s: the request reached the store", protocol)
		}
	}
}
