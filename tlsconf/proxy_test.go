package tlsconf_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/devca"
	"userinfo/tlsconf"
)

// Loopback addresses that the tests connect from.
const (
	requiredProxy = "127.0.0.2"
	optionalProxy = "127.0.0.3"
	unlisted      = "127.0.0.9"
)

func listed() []tlsconf.ProxySource {
	return []tlsconf.ProxySource{{Network: requiredProxy + "/32"}, {Network: optionalProxy + "/32", Mode: "optional"}}
}

func proxies(t *testing.T, sources ...tlsconf.ProxySource) *tlsconf.Proxies {
	t.Helper()
	p, err := tlsconf.NewProxies(sources)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// behind is a TLS server behind proxies. It answers with the addresses of the client and the peer.
type behind struct {
	address string
	ca      *devca.CA
	handled atomic.Int64
}

type addresses struct{ Client, Peer string }

type peerKey struct{}

func serveBehind(t *testing.T, current func() *tlsconf.Proxies, timeout time.Duration) *behind {
	t.Helper()
	b := &behind{ca: newCA(t, "behind proxies")}
	config := newServer(t, newDir(t).serverFiles(b.ca)).config()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.address = l.Addr().String()
	server := &http.Server{
		TLSConfig: config,
		ErrorLog:  log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, tlsconf.PeerAddr(c).String())
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.handled.Add(1)
			_ = json.NewEncoder(w).Encode(addresses{Client: host(r.RemoteAddr), Peer: host(r.Context().Value(peerKey{}).(string))})
		}),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(limited(tlsconf.NewProxyListener(l, current, timeout)), "", "") // it ends with the test
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return b
}

// host returns the address without its port, if it has one.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// connect connects from an address and sends header.
func (b *behind) connect(t *testing.T, from, header string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := dialer.DialContext(t.Context(), "tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, header); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends header and then makes a request over TLS.
func (b *behind) ask(t *testing.T, from, header string) (addresses, error) {
	t.Helper()
	c := tls.Client(b.connect(t, from, header), &tls.Config{RootCAs: b.ca.Pool(), ServerName: "localhost"})
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return c, c.Handshake() },
	}}
	response, err := client.Get("https://localhost/")
	if err != nil {
		return addresses{}, err
	}
	defer response.Body.Close()
	var a addresses
	return a, json.NewDecoder(response.Body).Decode(&a)
}

// v2 returns a header of version 2: command and family as on the wire, and the bytes after the length.
func v2(command, family byte, rest ...[]byte) string {
	var body []byte
	for _, r := range rest {
		body = append(body, r...)
	}
	head := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	return string(append(binary.BigEndian.AppendUint16(head, uint16(len(body))), body...))
}

const (
	local, proxy = 0x20, 0x21
	unspec       = 0x00
	tcp4, udp4   = 0x11, 0x12
	tcp6, unix   = 0x21, 0x31
)

// pairOf returns a v2 address block: source, destination and ports.
func pairOf(src, dst string) []byte {
	b := append(netip.MustParseAddr(src).AsSlice(), netip.MustParseAddr(dst).AsSlice()...)
	return append(b, 0x30, 0x39, 0x20, 0xfb)
}

const v1 = "PROXY TCP4 192.0.2.1 198.51.100.1 12345 8443\r\n"

func tlv(kind byte, size int) []byte {
	return append([]byte{kind, byte(size >> 8), byte(size)}, make([]byte, size)...)
}

func TestProxyListener_AcceptsHeaderFromListedProxiesOnly(t *testing.T) {
	current := proxies(t, listed()...)
	b := serveBehind(t, func() *tlsconf.Proxies { return current }, 5*time.Second)
	ipv4 := pairOf("192.0.2.1", "198.51.100.1")
	refused := ""
	for _, test := range []struct{ name, from, header, client string }{
		{"v1", requiredProxy, v1, "192.0.2.1"},
		{"v1, IPv6", requiredProxy, "PROXY TCP6 2001:db8::1 2001:db8::2 12345 8443\r\n", "2001:db8::1"},
		{"v1, unknown client", requiredProxy, "PROXY UNKNOWN\r\n", "unknown"},
		{"v1, unknown client with addresses that must be ignored", requiredProxy, "PROXY UNKNOWN 192.0.2.1 198.51.100.1 12345 8443\r\n", "unknown"},
		{"v2", requiredProxy, v2(proxy, tcp4, ipv4), "192.0.2.1"},
		{"v2, IPv6", requiredProxy, v2(proxy, tcp6, pairOf("2001:db8::1", "2001:db8::2")), "2001:db8::1"},
		{"v2, IPv4 in IPv6 notation", requiredProxy, v2(proxy, tcp6, pairOf("::ffff:192.0.2.1", "::ffff:198.51.100.1")), "192.0.2.1"},
		{"v2 with TLVs", requiredProxy, v2(proxy, tcp4, ipv4, tlv(0x20, 40), tlv(0xe0, 3000)), "192.0.2.1"},
		{"v2, health check", requiredProxy, v2(local, unspec), requiredProxy},
		{"v2, health check with an address that must be ignored", requiredProxy, v2(local, tcp4, ipv4), requiredProxy},
		{"v2, Unix socket", requiredProxy, v2(proxy, unix, make([]byte, 216)), "unknown"},
		{"v2, UDP", requiredProxy, v2(proxy, udp4, ipv4), "unknown"},
		{"v1, optional", optionalProxy, v1, "192.0.2.1"},
		{"v2, optional", optionalProxy, v2(proxy, tcp4, ipv4), "192.0.2.1"},
		{"no header, optional", optionalProxy, "", optionalProxy},
		{"none from an unlisted address", unlisted, "", unlisted},

		{"no header, required", requiredProxy, "", refused},
		{"v1 from an unlisted address", unlisted, v1, refused},
		{"v1 of an unknown client from an unlisted address", unlisted, "PROXY UNKNOWN\r\n", refused},
		{"v2 from an unlisted address", unlisted, v2(proxy, tcp4, ipv4), refused},
		{"v2, a health check of an unlisted address", unlisted, v2(local, unspec), refused},
		{"v2, unspecified family", requiredProxy, v2(proxy, unspec), refused},
		{"v1 twice", requiredProxy, v1 + v1, refused},
		{"v1 and v2", optionalProxy, v1 + v2(proxy, tcp4, ipv4), refused},
		{"v1 too long", optionalProxy, "PROXY UNKNOWN " + strings.Repeat("f", 100) + "\r\n", refused},
		{"v1 without CR", optionalProxy, "PROXY TCP4 192.0.2.1 198.51.100.1 12345 8443\n", refused},
		{"v1, IPv4 addresses as TCP6", optionalProxy, "PROXY TCP6 192.0.2.1 198.51.100.1 12345 8443\r\n", refused},
		{"v1 with a name for an address", optionalProxy, "PROXY TCP4 localhost 198.51.100.1 12345 8443\r\n", refused},
		{"v1 with a port of six digits", optionalProxy, "PROXY TCP4 192.0.2.1 198.51.100.1 123456 8443\r\n", refused},
		{"v1 after a space", optionalProxy, " " + v1, refused},
		{"v1 in lower case", optionalProxy, strings.ToLower(v1), refused},
		{"v2 too long", optionalProxy, v2(proxy, tcp4, ipv4, tlv(0xe0, 4097)), refused},
		{"v2 shorter than its addresses", optionalProxy, v2(proxy, tcp4, ipv4[:8]), refused},
		{"v2, unknown command", optionalProxy, v2(0x22, tcp4, ipv4), refused},
		{"version 3", optionalProxy, v2(0x31, tcp4, ipv4), refused},
		{"v2, unknown family", optionalProxy, v2(proxy, 0x13, ipv4), refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := b.handled.Load()
			a, err := b.ask(t, test.from, test.header)
			if test.client == refused {
				if err == nil || b.handled.Load() != before {
					t.Errorf("answered %+v; want the connection to fail", a)
				}
				return
			}
			if want := (addresses{Client: test.client, Peer: test.from}); err != nil || a != want {
				t.Errorf("%+v, %v; want %+v", a, err, want)
			}
		})
	}
}

func TestProxyListener_AcceptsNoHeaderWithoutList(t *testing.T) {
	b := serveBehind(t, func() *tlsconf.Proxies { return nil }, 5*time.Second)
	if a, err := b.ask(t, requiredProxy, v1); err == nil {
		t.Errorf("answered %+v", a)
	}
	if a, err := b.ask(t, requiredProxy, ""); err != nil || a.Client != requiredProxy {
		t.Errorf("%+v, %v; want the peer itself", a, err)
	}
}

func TestProxyListener_ReadsListForEachConnection(t *testing.T) {
	var current atomic.Pointer[tlsconf.Proxies]
	b := serveBehind(t, current.Load, 5*time.Second)
	current.Store(proxies(t, listed()...))
	if a, err := b.ask(t, requiredProxy, v1); err != nil || a.Client != "192.0.2.1" {
		t.Fatalf("%+v, %v", a, err)
	}
	current.Store(proxies(t))
	if a, err := b.ask(t, requiredProxy, v1); err == nil {
		t.Errorf("a removed proxy's header was accepted: %+v", a)
	}
	if a, err := b.ask(t, requiredProxy, ""); err != nil || a.Client != requiredProxy {
		t.Errorf("%+v, %v; want the peer itself", a, err)
	}
}

func TestProxies_LongestNetworkDecides(t *testing.T) {
	for _, order := range [][]tlsconf.ProxySource{
		{{Network: "127.0.0.0/8"}, {Network: optionalProxy + "/32", Mode: "optional"}},
		{{Network: optionalProxy + "/32", Mode: "optional"}, {Network: "127.0.0.0/8", Mode: "required"}},
	} {
		current := proxies(t, order...)
		b := serveBehind(t, func() *tlsconf.Proxies { return current }, 5*time.Second)
		if a, err := b.ask(t, optionalProxy, ""); err != nil || a.Client != optionalProxy {
			t.Errorf("%v: %+v, %v; the longer network says optional", order, a, err)
		}
		if a, err := b.ask(t, requiredProxy, ""); err == nil {
			t.Errorf("%v: answered %+v; the shorter network says required", order, a)
		}
	}
}

// unfinishedHeaders are beginnings of headers, or of nothing.
func unfinishedHeaders() []string {
	return []string{"", "P", "PROXY", "\r\n\r\n", v2(proxy, tcp4, pairOf("192.0.2.1", "198.51.100.1"))[:20]}
}

func TestProxyListener_SilentProxyDelaysNobody(t *testing.T) {
	current := proxies(t, listed()...)
	b := serveBehind(t, func() *tlsconf.Proxies { return current }, time.Hour)
	for _, header := range unfinishedHeaders() {
		for range 8 {
			b.connect(t, requiredProxy, header)
			b.connect(t, optionalProxy, header)
		}
	}
	for _, who := range [][2]string{{unlisted, ""}, {requiredProxy, v1}, {optionalProxy, ""}} {
		if _, err := b.ask(t, who[0], who[1]); err != nil {
			t.Error(err)
		}
	}
}

func TestProxyListener_SilentProxyTimesOut(t *testing.T) {
	current := proxies(t, listed()...)
	b := serveBehind(t, func() *tlsconf.Proxies { return current }, 200*time.Millisecond)
	for _, header := range unfinishedHeaders() {
		c := b.connect(t, requiredProxy, header)
		_, err := io.Copy(io.Discard, c) // TLS may send an alert first
		if nerr, ok := errors.AsType[net.Error](err); ok && nerr.Timeout() {
			t.Errorf("the connection is still open after %q", header)
		}
	}
}

func TestNewProxies_NamesFieldOfBadSource(t *testing.T) {
	for _, test := range []struct {
		sources []tlsconf.ProxySource
		field   string
		word    string
	}{
		{[]tlsconf.ProxySource{{Network: ""}}, "[0].network", "not a network"},
		{[]tlsconf.ProxySource{{Network: "10.0.0.7"}}, "[0].network", "10.0.0.7/32"},
		{[]tlsconf.ProxySource{{Network: "10.0.0.7/8"}}, "[0].network", "did you mean 10.0.0.0/8"},
		{[]tlsconf.ProxySource{{Network: "::ffff:10.0.0.7/128"}}, "[0].network", "IPv6 notation"},
		{[]tlsconf.ProxySource{{Network: "10.0.0.0/8"}, {Network: "0.0.0.0/0"}}, "[1].network", "every address"},
		{[]tlsconf.ProxySource{{Network: "::/0"}}, "[0].network", "every address"},
		{[]tlsconf.ProxySource{{Network: "10.0.0.0/8"}, {Network: "10.0.0.0/8", Mode: "optional"}}, "[1].network", "twice"},
		{[]tlsconf.ProxySource{{Network: "10.0.0.0/8", Mode: "maybe"}}, "[0].mode", "required or optional"},
	} {
		_, err := tlsconf.NewProxies(test.sources)
		if err == nil {
			t.Errorf("%v is accepted", test.sources)
			continue
		}
		wantFieldError(t, err, test.field, test.word)
	}
}

// fed is a listener and its only connection, which delivers fixed bytes.
type fed struct {
	net.Conn
	io.Reader
	from string
}

func (c *fed) Read(b []byte) (int, error) { return c.Reader.Read(b) }

func (c *fed) Close() error { return nil }

func (c *fed) SetReadDeadline(time.Time) error { return nil }

func (c *fed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.from), Port: 12345} }

func (c *fed) Accept() (net.Conn, error) { return c, nil }

func (c *fed) Addr() net.Addr { return &net.TCPAddr{} }

func feed(from string, bytes string) *fed { return &fed{Reader: strings.NewReader(bytes), from: from} }

func accept(l net.Listener) (c net.Conn) { c, _ = l.Accept(); return c }

func readAll(c net.Conn) (text string, e error) { b, e := io.ReadAll(c); return string(b), e }

// FuzzProxyHeader checks that TLS gets the bytes of an unlisted peer unchanged. From a listed proxy it gets the bytes after a
// header of bounded length, or an error. RemoteAddr always returns an address.
func FuzzProxyHeader(f *testing.F) {
	ipv4 := pairOf("192.0.2.1", "198.51.100.1")
	for _, seed := range []string{
		"", "P", "\x16\x03\x01", v1, v1 + "\x16\x03\x01", v1 + v1, "PROXY UNKNOWN\r\n", "PROXY TCP6 2001:db8::1 2001:db8::2 12345 8443\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.1 012345 8443\r\n", v2(local, unspec), v2(local, tcp4, ipv4), v2(proxy, tcp4, ipv4) + "\x16\x03\x01",
		v2(proxy, tcp4, ipv4, tlv(0x20, 3)), v2(proxy, tcp6, pairOf("::1", "::")), v2(proxy, unix, make([]byte, 216)), v2(proxy, udp4, ipv4),
		v2(proxy, unspec), v2(proxy, 0x13, ipv4), v2(proxy, tcp4, ipv4[:8]), v2(0x31, tcp4, ipv4)[:15],
	} {
		f.Add(seed)
	}
	known, err := tlsconf.NewProxies(listed())
	if err != nil {
		f.Fatal(err)
	}
	current := func() *tlsconf.Proxies { return known }
	f.Fuzz(func(t *testing.T, bytes string) {
		c := accept(tlsconf.NewProxyListener(feed(unlisted, bytes), current, time.Minute))
		if got, err := readAll(c); err != nil || got != bytes || host(c.RemoteAddr().String()) != unlisted {
			t.Fatalf("the unlisted peer's bytes are %q from %v, %v", got, c.RemoteAddr(), err)
		}
		for _, from := range []string{requiredProxy, optionalProxy} {
			c := accept(tlsconf.NewProxyListener(feed(from, bytes), current, time.Minute))
			address := c.RemoteAddr().String()
			got, err := readAll(c)
			if peer := host(tlsconf.PeerAddr(c).String()); peer != from {
				t.Fatalf("the peer is %s", peer)
			}
			if err != nil {
				if got != "" || host(address) != from {
					t.Fatalf("%q from %s was read before %v", got, address, err)
				}
				continue
			}
			if !strings.HasSuffix(bytes, got) || len(bytes)-len(got) > 16+4096 {
				t.Fatalf("%q was read", got)
			}
			if from == requiredProxy && len(got) == len(bytes) {
				t.Fatalf("%q was read without a header", got)
			}
			if got == bytes && host(address) != from {
				t.Fatalf("without a header it comes from %s", address)
			}
		}
	})
}

func TestIsProxied_LooksBelowOtherConnections(t *testing.T) {
	proxies, err := tlsconf.NewProxies(listed())
	if err != nil {
		t.Fatal(err)
	}
	current := func() *tlsconf.Proxies { return proxies }
	for from, want := range map[string]bool{requiredProxy: true, unlisted: false} {
		l := tlsconf.NewProxyListener(feed(from, ""), current, time.Minute)
		c := accept(tlsconf.NewHandshakes(prometheus.NewRegistry()).Listener(l))
		if got := tlsconf.IsProxied(c); got != want {
			t.Errorf("%s: %v; want %v", from, got, want)
		}
		_ = c.Close()
	}
}

func TestProxies_WriteLocalHeaderIsAccepted(t *testing.T) {
	current := proxies(t, listed()...)
	b := serveBehind(t, func() *tlsconf.Proxies { return current }, 5*time.Second)
	for _, from := range []string{requiredProxy, optionalProxy, unlisted} {
		c := b.connect(t, from, "")
		if err := current.WriteLocalHeader(c); err != nil {
			t.Fatal(err)
		}
		secured := tls.Client(c, &tls.Config{RootCAs: b.ca.Pool(), ServerName: "localhost"})
		if err := secured.Handshake(); err != nil {
			t.Errorf("from %s: %v", from, err)
		}
	}
}

func TestProxies_WriteLocalHeaderWritesNothingWithoutProxies(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	defer ours.Close()
	if err := ours.SetDeadline(time.Now()); err != nil { // a write would fail
		t.Fatal(err)
	}
	for name, p := range map[string]*tlsconf.Proxies{"nil": nil, "empty": proxies(t), "others": proxies(t, listed()...)} {
		if err := p.WriteLocalHeader(ours); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
