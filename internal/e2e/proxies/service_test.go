//go:build integration

package proxies

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/access/forwarded"
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

// service is what the proxies stand in front of: tlsconf's listener, its TLS, and forwarded's rules.
type service struct {
	address string
	rules   *forwarded.Rules

	connections atomic.Int64

	mu      sync.Mutex
	records []record
	checks  chan record // of /readyz; those that nobody waits for are dropped
}

type peerKey struct{}

// serve starts a service that ends with the test.
func (w *world) serve(t *testing.T, s setting) *service {
	t.Helper()
	server, err := tlsconf.NewServer(tlsconf.ServerFiles{Certificate: w.file("userinfo.crt"), Key: w.file("userinfo.key"), ClientCA: w.file("clients-ca.crt")}, time.Now)
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
	rules, err := forwarded.NewRules(w.clients.Pool(), s.dnField)
	if err != nil {
		t.Fatal(err)
	}
	v := &service{address: l.Addr().String(), rules: rules, checks: make(chan record)}
	h := &http.Server{
		Handler: v, TLSConfig: server.Config(), ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			v.connections.Add(1)
			return context.WithValue(ctx, peerKey{}, tlsconf.PeerOf(c).String())
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
	seen.Client, seen.Status = v.decide(r)
	v.mu.Lock()
	v.records = append(v.records, seen)
	v.mu.Unlock()
	w.WriteHeader(seen.Status)
}

// decide is the least of a policy: who, and the status.
func (v *service) decide(r *http.Request) (client string, status int) {
	names, peer := "", forwarded.Stranger
	if len(r.TLS.VerifiedChains) > 0 {
		names = r.TLS.VerifiedChains[0][0].Subject.CommonName
	}
	if names == "edge-proxy" {
		names, peer = "", forwarded.ListedProxy
	}
	on, err := v.rules.Client(r.Header, peer, time.Now())
	switch {
	case errors.Is(err, forwarded.ErrUnverified):
		return "", http.StatusUnauthorized
	case err != nil:
		return "", http.StatusBadRequest
	case on.Chains != nil:
		names = on.Chains[0][0].Subject.CommonName
	case on.CommonName != "":
		names = on.CommonName
	}
	if r.Header.Get("Authorization") == "Bearer "+token && host(r.RemoteAddr) == home {
		return "mediawiki", http.StatusOK
	}
	if names == "alice" || names == "bob" {
		return names, http.StatusOK
	}
	return "", http.StatusUnauthorized
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
