package api

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/devca"
	"userinfo/store"
)

func TestRequestState_Overload(t *testing.T) {
	t.Parallel()
	const bound = 3
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			g := newGate()
			s := start(t, setup{store: g.store(), maxInFlight: bound})
			c := s.client(t, protocol)
			held := make(chan error, bound)
			for i := range bound {
				go func() {
					got, err := s.do(c, get(fmt.Sprint(i)))
					if err == nil && got.status != 200 {
						err = fmt.Errorf("status %d", got.status)
					}
					held <- err
				}()
			}
			for range bound {
				<-g.entered
			}
			for _, a := range []ask{get("k"), put("k", "v"), put("k", strings.Repeat("v", testMaxValue)), {method: "PATCH", path: "/sessions/v1/k", header: as(wiki, "TTL", "7")},
				{method: "DELETE", path: "/sessions/v1/k"}, {method: "GET", path: "/sessions/v1/k", header: as("unknown")}, {method: "GET", path: "/metrics", header: as(prom)}} {
				got := s.must(t, c, a)
				checkProblem(t, got, 503, "overloaded")
				if got.header.Get("Retry-After") != "1" {
					t.Errorf("%s %s: Retry-After %q", a.method, a.path, got.header.Get("Retry-After"))
				}
			}
			for _, path := range []string{"/healthz", "/readyz"} {
				if got := s.must(t, c, ask{method: "GET", path: path}); got.status != 200 {
					t.Errorf("%s: %d", path, got.status)
				}
			}
			if len(g.entered) > 0 {
				t.Errorf("%d requests beyond the maximum reached the store", len(g.entered))
			}
			close(g.opened)
			for range bound {
				if err := <-held; err != nil {
					t.Errorf("a request within the maximum: %v", err)
				}
			}
			eventually(t, "requests are served again", func() bool { return s.must(t, c, get("k")).status == 200 })
		})
	}
}

func TestRequestState_Panic(t *testing.T) {
	for _, protocol := range protocols {
		s := start(t, setup{store: stub(func(_ context.Context, c call) (store.Value, error) {
			if c.key == "panic" {
				panic(planted)
			}
			return store.Value{Data: []byte("value")}, nil
		})})
		c := s.client(t, protocol)
		for range 3 {
			got := s.must(t, c, get("panic"))
			if checkProblem(t, got, 500, "internal"); strings.Contains(got.body, "planted") {
				t.Errorf("%s: %s", protocol, got.body)
			}
			if protocol == protocols[0] && !got.close {
				t.Error("the connection stays open after a panic")
			}
			if got := s.must(t, c, get("k")); got.status != 200 {
				t.Errorf("%s: after a panic: %d", protocol, got.status)
			}
		}
		log := s.logs.String()
		if !strings.Contains(log, `"msg":"panic"`) || !strings.Contains(log, "request_test.go") || strings.Contains(log, "planted") {
			t.Errorf("%s: the log lacks the stack, or has the value of the panic: %s", protocol, log)
		}
		eventually(t, "nothing is in flight", func() bool { return gauge(t, s, "userinfo_http_in_flight") == 0 })
		if n := requests(t, s)["GET /sessions/v1/:key 500"]; n != 3 {
			t.Errorf("%s: %d requests are counted with status 500; want 3", protocol, n)
		}
	}
}

// TestRequestState_PanicCutsResponseOff covers a panic after a part of the response was sent.
func TestRequestState_PanicCutsResponseOff(t *testing.T) {
	for _, protocol := range protocols {
		s := start(t, setup{})
		s.server.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rt := &route{method: "GET", path: "/part", handler: func(rs *requestState) error {
				rs.respond(http.StatusOK)
				_, _ = rs.w.Write([]byte("part"))
				panic(planted)
			}}
			s.api.serve(rt, "", w, r)
		})
		if got, err := s.do(s.client(t, protocol), ask{method: "GET", path: "/part"}); err == nil {
			t.Errorf("%s: the client takes a part for the whole: %d %q", protocol, got.status, got.body)
		}
		if log := s.logs.String(); !strings.Contains(log, `"msg":"panic"`) || strings.Contains(log, "planted") {
			t.Errorf("%s: %s", protocol, log)
		}
	}
}

func TestRequestState_ClientGone(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		g := newGate()
		s := start(t, setup{store: g.store()})
		ctx, leave := context.WithCancel(context.Background())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = s.client(t, protocol).Do(get("k").request(s).WithContext(ctx)) // fails when ctx is cancelled
		}()
		<-g.entered
		leave()
		<-gone
		eventually(t, protocol+": the request is counted", func() bool { return requests(t, s)["GET /sessions/v1/:key 499"] == 1 })
	}
}

// TestRequestState_HalfClosedClient covers a client that closes its sending side and still reads. net/http cancels the
// request's context. If the handler then sent nothing, net/http would send 200, which for a DELETE would mean that the
// session is deleted.
func TestRequestState_HalfClosedClient(t *testing.T) {
	for _, method := range []string{"GET", "DELETE"} {
		entered := make(chan struct{})
		s := start(t, setup{store: stub(func(ctx context.Context, c call) (store.Value, error) {
			close(entered)
			if c.action == access.Get {
				<-ctx.Done()
			}
			return store.Value{}, store.ErrUnavailable
		})})
		w := s.wire(t)
		w.send(t, head(method, "/sessions/v1/k")+"\r\n")
		if err := w.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		<-entered
		checkProblem(t, w.answer(t, method), 503, "unavailable")
	}
}

func TestRequestState_Log(t *testing.T) {
	for _, test := range []struct {
		name  string
		setup setup
		ask   ask
		wants []string // in the record; none: no record
	}{
		{"a success, at debug", setup{}, put("k", "v"),
			[]string{`"level":"DEBUG"`, `"method":"PUT"`, `"route":"/sessions/v1/:key"`, `"status":204`, `"client":"wiki"`, `"request_id":"`, `"remote":"192.0.2.1"`, `"seconds":`}},
		{"a success, at info: no record", setup{level: 1}, put("k", "v"), nil},
		{"an absent key, at info: no record", setup{level: 1}, get("k"), nil},
		{"an unavailable store, at info", setup{level: 1, store: failing(store.ErrUnavailable)}, get("k"),
			[]string{`"level":"ERROR"`, `"status":503`, `"cause":"unavailable"`}},
		{"overload, at info: no record", setup{level: 1, maxInFlight: -1}, get("k"), nil},
		{"an unknown token", setup{}, ask{method: "GET", path: "/sessions/v1/k", header: as("unknown")}, []string{`"status":401`, `"client":""`, `"cause":"not authenticated: `}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newAPI(t, test.setup)
			header := test.ask.header
			if header == nil {
				header = as(wiki)
			}
			s.serve(test.ask.method, test.ask.path, header)
			log := s.logs.String()
			if strings.Count(log, "\n") != min(len(test.wants), 1) {
				t.Errorf("the log is %q", log)
			}
			for _, want := range test.wants {
				if !strings.Contains(log, want) {
					t.Errorf("no %s in %s", want, log)
				}
			}
		})
	}
}

func TestRequestState_LogHasInstance(t *testing.T) {
	s := newAPI(t, setup{})
	id := checkProblem(t, s.serve("GET", "/sessions/v1/k", as(wiki)), 404, "not-found")
	if !strings.Contains(s.logs.String(), `"request_id":"`+id+`"`) {
		t.Errorf("%s is not in %s", id, s.logs)
	}
}

func TestRemoteAddr_Unknown(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	for _, addr := range []string{"", "@", "pipe", "127.0.0.1"} {
		if r.RemoteAddr = addr; remoteAddr(r).IsValid() {
			t.Errorf("%q: address %v; want none", addr, remoteAddr(r))
		}
	}
}

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

// TestRequestState_RefusalBeforeAuthenticationUsesNoNonce uses a verifier that can remember one nonce. If a request that is
// refused before authentication used a nonce, the first valid request would be refused.
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
	s.api.config.Signatures = signature.NewVerifier(signature.Config{Nonces: 1})
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
		t.Errorf("the second request that needs a nonce: status %d; want 429", got)
	}
}

func TestRequestState_QueryString(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		for _, path := range []string{"/sessions/v1/k?", "/sessions/v1/k?x", "/sessions/v1/k?x=y", "/sessions/v1/k??", "/sessions/v1/k?%3F", "/healthz?", "/readyz?x", "/metrics?name[]=go_goroutines", "/openapi?x", "/nowhere?x"} {
			got := s.must(t, c, ask{method: "GET", path: path})
			checkProblem(t, got, 400, "bad-request")
		}
		for _, method := range []string{"PUT", "POST", "PATCH", "DELETE"} {
			got := s.must(t, c, ask{method: method, path: "/sessions/v1/k?ttl=5", header: as(wiki, "TTL", "7")})
			checkProblem(t, got, 400, "bad-request")
		}
		if got := s.must(t, c, ask{method: "BREW", path: "/sessions/v1/k?x"}); got.status != 400 || got.header.Get("Allow") != "" {
			t.Errorf("%s: unknown method with a query: status %d, Allow %q", protocol, got.status, got.header.Get("Allow"))
		}
	}
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("%d requests reached the store", len(calls))
	}
}

func TestRequestState_ClosesUnauthenticatedConnection(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	for _, protocol := range protocols {
		known := map[string]ask{
			"an absent key": {method: "GET", path: "/sessions/v1/k", header: as(wiki)},
			"a success":     {method: "GET", path: "/openapi", header: as(docs)},
			"a refusal":     {method: "DELETE", path: "/sessions/v1/k", header: as(reader)},
			"a bad request": {method: "PUT", path: "/sessions/v1/k", header: as(wiki, "TTL", "0")},
		}
		unauthenticated := map[string]ask{
			"no token":                     {method: "GET", path: "/sessions/v1/k"},
			"an unknown token":             {method: "DELETE", path: "/sessions/v1/k", header: as("unknown")},
			"a token from another network": {method: "GET", path: "/sessions/v1/k", header: as(elsewhere)},
			"malformed credentials":        {method: "GET", path: "/sessions/v1/k", header: http.Header{"Authorization": {"nonsense"}}},
			"no token for metrics":         {method: "GET", path: "/metrics"},
			"an unknown path":              {method: "GET", path: "/nowhere"},
			// Refused before the token is checked.
			"an unknown path with a token": {method: "GET", path: "/nowhere", header: as(wiki)},
			"an unknown method":            {method: "BREW", path: "/healthz"},
			"healthz":                      {method: "GET", path: "/healthz"},
			"readyz":                       {method: "GET", path: "/readyz"},
			"healthz with a query":         {method: "GET", path: "/healthz?x"},
		}
		kept, ending := make(map[string]dialogue), make(map[string]dialogue)
		for name, a := range known {
			kept[name] = s.dialogue(t, protocol)
			kept[name].ask(t, a)
		}
		for name, a := range unauthenticated {
			ending[name] = s.dialogue(t, protocol)
			ending[name].ask(t, a)
		}
		for name, d := range ending {
			t.Run(protocol+" "+name, func(t *testing.T) { d.closed(t) })
		}
		for name, d := range kept {
			t.Run(protocol+" "+name, func(t *testing.T) { d.ask(t, known[name]) })
		}
	}
}

// TestRequestState_KeepsConnectionWithCertificate covers requests that are answered without authentication. A trusted
// proxy has a certificate, and one of its clients must not be able to close a connection that others use.
func TestRequestState_KeepsConnectionWithCertificate(t *testing.T) {
	s := newAPI(t, setup{})
	canary := issue(testCA(), devca.Leaf{CommonName: "canary", Client: true}).Leaf
	for _, test := range []struct {
		method, path string
		certificate  bool
		close        string
	}{
		{"GET", "/nowhere", true, ""},
		{"BREW", "/healthz", true, ""},
		{"GET", "/healthz?x", true, ""},
		{"GET", "/healthz", true, ""},
		{"GET", "/healthz", false, "close"},
		{"GET", "/nowhere", false, "close"},
	} {
		r := httptest.NewRequest(test.method, test.path, nil)
		r.TLS = new(tls.ConnectionState)
		if test.certificate {
			r.TLS.VerifiedChains = [][]*x509.Certificate{{canary}}
		}
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		if got := w.Header().Get("Connection"); got != test.close {
			t.Errorf("%s %s, certificate %v: Connection %q; want %q", test.method, test.path, test.certificate, got, test.close)
		}
	}
}
