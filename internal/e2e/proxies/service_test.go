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
	"userinfo/store"
	"userinfo/tlsconf"
)

// setting is what the service is configured with, beside its certificates and who its clients are:
//
//	alice, bob   by the common name of a certificate
//	mediawiki    by a token, from home alone
//	edge-proxy   no client, but a proxy whose forwarded certificates are believed
type setting struct {
	proxies []tlsconf.ProxySource // who speaks the PROXY protocol
	dnField string                // of edge-proxy
}

// record is one request, as the service's log has it.
type record struct {
	Client  string // "" for nobody
	Address string // the client's, as far as the service knows
	Peer    string // of the TCP connection
	Path    string // as it was sent
	Status  int
}

// service is what the proxies stand in front of: the API with its policy, tlsconf's listener and TLS, forwarded's rules.
type service struct {
	address string
	api     *api.API

	connections atomic.Int64

	mu      sync.Mutex
	records []record
	checks  chan record // of /readyz; those that nobody waits for are dropped
}

type (
	peerKey struct{}
	seenKey struct{}
)

// seeing is a log that notes in the record of a request whose it was.
type seeing struct{ slog.Handler }

func (seeing) Enabled(context.Context, slog.Level) bool { return true }

func (seeing) Handle(ctx context.Context, r slog.Record) error {
	seen, ok := ctx.Value(seenKey{}).(*record)
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

// full is a store with a value under every key: what is tested is who reaches it.
type full struct{ store.Store }

func (full) Get(context.Context, access.Caller, access.Key) (store.Value, error) {
	return store.Value{Data: []byte("value"), TTL: time.Minute}, nil
}

// policy is that of a setting.
func policy(t *testing.T, s setting) *access.Policy {
	t.Helper()
	grants, keys := []access.Grant{"sessions:get"}, []string{"*"}
	named := func(name string) access.Client {
		return access.Client{Name: name, Certificates: []access.CertificateName{{CN: name}}, Grants: grants, Keys: keys}
	}
	rules := access.PolicyConfig{
		Clients: []access.Client{named("alice"), named("bob"), {
			Name: "mediawiki", Tokens: []access.TokenRule{{SHA256: access.Token(token).HashText(), Networks: []string{home + "/32"}}}, Grants: grants, Keys: keys,
		}},
		Audiences:   access.Audiences{"sessions": {{Certificate: new(true)}, {Token: new(true)}}, "health": {{Allow: new(true)}}},
		Collections: []string{"sessions"}, ClientCAs: []string{access.DefaultClientCA}, Now: time.Now,
		Proxies: []access.CertificateName{{CN: "edge-proxy"}},
	}
	if s.dnField != "" {
		rules.ClientDNCA = access.DefaultClientCA
	}
	p, err := access.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serve starts a service that ends with the test.
func (w *world) serve(t *testing.T, s setting) *service {
	t.Helper()
	server, err := tlsconf.LoadServer(tlsconf.ServerFiles{Certificate: w.file("userinfo.crt"), Key: w.file("userinfo.key"), ClientCA: w.file("clients-ca.crt")}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := tlsconf.NewProxies(s.proxies)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := forwarded.NewRules(server.ClientPool(), s.dnField)
	if err != nil {
		t.Fatal(err)
	}
	p := policy(t, s)
	v := &service{address: l.Addr().String(), checks: make(chan record)}
	v.api = api.New(api.Config{
		Collections: []api.Collection{{Name: "sessions", Path: "/sessions/v1", Store: full{}, DefaultTTL: time.Hour, MaxTTL: time.Hour, MaxValueBytes: 1 << 20}},
		Rules:       func() *api.Rules { return &api.Rules{Policy: p, ClientCAs: server.VerifyChains, Forwarded: rules} },
		Ready:       func(context.Context) error { return nil },
		Signatures:  signature.NewVerifier(signature.Config{}),
		Audit:       slog.New(slog.DiscardHandler),
		MaxInFlight: 1000, RequestTimeout: api.RequestTimeout, Registry: prometheus.NewRegistry(), Log: slog.New(seeing{slog.DiscardHandler}), Now: time.Now, Random: rand.Reader,
	})
	h := &http.Server{
		Handler: v, TLSConfig: tlsconf.ListenerConfig(func() *tlsconf.Server { return server }), ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			v.connections.Add(1)
			return context.WithValue(ctx, peerKey{}, tlsconf.PeerAddr(c).String())
		},
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.ServeTLS(tlsconf.NewProxyListener(l, func() *tlsconf.Proxies { return listed }, 2*time.Second), "", "") // its end is the test's
	}()
	t.Cleanup(func() {
		_ = h.Close()
		<-ended
	})
	return v
}

// last is the one request since it was asked before; the zero record if there was none.
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

// all are the requests since it was asked before.
func (v *service) all() []record {
	v.mu.Lock()
	defer v.mu.Unlock()
	records := v.records
	v.records = nil
	return records
}

// ServeHTTP implements http.Handler.
func (v *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := record{Address: host(r.RemoteAddr), Peer: host(r.Context().Value(peerKey{}).(string)), Path: r.RequestURI}
	if r.URL.Path == "/readyz" {
		select {
		case v.checks <- seen:
		default:
		}
		return // 200
	}
	v.api.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), seenKey{}, &seen)))
	v.mu.Lock()
	v.records = append(v.records, seen)
	v.mu.Unlock()
}

// token is good from home.
const (
	token = "mediawiki-has-this"
	home  = "127.0.0.8"
	away  = "127.0.0.9"
	// proxyAddress is where a proxy's connections come from: the kernel's choice on loopback.
	proxyAddress = "127.0.0.1"
)

// host is the address without its port, or all of it where there is none.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}
