package tlsconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// ProxySource is a network of proxies that send a PROXY protocol header.
//
// A listed proxy must begin every connection that it makes for a client with a header of its own, whatever the mode. If
// it only passes on what it receives, its clients can send a header themselves and claim any address.
type ProxySource struct {
	// Network is a CIDR network, such as 10.0.0.7/32. If several networks contain an address, the longest prefix decides.
	Network string `yaml:"network"`
	// Mode is "required" (the default) or "optional". Required: a connection without a header fails. Optional: a connection
	// without a header is the proxy's own.
	Mode string `yaml:"mode"`
}

// Proxies are the networks from which PROXY protocol headers are accepted. They never change. A nil *Proxies accepts no
// header.
type Proxies struct {
	sources []proxySource
}

type proxySource struct {
	network netip.Prefix
	mode    proxyMode
}

// proxyMode says what to do with a PROXY protocol header. The zero value is the safe one.
type proxyMode int

const (
	headerIgnored  proxyMode = iota // not a listed proxy: the header is not parsed
	headerOptional                  // use the header if there is one
	headerRequired                  // fail without a header
)

// NewProxies checks sources. An error is a *FieldError whose field begins with the index of the source, such as
// "[0].network".
func NewProxies(sources []ProxySource) (*Proxies, error) {
	p := new(Proxies)
	seen := make(map[netip.Prefix]bool)
	for i, s := range sources {
		network, err := parseProxyNetwork(s.Network)
		if err == nil && seen[network] {
			err = fmt.Errorf("%s is listed twice; remove one entry", network)
		}
		if err != nil {
			return nil, &FieldError{Field: fmt.Sprintf("[%d].network", i), Err: err}
		}
		seen[network] = true
		mode, err := parseProxyMode(s.Mode)
		if err != nil {
			return nil, &FieldError{Field: fmt.Sprintf("[%d].mode", i), Err: err}
		}
		p.sources = append(p.sources, proxySource{network, mode})
	}
	return p, nil
}

func parseProxyNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil: // not wrapped, because it quotes the text
		return network, errors.New("not a network; write it like 10.0.0.7/32 or 2001:db8::7/128")
	case network.Addr().Is4In6():
		return network, errors.New("an IPv4 network in IPv6 notation; write it like 10.0.0.7/32")
	case network.Bits() == 0:
		return network, fmt.Errorf("%s contains every address, so every client could claim any address; list the proxies", network)
	case network != network.Masked():
		return network, fmt.Errorf("%s has bits set after its prefix; did you mean %s?", network, network.Masked())
	}
	return network, nil
}

func parseProxyMode(text string) (proxyMode, error) {
	switch text {
	case "", "required":
		return headerRequired, nil
	case "optional":
		return headerOptional, nil
	}
	return headerIgnored, fmt.Errorf("unknown mode %q; write required or optional", text)
}

// mode returns what to do with a header from peer. It fails closed: a nil *Proxies, an address that is not listed and an
// address that is not TCP are headerIgnored.
func (p *Proxies) mode(peer net.Addr) proxyMode {
	tcp, ok := peer.(*net.TCPAddr)
	if p == nil || !ok {
		return headerIgnored
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	mode, bits := headerIgnored, -1
	for _, s := range p.sources {
		if s.network.Contains(addr) && s.network.Bits() > bits {
			mode, bits = s.mode, s.network.Bits()
		}
	}
	return mode
}

// WriteLocalHeader begins a connection that this machine makes to the service for itself, such as a health check. If p lists
// the address of this end of c, the service expects a PROXY protocol header: WriteLocalHeader writes one of version 2 with the
// command LOCAL, which names no client. Otherwise it writes nothing.
func (p *Proxies) WriteLocalHeader(c net.Conn) error {
	if p.mode(c.LocalAddr()) == headerIgnored {
		return nil
	}
	h := proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	_, err := h.WriteTo(c)
	return err
}

// NewProxyListener returns a listener that accepts connections from l and removes the PROXY protocol header, version 1
// or 2 (haproxy's proxy-protocol.txt), from connections of listed proxies. TLS must run on top of it. It calls current
// once for each connection.
//
//	peer               header           RemoteAddr of the connection
//	listed             TCP4, TCP6       the client's address from the header
//	listed             v2 LOCAL         the peer's address: the proxy's own connection, such as a health check
//	listed             any other        "unknown", which is not an IP address and so is in no network
//	listed, optional   none             the peer's address
//	listed, required   none             reading fails
//	not listed         not parsed       the peer's address; TLS then fails on the bytes of a header
//
// Reading also fails after a malformed header, a header longer than 107 bytes (version 1) or 4112 bytes (version 2), a
// header that is not complete within timeout, a version 2 header with command PROXY and an unspecified family, and a
// second header. If the header is optional, a peer that sends nothing is treated as having no header, and the deadline of the
// TLS handshake applies. TLVs are skipped: a proxy cannot vouch for a certificate in them.
//
// Accept never waits for a header. The first Read or RemoteAddr of the connection does.
func NewProxyListener(l net.Listener, current func() *Proxies, timeout time.Duration) net.Listener {
	return &proxyListener{Listener: l, current: current, timeout: timeout}
}

type proxyListener struct {
	net.Listener
	current func() *Proxies
	timeout time.Duration
}

// Accept implements net.Listener.
func (l *proxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	policy := proxyproto.USE
	switch l.current().mode(c.RemoteAddr()) {
	case headerRequired:
		policy = proxyproto.REQUIRE
	case headerOptional:
	default:
		return c, nil
	}
	parser := proxyproto.NewConn(c, proxyproto.WithPolicy(policy), proxyproto.SetReadHeaderTimeout(l.timeout))
	return &proxiedConn{Conn: parser, tcp: c, parser: parser}, nil
}

// proxiedConn is a connection from a listed proxy.
type proxiedConn struct {
	net.Conn                  // the data after the header
	tcp      net.Conn         // the connection to the proxy, including the header
	parser   *proxyproto.Conn // the same value as Conn
}

// RemoteAddr returns the client's address. It waits for the header. If the header is bad it returns the proxy's address,
// and reading fails.
func (c *proxiedConn) RemoteAddr() net.Addr {
	h := c.parser.ProxyHeader()
	if h == nil || h.Version == 2 && h.Command.IsLocal() {
		return c.tcp.RemoteAddr()
	}
	client, ok := h.SourceAddr.(*net.TCPAddr) // nil for UNKNOWN in version 1
	if !ok {
		return unknownAddr{}
	}
	from := client.AddrPort()
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
}

// LocalAddr returns the service's own address, not the address that the client connected to.
func (c *proxiedConn) LocalAddr() net.Addr { return c.tcp.LocalAddr() }

// NetConn returns the connection to the proxy.
func (c *proxiedConn) NetConn() net.Conn { return c.tcp }

// unknownAddr is the address of a client that the proxy does not know.
type unknownAddr struct{}

func (unknownAddr) Network() string { return "unknown" }
func (unknownAddr) String() string  { return "unknown" }

// PeerAddr returns the address of the peer of the TCP connection under c: the proxy's address if there is a proxy. A PROXY
// protocol header does not change it. PeerAddr unwraps every connection that has a NetConn method, as *tls.Conn has.
func PeerAddr(c net.Conn) net.Addr {
	for {
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c.RemoteAddr()
		}
		c = inner.NetConn()
	}
}

// IsProxied reports whether c, or a connection below it, is a listed proxy's, so that its RemoteAddr waits for a PROXY protocol
// header. It unwraps connections as PeerAddr does.
func IsProxied(c net.Conn) bool {
	for {
		if _, ok := c.(*proxiedConn); ok {
			return true
		}
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return false
		}
		c = inner.NetConn()
	}
}
