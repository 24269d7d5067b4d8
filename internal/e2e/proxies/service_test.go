//go:build integration

package proxies

import (
	"context"
	"crypto/rand"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
	"userinfo/api"
	"userinfo/internal/logqueue"
	"userinfo/store"
	"userinfo/tlsconf"
)

// serviceConfig is the part of the service's configuration in which tests differ. The clients are always:
//
//	alice, bob   identified by the common name of a certificate
//	mediawiki    identified by a token, which is valid from the address home only
//	edge-proxy   not a client, but a proxy that may forward certificates
type serviceConfig struct {
	proxies []tlsconf.ProxySource // the proxies that speak the PROXY protocol
	dnField string                // the header in which edge-proxy forwards a distinguished name
}

// record is one request as the service saw it.
type record struct {
	Client  string // empty if not identified
	Address string // of the client, as the service knows it
	Peer    string // address of the TCP connection's peer
	Path    string // as it was received
	Status  int
}

// service is the service behind the proxies: the API with its policy, the listener and TLS of tlsconf, and the rules of
// package forwarded.
type service struct {
	address string
	api     *api.API

	connections atomic.Int64

	mu      sync.Mutex
	records []record
	checks  chan record // requests of /readyz; dropped if no test waits for them
}

type (
	connKey   struct{}
	recordKey struct{}
)

// recordHandler is a log handler that copies client and status of a logged request into its record.
type recordHandler struct{ slog.Handler }

func (recordHandler) Enabled(context.Context, slog.Level) bool { return true }

func (recordHandler) Handle(ctx context.Context, r slog.Record) error {
	seen, ok := ctx.Value(recordKey{}).(*record)
	if ok && r.Message == "request" {
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "client":
				seen.Client = a.Value.String()
			case "status":
				seen.Status = int(a.Value.Int64())
			}
			return true
		})
	}
	return nil
}

// fullStore is a store with a value under every key. The tests check who can reach the store.
type fullStore struct{ store.Store }

func (fullStore) Get(context.Context, access.Caller, access.Key) (store.Value, error) {
	return store.Value{Data: []byte("value"), TTL: time.Minute}, nil
}

// newPolicy returns the policy of a service.
func newPolicy(t *testing.T, c serviceConfig) *access.Policy {
	t.Helper()
	grants, keys := []access.Grant{"sessions:get"}, []string{"*"}
	certified := func(name string) access.Client {
		return access.Client{Name: name, Certificates: []access.CertificateName{{CN: name}}, Grants: grants, Keys: keys}
	}
	rules := access.PolicyConfig{
		Clients: []access.Client{certified("alice"), certified("bob"), {
			Name: "mediawiki", Tokens: []access.TokenRule{{SHA256: access.Token(token).HashText(), Networks: []string{home + "/32"}}}, Grants: grants, Keys: keys,
		}},
		Audiences:   access.Audiences{"sessions": {{Certificate: new(true)}, {Token: new(true)}}, "health": {{Allow: new(true)}}},
		Collections: []string{"sessions"}, ClientCAs: []string{access.DefaultClientCA}, Now: time.Now,
		Proxies: []access.Proxy{{CN: "edge-proxy"}},
	}
	if c.dnField != "" {
		rules.ClientDNCA = access.DefaultClientCA
	}
	p, err := access.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serve starts a service. It ends with the test.
func (env *environment) serve(t *testing.T, c serviceConfig) *service {
	t.Helper()
	server, err := tlsconf.LoadServer(tlsconf.ServerFiles{Certificate: env.file("userinfo.crt"), Key: env.file("userinfo.key"), ClientCA: env.file("clients-ca.crt")}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := tlsconf.NewProxies(c.proxies)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := forwarded.NewRules(server.ClientVerifier(), c.dnField)
	if err != nil {
		t.Fatal(err)
	}
	p := newPolicy(t, c)
	audit := logqueue.NewAudit(logqueue.AuditConfig{To: io.Discard, Bytes: 1 << 20, Patience: time.Minute, Required: true, Now: time.Now,
		Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { audit.Close(time.Minute) })
	v := &service{address: l.Addr().String(), checks: make(chan record)}
	v.api = api.New(api.Config{
		Collections: []api.Collection{{Name: "sessions", Path: "/sessions/v1", Store: fullStore{}, DefaultTTL: time.Hour, MaxTTL: time.Hour, MaxValueBytes: 1 << 20}},
		Rules: func() *api.Rules {
			return &api.Rules{Authorities: access.CertificateAuthorities(server.Certificate()), Policy: p, ClientCAs: server.VerifyChains, Forwarded: rules}
		},
		Ready:       func(context.Context) error { return nil },
		Signatures:  signature.NewVerifier(signature.Config{}),
		Audit:       audit,
		MaxInFlight: 1000, RequestTimeout: api.RequestTimeout, Registry: prometheus.NewRegistry(), Log: slog.New(recordHandler{slog.DiscardHandler}), Now: time.Now, Random: rand.Reader,
	})
	h := &http.Server{
		Handler: v, TLSConfig: tlsconf.ListenerConfig(func() *tlsconf.Server { return server }), ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			v.connections.Add(1)
			return context.WithValue(ctx, connKey{}, conn)
		},
	}
	serveUntilEnd(t, h, l, listed)
	return v
}

// serveUntilEnd serves h on l, behind the listed proxies, until the test ends.
func serveUntilEnd(t *testing.T, h *http.Server, l net.Listener, listed *tlsconf.Proxies) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.ServeTLS(tlsconf.NewHandshakes(prometheus.NewRegistry()).Listener(tlsconf.NewProxyListener(l, func() *tlsconf.Proxies { return listed }, 2*time.Second)), "", "") // returns when the test closes h
	}()
	t.Cleanup(func() {
		_ = h.Close()
		<-ended
	})
}

// last returns the only request since the previous call, or the zero record if no request reached the service.
func (v *service) last(t *testing.T) record {
	t.Helper()
	records := v.all()
	switch len(records) {
	case 0:
		return record{}
	case 1:
		return records[0]
	}
	t.Fatalf("more than one request reached the service: %+v", records)
	return record{}
}

// all returns the requests since the previous call.
func (v *service) all() []record {
	v.mu.Lock()
	defer v.mu.Unlock()
	records := v.records
	v.records = nil
	return records
}

// ServeHTTP implements http.Handler.
func (v *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn := r.Context().Value(connKey{}).(net.Conn)
	seen := record{Address: host(r.RemoteAddr), Peer: host(tlsconf.PeerAddr(conn).String()), Path: r.RequestURI}
	r.TLS.VerifiedChains = tlsconf.VerifiedChains(conn) // api.Server passes them on in another way
	if r.URL.Path == "/readyz" {
		select {
		case v.checks <- seen:
		default:
		}
		return // 200
	}
	v.api.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), recordKey{}, &seen)))
	v.mu.Lock()
	v.records = append(v.records, seen)
	v.mu.Unlock()
}

const (
	token = "mediawiki-has-this" // valid from home only
	home  = "127.0.0.8"
	away  = "127.0.0.9"
	// proxyAddress is the source address of a proxy's connections, which the kernel chooses on loopback.
	proxyAddress = "127.0.0.1"
)

// host returns an address without its port.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}
