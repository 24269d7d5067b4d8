package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/store"
)

func TestServer_MaxHeaderBytes(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	large := ask{method: "GET", path: "/sessions/v1/k", header: as(wiki, "X-Large", strings.Repeat("x", 2*maxHeaderBytes))}
	if got := s.must(t, s.client(t, protocols[0]), large); got.status != 431 {
		t.Errorf("HTTP/1.1: %d; want 431", got.status)
	}
	// Over HTTP/2, the server may close the connection instead.
	if got, err := s.do(s.client(t, protocols[1]), large); err == nil && got.status != 431 {
		t.Errorf("HTTP/2: %d; want 431 or the end of the connection", got.status)
	}
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("%d requests reached the store", len(calls))
	}
}

func TestServer_TLSVersionsAndProtocols(t *testing.T) {
	t.Parallel()
	s := start(t, setup{minVersion: tls.VersionTLS12})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, protocol := range protocols {
			c := s.client(t, protocol)
			config := c.Transport.(*http.Transport).TLSClientConfig
			config.MaxVersion, config.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
			for range 2 { // the second may resume the session
				if got := s.must(t, c, get("k")); got.status != 404 || got.protocol != protocol {
					t.Errorf("%s, %s: %d by %s", tls.VersionName(version), protocol, got.status, got.protocol)
				}
				c.CloseIdleConnections()
			}
		}
	}
}

func TestServer_RefusesForeignOrExpiredCertificate(t *testing.T) {
	foreign, err := devca.New("foreign")
	if err != nil {
		t.Fatal(err)
	}
	expired := issue(testCA(), devca.Leaf{CommonName: "canary", Client: true, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	s := start(t, setup{})
	for name, certificate := range map[string]tls.Certificate{
		"another CA": issue(foreign, devca.Leaf{CommonName: "canary", Client: true}), "expired": expired,
	} {
		for _, protocol := range protocols {
			// By default, crypto/tls does not send a certificate of a CA that the server did not name.
			c := s.client(t, protocol)
			c.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
			if got, err := s.do(c, get("canary%3Ak")); err == nil {
				t.Errorf("%s, %s: answered %d", protocol, name, got.status)
			}
		}
	}
}

// countingListener is a listener that counts the writes to its connections. Each write is a system call.
type countingListener struct {
	net.Listener
	writes atomic.Int64
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &countingConn{c, &l.writes}, err
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// take returns the number of writes since the last call.
func (l *countingListener) take() int64 { return l.writes.Swap(0) }

// startCounting starts a service that counts writes. Every key has a value of 2 KB.
func startCounting(t *testing.T, u setup) (*service, *countingListener) {
	var l countingListener
	u.listener = func(inner net.Listener) net.Listener {
		l.Listener = inner
		return &l
	}
	data := []byte(strings.Repeat("v", 2048))
	u.store = stub(func(context.Context, call) (store.Value, error) { return store.Value{Data: data}, nil })
	return start(t, u), &l
}

func TestServer_SendsSmallResponseInOneWrite(t *testing.T) {
	s, l := startCounting(t, setup{})
	for _, with := range []struct {
		name         string
		certificates []tls.Certificate
		request      string
	}{
		{"a certificate", []tls.Certificate{issue(testCA(), devca.Leaf{CommonName: "canary", Client: true})}, "GET " + canaryPath + " HTTP/1.1\r\nHost: test\r\n\r\n"},
		{"a token", nil, head("GET", canaryPath) + "\r\n"},
	} {
		config := &tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost", NextProtos: []string{"http/1.1"}, Certificates: with.certificates,
			ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for _, session := range []string{"new", "resumed"} {
			c, err := s.handshake(config)
			if err != nil {
				t.Fatal(err)
			}
			if c.ConnectionState().DidResume != (session == "resumed") {
				t.Fatalf("%s: the TLS session is not %s", with.name, session)
			}
			w := &wire{c, bufio.NewReader(c)}
			// A new session takes two writes for the handshake: its messages, and the session ticket.
			for n, want := range map[string][]int64{"new": {3, 1, 1}, "resumed": {2, 1, 1}}[session] {
				if _, err := io.WriteString(w, with.request); err != nil {
					t.Fatal(err)
				}
				if got := w.answer(t, "GET"); got.status != http.StatusOK {
					t.Fatalf("%s: %d %s", with.name, got.status, got.body)
				}
				if writes := l.take(); writes != want {
					t.Errorf("%s, %s TLS session: response %d took %d writes; want %d", with.name, session, n+1, writes, want)
				}
			}
			_ = c.NetConn().Close()
			eventually(t, "the connection is closed", func() bool { return gauge(t, s, "userinfo_connections") == 0 })
			l.take()
		}
	}
}

func TestServer_FailedHandshakeTellsReason(t *testing.T) {
	stranger, err := devca.New("another CA")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := startCounting(t, setup{})
	leaf := issue(stranger, devca.Leaf{CommonName: "canary", Client: true})
	c, err := s.handshake(&tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost",
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &leaf, nil }})
	if err == nil {
		_, err = c.Read(make([]byte, 1)) // in TLS 1.3, the server refuses after the client's handshake has ended
	}
	if err == nil || !strings.Contains(err.Error(), "remote error: tls: unknown certificate authority") {
		t.Errorf("a certificate of another CA: %v", err)
	}
}

// TestServer_HandshakeWithRetry covers a HelloRetryRequest: the server does not support the client's first key share.
func TestServer_HandshakeWithRetry(t *testing.T) {
	s, _ := startCounting(t, setup{curves: []tls.CurveID{tls.CurveP384}})
	c := s.client(t, protocols[0])
	if got := s.must(t, c, get("k")); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestServer_IdleTimeout(t *testing.T) {
	t.Parallel()
	s := start(t, setup{idleTimeout: 100 * time.Millisecond})
	for _, protocol := range protocols {
		d := s.dialogue(t, protocol)
		d.ask(t, ask{method: "GET", path: "/sessions/v1/k", header: as(wiki)})
		d.closed(t)
	}
	eventually(t, "the connections are not counted any more", func() bool { return gauge(t, s, "userinfo_connections") == 0 })
}
