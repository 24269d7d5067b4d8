//go:build integration

package proxies

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/tlsconf"
)

// punctualService is a service that closes a connection at the worst moment: as soon as a request arrives on a connection
// that was idle for the idle timeout. A real service closes such a connection a little earlier, so a request is lost only if
// it is already on its way. Here every such request is lost.
type punctualService struct {
	address string
	idle    time.Duration
	kept    atomic.Int64 // requests on a connection that had a request before
}

type lastUseKey struct{}

// servePunctual starts a punctualService for a proxy of this kind. It ends with the test.
func (env *environment) servePunctual(t *testing.T, k kind, idle time.Duration) *punctualService {
	t.Helper()
	listed, err := tlsconf.NewProxies(k.serviceConfig().proxies)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &punctualService{address: l.Addr().String(), idle: idle}
	h := &http.Server{
		Handler: s, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{*env.pair(t, "userinfo")}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}},
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, lastUseKey{}, new(time.Time)) // only one request at a time uses it
		},
	}
	serveUntilEnd(t, h, l, listed)
	return s
}

// ServeHTTP implements http.Handler.
func (s *punctualService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	last := r.Context().Value(lastUseKey{}).(*time.Time)
	if r.URL.Path != "/readyz" && !last.IsZero() {
		s.kept.Add(1)
		if time.Since(*last) >= s.idle {
			panic(http.ErrAbortHandler) // closes the connection without a response
		}
	}
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusNoContent)
	*last = time.Now()
}

// idleClients is the number of clients that send at the same time, each on its own connection to the proxy.
const idleClients = 20

// sendAfter pauses for each gap and then sends one request of every client at the same time. It returns the number of requests
// without a response of the service. The requests are POSTs, which no proxy repeats, so no loss is hidden.
func (env *environment) sendAfter(t *testing.T, address string, gaps []time.Duration) (lost int64) {
	t.Helper()
	clients := make([]*http.Client, idleClients)
	for i := range clients {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: env.servers.Pool(), ServerName: "userinfo.example"}}
		defer transport.CloseIdleConnections()
		clients[i] = &http.Client{Transport: transport, Timeout: 15 * time.Second}
	}
	var failed atomic.Int64
	for _, gap := range append([]time.Duration{0}, gaps...) {
		time.Sleep(gap) // the gap is what is tested
		var sending sync.WaitGroup
		for _, c := range clients {
			sending.Go(func() {
				response, err := c.Post("https://"+address+"/sessions/v1/k", "application/octet-stream", strings.NewReader("value"))
				if err != nil {
					failed.Add(1)
					return
				}
				_ = response.Body.Close()
				if response.StatusCode != http.StatusNoContent {
					failed.Add(1)
				}
			})
		}
		sending.Wait()
	}
	return failed.Load()
}

// around returns gaps from 10 % below to 10 % above d.
func around(d time.Duration) (gaps []time.Duration) {
	for percent := time.Duration(90); percent <= 110; percent += 4 {
		gaps = append(gaps, d*percent/100)
	}
	return gaps
}

// TestTerminatingProxy_LosesNoRequestOnIdleConnection runs the examples with their times divided by 19 or more, so that the
// service's idle timeout is 4 s.
func TestTerminatingProxy_LosesNoRequestOnIdleConnection(t *testing.T) {
	t.Parallel()
	const idle = 4 * time.Second
	for _, test := range []struct {
		name    string
		kind    kind
		changes []string
		gaps    []time.Duration
	}{
		{"nginx", nginx, []string{"keepalive_timeout 60s", "keepalive_timeout 1s"}, around(time.Second)},
		{"haproxy", haproxy, []string{"pool-purge-delay 2s", "pool-purge-delay 106ms"}, around(106 * time.Millisecond)},
		{"haproxy that shares connections", haproxy, []string{
			" send-proxy-v2 pool-purge-delay 2s", " pool-purge-delay 106ms", "option log-separate-errors", "option log-separate-errors\n\thttp-reuse always",
		}, around(106 * time.Millisecond)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(t)
			k := test.kind
			if strings.Contains(test.name, "shares") {
				k = nginx // the service expects no PROXY header
			}
			s := env.servePunctual(t, k, idle)
			at := env.start(t, test.kind, &service{address: s.address}, test.changes...).at(terminating)
			gaps := append(test.gaps, idle/8, 2*time.Millisecond, idle/4, idle/2, idle-idle/50, idle, idle+idle/50)
			if lost := env.sendAfter(t, at, gaps); lost > 0 {
				t.Errorf("%d of %d requests were lost", lost, (1+len(gaps))*idleClients)
			}
			if s.kept.Load() == 0 {
				t.Error("the proxy kept no connection, so the test showed nothing")
			}
		})
	}
}

// TestPunctualService_LosesRequestOfLateProxy checks that the test above would notice a proxy that keeps connections longer
// than the service does.
func TestPunctualService_LosesRequestOfLateProxy(t *testing.T) {
	const idle = 300 * time.Millisecond
	for _, test := range []struct {
		kind    kind
		changes []string
	}{
		{nginx, nil}, // keeps connections for 60 s
		{haproxy, []string{"pool-purge-delay 2s", "pool-purge-delay 1h"}},
	} {
		t.Run(test.kind.name, func(t *testing.T) {
			env := newEnvironment(t)
			s := env.servePunctual(t, test.kind, idle)
			at := env.start(t, test.kind, &service{address: s.address}, test.changes...).at(terminating)
			if lost := env.sendAfter(t, at, []time.Duration{2 * idle}); lost == 0 {
				t.Error("no request was lost")
			}
		})
	}
}
