package api

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/internal/devca"
	"userinfo/internal/panics"
	"userinfo/tlsconf"
)

func TestConn_ResetByClient(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	done := s.others(t)
	for i := range 60 {
		raw := s.dial(t)
		reset := func(c net.Conn) {
			if err := errors.Join(raw.(*net.TCPConn).SetLinger(0), raw.Close()); err != nil {
				t.Fatal(err)
			}
			_ = c.Close() // fails: the socket is closed
		}
		if i%6 == 0 { // reset during the handshake
			if _, err := io.WriteString(raw, "\x16\x03\x01\x02\x00\x01"); err != nil {
				t.Fatal(err)
			}
			reset(raw)
			continue
		}
		c := tls.Client(raw, &tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost", NextProtos: []string{"http/1.1"}})
		sent := []string{
			1: "", 2: head("GET", "/sess")[:20], 3: head("PUT", "/sessions/v1/r", "Content-Length: 100000") + "\r\n" + strings.Repeat("v", 50_000),
			4: head("PUT", "/sessions/v1/r", "Transfer-Encoding: chunked") + "\r\n5\r\nab", 5: head("GET", "/sessions/v1/r") + "\r\n",
		}[i%6]
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		reset(c)
	}
	done()
	eventually(t, "nothing is in flight", func() bool { return gauge(t, s, "userinfo_http_in_flight") == 0 })
	eventually(t, "only the connections of other clients are open", func() bool { return gauge(t, s, "userinfo_connections") <= 2 })
	if got := s.must(t, s.client(t, protocols[0]), get("r")); got.status != 404 {
		t.Errorf("an incomplete body was stored: status %d", got.status)
	}
}

func TestConn_FirstRequestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{table: newConnTable(ServerConfig{})}
		silent, silentClient := net.Pipe()
		asking, askingClient := net.Pipe()
		s.newConn(silent)
		asked := s.newConn(asking)
		time.Sleep(firstRequestTimeout / 2)
		asked.requestReceived()
		if err := readError(t, silentClient); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("before firstRequestTimeout: %v", err)
		}
		time.Sleep(time.Hour)
		if err := readError(t, silentClient); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the silent connection, after firstRequestTimeout: %v", err)
		}
		if err := readError(t, askingClient); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection with a request, after firstRequestTimeout: %v", err)
		}
		_ = asked.Close()
	})
}

// readError returns the error of a read from c: a timeout if c is open.
func readError(t *testing.T, c net.Conn) error {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(1)); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

func TestConn_CloseIsCountedOnce(t *testing.T) {
	s := &Server{table: newConnTable(ServerConfig{})}
	s.limits = newConnLimits(s.table, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	server, client := net.Pipe()
	defer func() { _ = client.Close() }()
	c := s.newConn(server)
	if !c.admit() {
		t.Fatal("refused")
	}
	for range 2 {
		_ = c.Close() // the second close may fail
	}
	if n, _ := s.table.counts(); n != 0 {
		t.Errorf("%d connections are open; want 0", n)
	}
	s.waitForFirstRequests(patience) // returns at once
}

// closes reports whether the server closes a connection that waits for a request.
func closes(t testing.TB, c net.Conn) bool {
	t.Helper()
	if err := c.SetReadDeadline(deadline()); err != nil {
		t.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	if isTimeout(err) {
		t.Fatal("the connection stayed open")
	}
	return err != nil
}

// isServed sends a request of wiki on a kept connection, which must be answered on this connection.
func isServed(t testing.TB, d dialogue) {
	t.Helper()
	d.ask(t, ask{method: "GET", path: "/sessions/v1/k", header: as(wiki)})
}

// cutOff waits until the server closes a connection. Over HTTP/2, net/http sends no GOAWAY on a connection that was closed
// below it.
func cutOff(t testing.TB, d dialogue) {
	t.Helper()
	if f, ok := d.(*frames); ok {
		if _, err := io.Copy(io.Discard, f.r); isTimeout(err) {
			t.Fatal("the connection stayed open")
		}
		return
	}
	d.closed(t)
}

// TestConn_NewcomerReplacesLongestIdle covers the bound on all connections, over both protocols.
func TestConn_NewcomerReplacesLongestIdle(t *testing.T) {
	t.Parallel()
	const bound = 3
	for _, protocol := range protocols {
		s := start(t, setup{maxConnections: bound})
		var kept []dialogue
		for n := range bound {
			kept = append(kept, s.dialogue(t, protocol))
			isServed(t, kept[n])
			// A connection is idle when net/http has sent the response, which its client may notice earlier. Without this
			// wait, the next connection might be idle before this one.
			eventually(t, "the connection is idle", func() bool { return s.idle() == n+1 })
		}
		isServed(t, kept[0]) // kept[1] is idle for the longest time now
		eventually(t, "all are idle", func() bool { return s.idle() == bound })
		newcomer := s.dialogue(t, protocol)
		isServed(t, newcomer)
		cutOff(t, kept[1])
		for _, d := range []dialogue{kept[0], kept[2], newcomer} {
			isServed(t, d)
		}
		if open, evicted, refused := gauge(t, s, "userinfo_connections"), labelled(t, s, evictedTotal, "total"), labelled(t, s, refusedTotal, "total"); open != bound || evicted != 1 || refused != 0 {
			t.Errorf("%s: %v open, %v evicted, %v refused; want %d, 1 and 0", protocol, open, evicted, refused, bound)
		}
		if log := s.logs.String(); !strings.Contains(log, logEvicted) {
			t.Errorf("the log does not say so: %s", log)
		}
	}
}

const (
	evictedTotal = "userinfo_connections_evicted_total"
	refusedTotal = "userinfo_connections_refused_total"
)

// idle returns how many connections of s are idle.
func (s *service) idle() (n int) {
	table := s.server.table
	table.mu.Lock()
	defer table.mu.Unlock()
	for _, l := range []*idleList{&table.all.unauthenticated, &table.all.authenticated} {
		for c := l.first; c != nil; c = c.entry.memberships[inTotal].next {
			n++
		}
	}
	return n
}

// TestConn_BusyConnectionsStay covers connections that all carry a request: nobody loses an answer, and a new one is refused.
func TestConn_BusyConnectionsStay(t *testing.T) {
	t.Parallel()
	const bound = 3
	for _, protocol := range protocols {
		g := newGate()
		s := start(t, setup{maxConnections: bound, store: g.store()})
		statuses := make(chan int)
		for range bound {
			c := s.client(t, protocol)
			go func() {
				got, err := s.do(c, get("k"))
				if err != nil {
					t.Error(err)
				}
				statuses <- got.status
			}()
		}
		for range bound {
			<-g.entered
		}
		if _, err := s.handshake(&tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost"}); err == nil {
			t.Error("a new connection was served")
		}
		if n := labelled(t, s, refusedTotal, "total"); n != 1 {
			t.Errorf("%v connections were refused; want 1", n)
		}
		if log := s.logs.String(); !strings.Contains(log, logRefused) {
			t.Errorf("the log does not say so: %s", log)
		}
		close(g.opened)
		for range bound {
			if status := <-statuses; status != 200 {
				t.Errorf("a busy connection: status %d", status)
			}
		}
	}
}

// TestConn_SilentConnectionsDisplaceNoClient is an attack: 2,000 TCP connections of strangers that send nothing. Kept
// connections of clients stay, and new ones are served. Without shares, every further connection was refused.
func TestConn_SilentConnectionsDisplaceNoClient(t *testing.T) {
	t.Parallel()
	for reason, u := range map[string]setup{
		"unauthenticated": {maxConnections: 80, maxUnauthenticated: 30},
		"address":         {maxConnections: 80, maxPerAddress: 45}, // the clients have the same address
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			s := start(t, u)
			silentAttack(t, s)
			if n := labelled(t, s, refusedTotal, "total") + labelled(t, s, refusedTotal, reason); n != 0 {
				t.Errorf("%v connections were refused", n)
			}
			if labelled(t, s, evictedTotal, reason) == 0 || labelled(t, s, evictedTotal, "total") > 0 {
				t.Error("silent connections were not evicted because of their share") // each is closed after some seconds anyway
			}
			if log := s.logs.String(); strings.Count(log, logEvicted) > 5 {
				t.Errorf("the log has %d records about it", strings.Count(log, logEvicted))
			}
		})
	}
}

// silentAttack opens 2,000 silent connections, while clients have 20 connections and then open 20 more.
func silentAttack(t *testing.T, s *service) {
	t.Helper()
	const clients, attack = 20, 2000
	var kept []dialogue
	for n := range clients {
		d := s.dialogue(t, protocols[n%2])
		isServed(t, d)
		kept = append(kept, d)
	}
	var silent []net.Conn
	for n := range attack {
		silent = append(silent, s.dial(t))
		if n%200 != 0 {
			continue
		}
		if open := gauge(t, s, "userinfo_connections"); open > float64(s.server.config.MaxConnections) {
			t.Errorf("%v connections are open", open)
		}
	}
	for n := range clients {
		isServed(t, s.dialogue(t, protocols[n%2]))
	}
	for _, d := range kept {
		isServed(t, d)
	}
	for _, c := range silent[:attack-s.server.config.MaxConnections] {
		if !closes(t, c) {
			t.Error("a silent connection was answered")
		}
	}
}

// TestConn_OneClientDisplacesOnlyItself is an attack: a client opens more connections than its share, and uses each once.
func TestConn_OneClientDisplacesOnlyItself(t *testing.T) {
	t.Parallel()
	const share, attack = 10, 100
	for _, protocol := range protocols {
		s := start(t, setup{maxConnections: 2 * share, maxUnauthenticated: share, limits: access.Limits{MaxConnections: share}})
		var others []dialogue
		for range 5 {
			d := s.dialogue(t, protocol)
			d.ask(t, ask{method: "GET", path: "/sessions/v1/k", header: as(reader)})
			others = append(others, d)
		}
		for range attack {
			isServed(t, s.dialogue(t, protocol))
		}
		for _, d := range others {
			d.ask(t, ask{method: "GET", path: "/sessions/v1/k", header: as(reader)})
		}
		eventually(t, "the client has its share", func() bool { return gauge(t, s, "userinfo_connections") == share+5 })
		if n := labelled(t, s, evictedTotal, "client"); n != attack-share {
			t.Errorf("%s: %v connections of the client were closed; want %d", protocol, n, attack-share)
		}
		if log := s.logs.String(); !strings.Contains(log, `"reason":"client"`) || !strings.Contains(log, `"of":"wiki"`) {
			t.Errorf("the log does not name the client: %s", log)
		}
	}
}

// TestConn_ClientWithBusyConnectionsIsRefused covers a client whose connections all carry requests.
func TestConn_ClientWithBusyConnectionsIsRefused(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		g := newGate()
		s := start(t, setup{store: g.store(), limits: access.Limits{MaxConnections: 1}})
		status := make(chan int)
		go func() {
			got, err := s.do(s.client(t, protocol), get("k"))
			if err != nil {
				t.Error(err)
			}
			status <- got.status
		}()
		<-g.entered
		got := s.must(t, s.client(t, protocol), get("k"))
		checkProblem(t, got, 429, "too-many-requests")
		if n := labelled(t, s, refusedTotal, "client"); n != 1 {
			t.Errorf("%v connections were refused; want 1", n)
		}
		close(g.opened)
		if got := <-status; got != 200 {
			t.Errorf("the busy connection: status %d", got)
		}
		if got := s.must(t, s.client(t, protocol), get("k")); got.status != 200 {
			t.Errorf("another connection, which replaces the idle one: status %d", got.status)
		}
	}
}

// dialFrom opens a TCP connection from a loopback address.
func (s *service) dialFrom(t testing.TB, ip string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wireOver makes the TLS handshake on a TCP connection.
func wireOver(t testing.TB, raw net.Conn) *wire {
	t.Helper()
	c := tls.Client(raw, &tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	if err := errors.Join(c.SetDeadline(deadline()), c.Handshake()); err != nil {
		t.Fatal(err)
	}
	return &wire{c, bufio.NewReader(c)}
}

// TestConn_OneAddressDisplacesOnlyItself is an attack: one address opens many connections while many others have one each.
func TestConn_OneAddressDisplacesOnlyItself(t *testing.T) {
	t.Parallel()
	const share, addresses, attack = 5, 10, 200
	s := start(t, setup{maxConnections: share + addresses, maxPerAddress: share, listener: func(l net.Listener) net.Listener {
		return tlsconf.NewHandshakes(prometheus.NewRegistry()).Listener(l) // as in the program
	}})
	var others []*wire
	for n := range addresses {
		w := wireOver(t, s.dialFrom(t, fmt.Sprintf("127.0.1.%d", n+1)))
		isServed(t, w)
		others = append(others, w)
	}
	for range attack {
		s.dialFrom(t, "127.0.2.1")
	}
	for _, w := range others {
		isServed(t, w)
	}
	eventually(t, "the share of the address holds", func() bool { return labelled(t, s, evictedTotal, "address") > 0 })
	if open := gauge(t, s, "userinfo_connections"); open > share+addresses {
		t.Errorf("%v connections are open", open)
	}
	if log := s.logs.String(); !strings.Contains(log, `"of":"127.0.2.1/32"`) {
		t.Errorf("the log does not name the address: %s", log)
	}
}

// TestConn_ProxyProtocolAddressHasShare covers connections of a listed proxy: the address in the header counts, not the
// proxy's.
func TestConn_ProxyProtocolAddressHasShare(t *testing.T) {
	t.Parallel()
	const share = 3
	proxies, err := tlsconf.NewProxies([]tlsconf.ProxySource{{Network: "127.0.0.1/32"}})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, setup{maxConnections: 100, maxPerAddress: share, listener: func(l net.Listener) net.Listener {
		l = tlsconf.NewProxyListener(l, func() *tlsconf.Proxies { return proxies }, proxyHeaderTimeout)
		return tlsconf.NewHandshakes(prometheus.NewRegistry()).Listener(l) // as in the program
	}})
	through := func(client string) net.Conn {
		c := s.dial(t)
		if _, err := fmt.Fprintf(c, "PROXY TCP4 %s 192.0.2.1 1000 443\r\n", client); err != nil {
			t.Fatal(err)
		}
		return c
	}
	var others []*wire
	for n := range 5 * share {
		w := wireOver(t, through(fmt.Sprintf("198.51.100.%d", n+1)))
		isServed(t, w)
		others = append(others, w)
	}
	if n := labelled(t, s, evictedTotal, "address"); n != 0 {
		t.Errorf("%v connections were evicted because of the proxy's own address", n)
	}
	for range 50 {
		through("203.0.113.1")
	}
	eventually(t, "the share of the address holds", func() bool { return labelled(t, s, evictedTotal, "address") > 0 })
	for _, w := range others {
		isServed(t, w)
	}
}

// proxyHeaderTimeout is longer than any pause of a test.
const proxyHeaderTimeout = patience

// TestConn_TrustedProxyHasNoShares covers a proxy that terminates TLS: its connections carry requests of many clients.
func TestConn_TrustedProxyHasNoShares(t *testing.T) {
	t.Parallel()
	rules := testRules()
	rules.Proxies = []access.Proxy{{CN: "edge-proxy"}}
	policy, err := access.NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	edge := issue(testCA(), devca.Leaf{CommonName: "edge-proxy", Client: true})
	s := start(t, setup{policy: func() *access.Policy { return policy }, maxConnections: 100, maxPerAddress: 4, limits: access.Limits{MaxConnections: 2}})
	var kept []*wire
	for range 10 {
		c, err := s.handshake(&tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost", NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{edge}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.NetConn().Close() })
		w := &wire{c, bufio.NewReader(c)}
		isServed(t, w)
		kept = append(kept, w)
	}
	for _, w := range kept {
		isServed(t, w)
	}
}

// panickingConn panics when it is read for the nth time.
type panickingConn struct {
	net.Conn
	reads *atomic.Int64
}

func (c panickingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.reads.Add(-1) == 0 {
		panic(planted)
	}
	return n, err
}

// panickingListener returns connections that share reads.
type panickingListener struct {
	net.Listener
	reads *atomic.Int64
}

func (l panickingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return panickingConn{c, l.reads}, err
}

// TestConn_RecoversWhileReading covers a panic below TLS, in a goroutine of net/http that does not recover: the one that waits
// for the next request of a connection.
func TestConn_RecoversWhileReading(t *testing.T) {
	for _, protocol := range protocols {
		var reads atomic.Int64
		s := start(t, setup{listener: func(l net.Listener) net.Listener { return panickingListener{l, &reads} }})
		d := s.dialogue(t, protocol)
		isServed(t, d)
		reads.Store(1)
		switch d := d.(type) { // the connection is waiting in Read, and panics when something arrives
		case *wire:
			d.send(t, "G")
		case *frames:
			if _, err := io.WriteString(d, frame(framePing, 0, 0, "12345678")); err != nil {
				t.Fatal(err)
			}
		}
		cutOff(t, d)
		if n := panicsAt(t, s, panics.Connection); n != 1 {
			t.Errorf("%s: %v panics are counted; want 1", protocol, n)
		}
		isServed(t, s.dialogue(t, protocol))
	}
}
