//go:build integration

package proxies

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"userinfo/tlsconf"
)

// brokenService is a service that fails as a test tells it. It answers health checks, and one request on each connection.
type brokenService struct {
	address string
	begun   chan struct{} // gets a signal when a request other than a health check begins, unless one is in it already

	mu       sync.Mutex
	behaves  behaviour
	listener net.Listener
	open     map[net.Conn]struct{}
	handlers sync.WaitGroup
}

// behaviour is how a brokenService treats connections. All fields may be empty.
type behaviour struct {
	plain       func(net.Conn)                // instead of TLS
	certificate *tls.Certificate              // instead of the service's
	answer      func(net.Conn, *http.Request) // instead of a response with the planted value
}

// serveBroken starts a brokenService for a proxy of this kind. It ends with the test.
func (env *environment) serveBroken(t *testing.T, k kind) *brokenService {
	t.Helper()
	b := &brokenService{address: "127.0.0.1:0", begun: make(chan struct{}, 1), open: map[net.Conn]struct{}{}}
	listed, err := tlsconf.NewProxies(k.serviceConfig().proxies)
	if err != nil {
		t.Fatal(err)
	}
	b.listen(t, env, listed)
	t.Cleanup(b.refuse)
	return b
}

// listen accepts connections, at the same address each time.
func (b *brokenService) listen(t *testing.T, env *environment, listed *tlsconf.Proxies) {
	t.Helper()
	l, err := net.Listen("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	b.address, b.listener = l.Addr().String(), l
	proxied := tlsconf.NewProxyListener(l, func() *tlsconf.Proxies { return listed }, 2*time.Second)
	own := env.pair(t, "userinfo")
	b.handlers.Go(func() {
		for {
			c, err := proxied.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			b.handlers.Go(func() { b.serve(c, own) })
		}
	})
}

// refuse closes the listener and all connections, so that the next connections are refused.
func (b *brokenService) refuse() {
	_ = b.listener.Close()
	b.mu.Lock()
	for c := range b.open {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.handlers.Wait()
}

// become changes the behaviour of later connections.
func (b *brokenService) become(behaves behaviour) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.behaves = behaves
}

func (b *brokenService) serve(c net.Conn, own *tls.Certificate) {
	b.mu.Lock()
	behaves := b.behaves
	b.open[c] = struct{}{}
	b.mu.Unlock()
	defer func() {
		_ = c.Close()
		b.mu.Lock()
		delete(b.open, c)
		b.mu.Unlock()
	}()
	if behaves.plain != nil {
		behaves.plain(c)
		return
	}
	if behaves.certificate != nil {
		own = behaves.certificate
	}
	secured := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*own}, ClientAuth: tls.RequestClientCert})
	defer func() { _ = secured.Close() }()
	r, err := http.ReadRequest(bufio.NewReader(secured))
	if err != nil {
		return
	}
	if r.URL.Path == "/readyz" {
		_, _ = io.WriteString(secured, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return
	}
	select {
	case b.begun <- struct{}{}:
	default:
	}
	if behaves.answer != nil {
		behaves.answer(secured, r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(secured, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+plantedValue)
}

// write returns a behaviour that answers with text and closes the connection.
func write(text string) behaviour {
	return behaviour{answer: func(c net.Conn, _ *http.Request) { _, _ = io.WriteString(c, text) }}
}

// hang is a behaviour that sends nothing until the proxy gives up.
var hang = behaviour{answer: func(c net.Conn, _ *http.Request) { _, _ = io.Copy(io.Discard, c) }}
