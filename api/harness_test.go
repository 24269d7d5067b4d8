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
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
	"userinfo/internal/certchain"
	"userinfo/internal/devca"
	"userinfo/internal/panics"
	"userinfo/internal/tracing"
	"userinfo/passwords"
	"userinfo/store"
	"userinfo/store/storetest"
)

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
	wiki      access.Token = "userinfo_test-wiki"       // everything on sessions and passwords
	reader    access.Token = "userinfo_test-reader"     // sessions:get
	enwiki    access.Token = "userinfo_test-enwiki"     // the same on enwiki:*
	elsewhere access.Token = "userinfo_test-elsewhere"  // from a network that the tests are not in
	prom      access.Token = "userinfo_test-prometheus" // metrics:get
	docs      access.Token = "userinfo_test-docs"       // openapi:get
	ops       access.Token = "userinfo_test-operator"   // operators:get
)

func testPolicy() (*access.Policy, error) { return access.NewPolicy(testRules()) }

// testRules returns rules in which every kind of credential is accepted, and health is open. others are additional
// clients.
func testRules(others ...access.Client) access.PolicyConfig {
	all := []access.Grant{"sessions:get", "sessions:set", "sessions:touch", "sessions:delete"}
	everything := slices.Clone(all)
	for _, action := range access.PasswordActions {
		everything = append(everything, access.GrantOn(access.Passwords, action))
	}
	holder := func(name string, token access.Token, grants []access.Grant, keys ...string) access.Client {
		return access.Client{Name: name, Tokens: []access.TokenRule{{SHA256: token.HashText()}}, Grants: grants, Keys: keys}
	}
	far := holder("elsewhere", elsewhere, all, "*")
	far.Tokens[0].Networks = []string{"192.0.2.0/24"}
	proven := []access.Alternative{{Certificate: new(true)}, {Token: new(true)}, {Signed: new(true)}}
	return access.PolicyConfig{
		Clients: append([]access.Client{
			holder("wiki", wiki, everything, "*"),
			holder("reader", reader, all[:1], "*"),
			holder("enwiki", enwiki, everything, "enwiki:*"),
			far,
			holder("prometheus", prom, []access.Grant{"metrics:get"}),
			holder("docs", docs, []access.Grant{"openapi:get"}),
			holder("operator", ops, []access.Grant{"operators:get"}),
			{Name: "canary", Certificates: []access.CertificateName{{CN: "canary"}}, Grants: all, Keys: []string{"{cn}:*"}},
		}, others...),
		Audiences:   access.Audiences{"sessions": proven, "passwords": proven, "metrics": proven, "openapi": proven, "operators": proven, "health": {{Allow: new(true)}}},
		Collections: []string{"sessions"},
		Passwords:   true,
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
	store                       store.Store     // usually memory
	passwords                   passwords.Store // usually a stub that succeeds
	ready                       func(context.Context) error
	policy                      func() *access.Policy
	maxInFlight, maxConnections int
	maxUnauthenticated          int // 0: no bound
	maxPerAddress               int // 0: no bound
	drain, grace                time.Duration
	requestTimeout              time.Duration
	clientAuth                  tls.ClientAuthType
	level                       slog.Level // 0: debug
	random                      io.Reader
	authorities                 access.Authorities                            // usually the certificate's, and the names in requests of the tests
	clientCAs                   func([][]*x509.Certificate) ([]string, error) // usually the only one
	forwarded                   func() *forwarded.Rules
	signatureKeys               map[string]signature.Key
	limits                      access.Limits
	maxBytesInFlight            int64
	kaskNames                   bool
	rewrittenKeys               func() []store.RewrittenKeys
	rewrites                    *store.Rewrites // of the usual store
	auditKey                    access.AuditKey
	noAudit                     error // of Reserve and Check, unless auditOptional
	auditOptional               bool
	now                         func() time.Time // of the API
	tracer                      *tracing.Tracer
	idleTimeout                 time.Duration
	paceInterval                time.Duration
	listener                    func(net.Listener) net.Listener
	curves                      []tls.CurveID
	minVersion                  uint16 // of TLS; usually 1.3
	configForClient             func(*tls.ClientHelloInfo) (*tls.Config, error)
}

// service is a server that listens on loopback.
type service struct {
	api      *API
	server   *Server
	registry *prometheus.Registry
	logs     *buffer
	audit    *auditLog
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
			store.Options{Now: s.clock.Now, Log: log, Metrics: store.NewMetrics(s.registry), Rewrites: u.rewrites})
	}
	if u.passwords == nil {
		u.passwords = new(passwordRecorder)
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
	if u.authorities.Texts() == nil {
		var err error
		if u.authorities, err = access.ParseAuthorities("", []string{"localhost", "127.0.0.1", "test", "h", "example.com"}); err != nil {
			t.Fatal(err)
		}
	}
	if u.clientCAs == nil {
		u.clientCAs = func([][]*x509.Certificate) ([]string, error) { return []string{access.DefaultClientCA}, nil }
	}
	if u.forwarded == nil {
		rules, err := forwarded.NewRules(certchain.New(testCA().Certificate()), "X-Client-Dn")
		if err != nil {
			t.Fatal(err)
		}
		u.forwarded = func() *forwarded.Rules { return rules }
	}
	if u.now == nil {
		u.now = time.Now
	}
	s.audit = newAuditLog(u.noAudit, u.auditOptional)
	s.api = New(Config{
		Collections: []Collection{{
			Name: "sessions", Path: "/sessions/v1", Store: u.store,
			DefaultTTL: testDefaultTTL, MaxTTL: testMaxTTL, MaxValueBytes: testMaxValue,
		}},
		Passwords: u.passwords,
		Rules: func() *Rules {
			return &Rules{Authorities: u.authorities, Policy: u.policy(), ClientCAs: u.clientCAs, Forwarded: u.forwarded(), SignatureKeys: u.signatureKeys, AuditKey: u.auditKey}
		},
		Signatures:       signature.NewVerifier(signature.Config{}),
		ClientLimits:     u.limits,
		Audit:            s.audit,
		Ready:            u.ready,
		MaxInFlight:      orElse(u.maxInFlight, 1000),
		MaxBytesInFlight: u.maxBytesInFlight,
		RequestTimeout:   orElse(u.requestTimeout, RequestTimeout),
		Tracer:           u.tracer,
		Registry:         s.registry,
		KaskNames:        u.kaskNames,
		Version:          "test",
		RewrittenKeys:    u.rewrittenKeys,
		Panics:           panics.NewRecorder(s.registry, log),
		Log:              log,
		Now:              u.now,
		Random:           u.random,
	})
	s.api.paceInterval = orElse(u.paceInterval, paceInterval)
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
			GetConfigForClient:          u.configForClient,
			DynamicRecordSizingDisabled: true, // as in tlsconf
		},
		MaxConnections:                orElse(u.maxConnections, 20_000),
		MaxUnauthenticatedConnections: u.maxUnauthenticated,
		MaxConnectionsPerAddress:      u.maxPerAddress,
		IdleTimeout:                   orElse(u.idleTimeout, DefaultIdleTimeout),
		Drain:                         u.drain,
		Grace:                         orElse(u.grace, patience),
		Registry:                      s.registry,
		Log:                           s.api.config.Log,
	})
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

// auditLog is an AuditLog in memory. It counts the reservations that are open.
type auditLog struct {
	buffer
	records     *slog.Logger
	unavailable error
	optional    bool
	reserved    atomic.Int64
}

func newAuditLog(unavailable error, optional bool) *auditLog {
	a := &auditLog{unavailable: unavailable, optional: optional}
	a.records = slog.New(slog.NewJSONHandler(&a.buffer, nil))
	return a
}

func (a *auditLog) Reserve(bool) (bool, error) {
	switch {
	case a.unavailable == nil:
		a.reserved.Add(1)
		return true, nil
	case a.optional:
		return false, nil
	}
	return false, a.unavailable
}

func (a *auditLog) Record(ctx context.Context, attrs ...slog.Attr) {
	a.reserved.Add(-1)
	a.records.LogAttrs(ctx, slog.LevelInfo, "audit", attrs...)
}

func (a *auditLog) Release() { a.reserved.Add(-1) }

func (a *auditLog) Check() error { return a.unavailable }

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
