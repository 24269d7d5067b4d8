package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
	"userinfo/internal/devca"
	"userinfo/store"
	"userinfo/store/storetest"
)

// allMethods are the methods of a collection.
var allMethods = []string{"GET", "PUT", "POST", "PATCH", "DELETE"}

// requestFor returns a valid request of a method for a key, with a token.
func requestFor(method, key string, token access.Token) *http.Request {
	var r *http.Request
	if method == "PUT" || method == "POST" {
		r = httptest.NewRequest(method, "/sessions/v1/"+key, strings.NewReader("value"))
	} else {
		r = httptest.NewRequest(method, "/sessions/v1/"+key, nil)
	}
	r.Header.Set("Authorization", "Bearer "+string(token))
	if method == "PATCH" {
		r.Header.Set("TTL", "60")
	}
	return r
}

// patience is how long a test waits for an event that must happen. No test waits that long if it passes.
const patience = 20 * time.Second

// Limits of the collection in tests.
const (
	testDefaultTTL = time.Hour
	testMaxTTL     = 24 * time.Hour
	testMaxValue   = 1 << 20
)

// Tokens of the clients in testPolicy.
const (
	wiki      access.Token = "userinfo_test-wiki"       // everything on sessions
	reader    access.Token = "userinfo_test-reader"     // sessions:get
	enwiki    access.Token = "userinfo_test-enwiki"     // everything on enwiki:*
	elsewhere access.Token = "userinfo_test-elsewhere"  // from a network that the tests are not in
	prom      access.Token = "userinfo_test-prometheus" // metrics:get
	docs      access.Token = "userinfo_test-docs"       // openapi:get
)

func testPolicy() (*access.Policy, error) { return access.NewPolicy(testRules()) }

// testRules returns rules in which every kind of credential is accepted, and health is open. others are additional
// clients.
func testRules(others ...access.Client) access.PolicyConfig {
	all := []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete"}
	holder := func(name string, token access.Token, grants []access.Grant, keys ...string) access.Client {
		return access.Client{Name: name, Tokens: []access.TokenRule{{SHA256: token.HashText()}}, Grants: grants, Keys: keys}
	}
	far := holder("elsewhere", elsewhere, all, "*")
	far.Tokens[0].Networks = []string{"192.0.2.0/24"}
	proven := []access.Alternative{{Certificate: new(true)}, {Token: new(true)}, {Signed: new(true)}}
	return access.PolicyConfig{
		Clients: append([]access.Client{
			holder("wiki", wiki, all, "*"),
			holder("reader", reader, all[:1], "*"),
			holder("enwiki", enwiki, all, "enwiki:*"),
			far,
			holder("prometheus", prom, []access.Grant{"metrics:get"}),
			holder("docs", docs, []access.Grant{"openapi:get"}),
			{Name: "canary", Certificates: []access.CertificateName{{CN: "canary"}}, Grants: all, Keys: []string{"{cn}:*"}},
		}, others...),
		Audiences:   access.Audiences{"sessions": proven, "metrics": proven, "openapi": proven, "health": {{Allow: new(true)}}},
		Collections: []string{"sessions"},
		ClientCAs:   []string{access.DefaultClientCA},
		Now:         time.Now,
	}
}

// testCA signs all certificates of the tests.
var testCA = sync.OnceValue(func() *devca.CA {
	ca, err := devca.New("api tests")
	if err != nil {
		panic(err)
	}
	return ca
})

var serverCertificate = sync.OnceValue(func() tls.Certificate { return issue(testCA(), devca.Loopback()) })

func issue(ca *devca.CA, leaf devca.Leaf) tls.Certificate {
	certPEM, keyPEM, err := ca.Issue(leaf)
	if err != nil {
		panic(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		panic(err)
	}
	return pair
}

// setup configures the service of a test. A zero field means the default.
type setup struct {
	store                       store.Store // usually memory
	ready                       func(context.Context) error
	policy                      func() *access.Policy
	maxInFlight, maxConnections int
	drain, grace                time.Duration
	requestTimeout              time.Duration
	clientAuth                  tls.ClientAuthType
	level                       slog.Level // 0: debug
	random                      io.Reader
	clientCAs                   func([][]*x509.Certificate) ([]string, error) // usually the only one
	forwarded                   func() *forwarded.Rules
	signatureKeys               map[string]signature.Key
	limits                      access.Limits
	auditKey                    access.AuditKey
	now                         func() time.Time // of the API
	idleTimeout                 time.Duration
	listener                    func(net.Listener) net.Listener
	curves                      []tls.CurveID
	minVersion                  uint16 // of TLS; usually 1.3
}

// service is a server that listens on loopback.
type service struct {
	api      *API
	server   *Server
	registry *prometheus.Registry
	logs     *buffer
	audit    *buffer
	clock    *clock // of the memory store only
	addr     string
	stop     context.CancelFunc // starts the shutdown, as SIGTERM does
	served   chan error         // receives the result of Serve
}

// newAPI returns a service with an API and without a Server.
func newAPI(t testing.TB, u setup) *service {
	t.Helper()
	s := &service{registry: prometheus.NewRegistry(), logs: &buffer{}, clock: &clock{now: time.Now()}}
	if u.level == 0 {
		u.level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(s.logs, &slog.HandlerOptions{Level: u.level}))
	policy, err := testPolicy()
	if err != nil {
		t.Fatal(err)
	}
	if u.store == nil {
		u.store = store.NewCollection(storetest.NewSealedRows(t, store.NewMemory(64<<20, s.clock.Now), "sessions"),
			store.CollectionConfig{Name: "sessions", MaxTTL: testMaxTTL, Fence: time.Minute},
			store.Options{Now: s.clock.Now, Log: log, Metrics: store.NewMetrics(s.registry)})
	}
	if u.policy == nil {
		u.policy = func() *access.Policy { return policy }
	}
	if u.ready == nil {
		u.ready = func(context.Context) error { return nil }
	}
	if u.random == nil {
		u.random = rand.Reader
	}
	if u.clientCAs == nil {
		u.clientCAs = func([][]*x509.Certificate) ([]string, error) { return []string{access.DefaultClientCA}, nil }
	}
	if u.forwarded == nil {
		rules, err := forwarded.NewRules(testCA().Pool(), "X-Client-Dn")
		if err != nil {
			t.Fatal(err)
		}
		u.forwarded = func() *forwarded.Rules { return rules }
	}
	if u.now == nil {
		u.now = time.Now
	}
	s.audit = &buffer{}
	s.api = New(Config{
		Collections: []Collection{{
			Name: "sessions", Path: "/sessions/v1", Store: u.store,
			DefaultTTL: testDefaultTTL, MaxTTL: testMaxTTL, MaxValueBytes: testMaxValue,
		}},
		Rules: func() *Rules {
			return &Rules{Policy: u.policy(), ClientCAs: u.clientCAs, Forwarded: u.forwarded(), SignatureKeys: u.signatureKeys, AuditKey: u.auditKey}
		},
		Signatures:     signature.NewVerifier(signature.Config{}),
		ClientLimits:   u.limits,
		Audit:          slog.New(slog.NewJSONHandler(s.audit, nil)),
		Ready:          u.ready,
		MaxInFlight:    orElse(u.maxInFlight, 1000),
		RequestTimeout: orElse(u.requestTimeout, RequestTimeout),
		Registry:       s.registry,
		Log:            log,
		Now:            u.now,
		Random:         u.random,
	})
	return s
}

// start starts a service, and stops it when the test ends.
func start(t testing.TB, u setup) *service {
	t.Helper()
	s := newAPI(t, u)
	s.server = NewServer(ServerConfig{
		API: s.api,
		TLS: &tls.Config{
			Certificates: []tls.Certificate{serverCertificate()},
			ClientAuth:   orElse(u.clientAuth, tls.VerifyClientCertIfGiven),
			ClientCAs:    testCA().Pool(),
			MinVersion:   orElse(u.minVersion, tls.VersionTLS13),

			CurvePreferences:            u.curves,
			DynamicRecordSizingDisabled: true, // as in tlsconf
		},
		MaxConnections: orElse(u.maxConnections, 20_000),
		Drain:          u.drain,
		Grace:          orElse(u.grace, patience),
		Registry:       s.registry,
		Log:            s.api.config.Log,
	})
	s.server.http.IdleTimeout = orElse(u.idleTimeout, idleTimeout)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if u.listener != nil {
		l = u.listener(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.addr, s.stop, s.served = l.Addr().String(), cancel, make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.served <- s.server.Serve(ctx, l)
	}()
	t.Cleanup(func() {
		_ = s.server.http.Close()
		<-ended
		cancel()
	})
	return s
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// protocols are the protocols of the service.
var protocols = []string{"HTTP/1.1", "HTTP/2.0"}

// client returns a client of s for one protocol. It keeps connections and follows no redirects.
func (s *service) client(t testing.TB, protocol string, certificates ...tls.Certificate) *http.Client {
	t.Helper()
	var p http.Protocols
	p.SetHTTP1(protocol == protocols[0])
	p.SetHTTP2(protocol == protocols[1])
	tr := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: testCA().Pool(), Certificates: certificates},
		Protocols:           &p,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 1000,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask describes a request. Without an Authorization header, the request has the token of wiki.
type ask struct {
	method, path string // the path is sent unchanged
	header       http.Header
	body         io.Reader
}

// answer is a complete response.
type answer struct {
	status   int
	header   http.Header
	body     string
	protocol string
	close    bool
}

// as returns a header with a token and other fields.
func as(token access.Token, others ...string) http.Header {
	h := http.Header{"Authorization": {"Bearer " + string(token)}}
	for i := 0; i+1 < len(others); i += 2 {
		h.Add(others[i], others[i+1])
	}
	return h
}

func (a ask) request(s *service) *http.Request {
	r, err := http.NewRequest(a.method, "https://"+s.addr, a.body)
	if err != nil {
		panic(err)
	}
	r.URL.Opaque = a.path // is sent unchanged
	if strings.HasPrefix(a.path, "//") {
		r.URL.Opaque = "https://" + s.addr + a.path // otherwise net/http would take it for an authority
	}
	if r.Header = a.header.Clone(); r.Header == nil {
		r.Header = http.Header{}
	}
	if _, given := r.Header["Authorization"]; !given {
		r.Header.Set("Authorization", "Bearer "+string(wiki))
	}
	if r.Header.Get("Authorization") == "" {
		r.Header.Del("Authorization")
	}
	return r
}

// do sends a request and reads the whole response.
func (s *service) do(c *http.Client, a ask) (answer, error) {
	res, err := c.Do(a.request(s))
	if err != nil {
		return answer{}, err
	}
	return read(res)
}

func read(res *http.Response) (answer, error) {
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return answer{status: res.StatusCode, header: res.Header, body: string(body), protocol: res.Proto, close: res.Close}, err
}

// must is like do, but fails the test if there is no response.
func (s *service) must(t testing.TB, c *http.Client, a ask) answer {
	t.Helper()
	got, err := s.do(c, a)
	if err != nil {
		t.Fatalf("%s %s: %v", a.method, a.path, err)
	}
	return got
}

// get returns a request for the value of key.
func get(key string) ask { return ask{method: http.MethodGet, path: "/sessions/v1/" + key} }

// put returns a request that sets key to value.
func put(key, value string) ask {
	return ask{method: http.MethodPut, path: "/sessions/v1/" + key, body: strings.NewReader(value)}
}

// buffer is a log that is safe for concurrent use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// clock is a clock that the test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// eventually waits until ok returns true. Use it only for state that cannot be awaited, such as a gauge.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v, this has not happened: %s", patience, what)
		}
	}
}

// gauge returns the value of a gauge or counter without labels.
func gauge(t testing.TB, s *service, name string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// serve calls the API directly, without a network. A PUT or POST has a body.
func (s *service) serve(method, path string, header http.Header) answer {
	var r *http.Request
	if method == "PUT" || method == "POST" {
		r = httptest.NewRequest(method, path, strings.NewReader("value"))
	} else {
		r = httptest.NewRequest(method, path, nil)
	}
	r.Header = header
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Header(), body: w.Body.String()}
}
