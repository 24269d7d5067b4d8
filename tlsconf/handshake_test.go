package tlsconf_test

import (
	"cmp"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

// guarded is a TLS server that only makes handshakes.
type guarded struct {
	*tlsconf.Handshakes
	ca       *devca.CA // of the server and of clients
	server   server
	address  string
	results  chan error    // of each handshake
	received chan int      // bytes of each handshake
	deadline time.Duration // of each handshake
}

func newGuarded(t *testing.T, deadline time.Duration) *guarded {
	t.Helper()
	g := &guarded{Handshakes: tlsconf.NewHandshakes(prometheus.NewRegistry()), ca: newCA(t, "ca"), results: make(chan error, 1000), received: make(chan int, 1000), deadline: deadline}
	d := newDir(t)
	files := d.serverFiles(g.ca)
	files.ClientCA = d.write("clients.pem", g.ca.PEM())
	files.MinVersion = "1.2"
	g.server = newServer(t, files)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.address = l.Addr().String()
	accepted := tls.NewListener(g.Listener(countingListener{l}), g.server.config())
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := accepted.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { g.handle(c.(*tls.Conn)) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	return g
}

func (g *guarded) handle(c *tls.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(g.deadline))
	err := c.Handshake()
	g.results <- err
	g.received <- c.NetConn().(interface{ NetConn() net.Conn }).NetConn().(*countingConn).received
	_, _ = io.WriteString(c, "x")
	_, _ = io.Copy(io.Discard, c)
}

// countingListener counts the bytes that the server reads from each connection.
type countingListener struct{ net.Listener }

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &countingConn{Conn: c}, err
}

type countingConn struct {
	net.Conn
	received int
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received += n
	return n, err
}

// wantRefusedFor checks that each reason was counted as often as it is listed.
func (g *guarded) wantRefusedFor(t *testing.T, reasons ...string) {
	t.Helper()
	count := make(map[string]float64)
	for _, r := range reasons {
		count[r]++
	}
	for _, r := range []string{"bytes", "busy", "chain_length", "unknown_ca", "expired", "certificate"} {
		if got := testutil.ToFloat64(g.Refused(r)); got != count[r] {
			t.Errorf("%v handshakes were refused for %s; want %v", got, r, count[r])
		}
	}
}

// named returns config with the name of the server.
func named(config *tls.Config) *tls.Config {
	config.ServerName = "localhost"
	return config
}

// with returns a certificate list that begins with the client's and ends with more.
func with(first *tls.Certificate, more ...[]byte) *tls.Certificate {
	return &tls.Certificate{Certificate: append([][]byte{first.Certificate[0]}, more...), PrivateKey: first.PrivateKey}
}

func TestHandshakes_CountRefusalsByReason(t *testing.T) {
	foreign := newCA(t, "ca")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		g := newGuarded(t, 10*time.Second)
		good := pair(t, g.ca, wiki())
		expired := wiki()
		expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		der := good.Certificate[0]
		for _, test := range []struct {
			reason      string // empty: accepted
			certificate *tls.Certificate
		}{
			{"", nil},
			{"", good},
			{"", with(good, der, der, der, der)},
			{"chain_length", with(good, der, der, der, der, der)},
			{"unknown_ca", pair(t, foreign, wiki())},
			{"expired", pair(t, g.ca, expired)},
		} {
			config := named(client(g.ca, test.certificate))
			config.MaxVersion = version
			if c, err := tls.Dial("tcp", g.address, config); err == nil {
				_ = c.Close()
			}
			if err := <-g.results; (err == nil) != (test.reason == "") {
				t.Errorf("%s, %q: error %v", tls.VersionName(version), test.reason, err)
			}
		}
		g.wantRefusedFor(t, "chain_length", "unknown_ca", "expired")
		waitForSlots(g)
	}
}

// waitForSlots waits until every slot is free again.
func waitForSlots(g *guarded) {
	for g.Slots() != tlsconf.HandshakeSlots() {
		runtime.Gosched()
	}
}

// TestHandshakes_RefuseStrangers makes each attack once. BenchmarkHandshakeCost measures them.
func TestHandshakes_RefuseStrangers(t *testing.T) {
	g := newGuarded(t, time.Minute)
	var reasons []string
	for _, s := range (forge{t, g.ca}).strangers() {
		err := s.play(g.address)
		if (<-g.results == nil) != s.Served || (s.Served || s.Raw != nil) && err != nil {
			t.Errorf("%s: error %v; want served: %v", s.Name, err, s.Served)
		}
		if s.Refuse != "" {
			reasons = append(reasons, s.Refuse)
		}
	}
	g.wantRefusedFor(t, reasons...)
	waitForSlots(g)
}

func TestHandshakes_BoundBytes(t *testing.T) {
	g := newGuarded(t, 10*time.Second)
	good := pair(t, g.ca, wiki())
	for _, test := range []struct {
		name    string
		padding int
		refused bool
	}{
		{"a large chain", 10 << 10, false},
		{"a larger one", 45 << 10, true},
		{"the largest of crypto/tls", 250 << 10, true},
	} {
		config := named(client(g.ca, with(good, padded(t, test.padding))))
		if c, err := tls.Dial("tcp", g.address, config); err == nil {
			_ = c.Close()
		}
		err, n := <-g.results, <-g.received
		if (err != nil) != test.refused || n > tlsconf.MaxHandshakeBytes {
			t.Errorf("%s: %d bytes were read, error %v", test.name, n, err)
		}
	}
	g.wantRefusedFor(t, "bytes", "bytes")
	waitForSlots(g)
}

// TestHandshakes_LargeCertificatesGetNoTicket connects twice with certificates that do not fit twice.
func TestHandshakes_LargeCertificatesGetNoTicket(t *testing.T) {
	g := newGuarded(t, 10*time.Second)
	for _, test := range []struct {
		padding int
		resumed bool
	}{{3 << 10, true}, {9 << 10, false}} {
		config := cached(named(client(g.ca, with(pair(t, g.ca, wiki()), padded(t, test.padding)))))
		for again := range 2 {
			c, err := tls.Dial("tcp", g.address, config)
			if err != nil {
				t.Fatal(err)
			}
			if err := <-g.results; err != nil {
				t.Errorf("%d bytes, connection %d: %v", test.padding, again+1, err)
			}
			_, _ = c.Read(make([]byte, 1)) // the ticket, and then the byte
			if c.ConnectionState().DidResume != (test.resumed && again == 1) {
				t.Errorf("%d bytes, connection %d: resumed %v", test.padding, again+1, !test.resumed)
			}
			_ = c.Close()
		}
	}
}

// padded returns a certificate of about n bytes, which no client CA has signed.
func padded(t *testing.T, n int) []byte {
	t.Helper()
	return pair(t, newCA(t, "stranger"), devca.Leaf{CommonName: "padding", DNSNames: []string{strings.Repeat("a", n)}}).Certificate[0]
}

// deaf is a connection whose client sends a ClientHello and then ignores the server.
type deaf struct {
	net.Conn
	greeted chan struct{}
}

func (c *deaf) Read([]byte) (int, error) {
	close(c.greeted)
	_, err := io.Copy(io.Discard, c.Conn)
	return 0, cmp.Or(err, io.EOF)
}

// TestHandshakes_SilentPeersHoldNoSlot opens many connections that stop in the middle of a handshake.
func TestHandshakes_SilentPeersHoldNoSlot(t *testing.T) {
	g := newGuarded(t, time.Minute)
	for i := range 20 * tlsconf.HandshakeSlots() {
		c, err := net.Dial("tcp", g.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 { // half a record
			if _, err := c.Write([]byte{22, 3, 1, 1}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		greeted := make(chan struct{})
		go func() { _ = tls.Client(&deaf{Conn: c, greeted: greeted}, named(client(g.ca, nil))).Handshake() }()
		<-greeted
	}
	c, err := tls.Dial("tcp", g.address, named(client(g.ca, pair(t, g.ca, wiki()))))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := <-g.results; err != nil {
		t.Errorf("a client beside silent peers: %v", err)
	}
	waitForSlots(g)
}

func TestHandshakes_DeadlineEndsQueue(t *testing.T) {
	g := newGuarded(t, 50*time.Millisecond)
	var leave []func()
	for range tlsconf.HandshakeSlots() {
		leave = append(leave, g.TakeSlot())
	}
	if c, err := tls.Dial("tcp", g.address, named(client(g.ca, nil))); err == nil {
		_ = c.Close()
		t.Error("a handshake without a slot succeeded")
	}
	if err := <-g.results; err == nil {
		t.Error("the server's handshake succeeded")
	}
	g.wantRefusedFor(t, "busy")
	for _, l := range leave {
		l()
	}
	waitForSlots(g)
}
