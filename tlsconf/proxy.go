package tlsconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// ProxySource is a network whose connections may begin with a PROXY protocol header, which says for whom they are.
//
// Every connection that a proxy there makes for a client must begin with a header of the proxy's own, in either mode:
// through one that only passes on what it is sent, the client can send the header itself.
type ProxySource struct {
	// Network such as 10.0.0.7/32. Of several that an address is in, the longest decides.
	Network string `yaml:"network"`
	// Mode is required (also when empty): a connection without a header fails; or optional: it is the proxy's own.
	Mode string `yaml:"mode"`
}

// Proxies are the addresses whose PROXY headers are believed. They never change; nil believes nobody.
type Proxies struct {
	sources []proxySource
}

type proxySource struct {
	network netip.Prefix
	trust   trust
}

// trust is what a peer's address says of a PROXY header. Its zero value is that of a stranger.
type trust int

const (
	neverBelieved trust = iota
	believed            // where there is one
	required
)

// NewProxies checks sources. An error is a *FieldError; its field is such as [0].network.
func NewProxies(sources []ProxySource) (*Proxies, error) {
	p := new(Proxies)
	seen := make(map[netip.Prefix]bool)
	for i, s := range sources {
		network, err := parseProxyNetwork(s.Network)
		if err == nil && seen[network] {
			err = fmt.Errorf("%s is listed twice", network)
		}
		if err != nil {
			return nil, &FieldError{Field: fmt.Sprintf("[%d].network", i), Err: err}
		}
		seen[network] = true
		t, err := parseProxyMode(s.Mode)
		if err != nil {
			return nil, &FieldError{Field: fmt.Sprintf("[%d].mode", i), Err: err}
		}
		p.sources = append(p.sources, proxySource{network, t})
	}
	return p, nil
}

func parseProxyNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil: // which quotes the text
		return network, errors.New("not a network; write one as 10.0.0.7/32 or 2001:db8::7/128")
	case network.Addr().Is4In6():
		return network, errors.New("an IPv4 network in IPv6's form; write it as 10.0.0.7/32")
	case network.Bits() == 0:
		return network, fmt.Errorf("%s is everybody, who could then claim any address: list the proxies", network)
	case network != network.Masked():
		return network, fmt.Errorf("%s has bits beyond its length; did you mean %s?", network, network.Masked())
	}
	return network, nil
}

func parseProxyMode(text string) (trust, error) {
	switch text {
	case "", "required":
		return required, nil
	case "optional":
		return believed, nil
	}
	return neverBelieved, fmt.Errorf("%q is no mode: write required or optional", text)
}

// trust of a connection from peer. It fails closed: nil Proxies, and an address that is not listed or cannot be told,
// are never believed.
func (p *Proxies) trust(peer net.Addr) trust {
	tcp, ok := peer.(*net.TCPAddr)
	if p == nil || !ok {
		return neverBelieved
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	found, bits := neverBelieved, -1
	for _, s := range p.sources {
		if s.network.Contains(addr) && s.network.Bits() > bits {
			found, bits = s.trust, s.network.Bits()
		}
	}
	return found
}

// NewProxyListener takes the PROXY protocol header, version 1 or 2 (haproxy's proxy-protocol.txt), off connections of
// l that come from proxies. It belongs under TLS. current is asked once for each connection.
//
//	peer               header           RemoteAddr is
//	listed             TCP4, TCP6       the client's, as the header says
//	listed             v2 LOCAL         the peer's: the proxy's own connection, such as a health check
//	listed             any other        unknown: no IP address, so in no network
//	listed, optional   none             the peer's
//	listed, required   none             reading fails
//	not listed         never looked at  the peer's; a header is read as TLS, which fails
//
// Reading fails, too, after a header that is malformed, more than 107 (version 1) or 4112 (version 2) bytes long, or
// not complete within timeout; one of version 2 whose command is PROXY and whose family is unspecified; and a second
// header. (Where it is optional, silence is no header: TLS's own deadline then counts.) What a header says beside
// addresses (TLVs) is skipped: a proxy cannot vouch for a certificate by it.
//
// Accept never waits for a header. The connection's first Read or RemoteAddr does.
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
	switch l.current().trust(c.RemoteAddr()) {
	case required:
		policy = proxyproto.REQUIRE
	case believed:
	default:
		return c, nil
	}
	headed := proxyproto.NewConn(c, proxyproto.WithPolicy(policy), proxyproto.SetReadHeaderTimeout(l.timeout))
	return &proxiedConn{Conn: headed, tcp: c, headed: headed}, nil
}

// proxiedConn is a connection from a proxy.
type proxiedConn struct {
	net.Conn                  // what follows the header
	tcp      net.Conn         // with the header
	headed   *proxyproto.Conn // Conn's own
}

// RemoteAddr is the client's address. It waits for the header. After one that cannot be used it is the peer's, and
// nothing can be read.
func (c *proxiedConn) RemoteAddr() net.Addr {
	h := c.headed.ProxyHeader()
	if h == nil || h.Version == 2 && h.Command.IsLocal() {
		return c.tcp.RemoteAddr()
	}
	client, ok := h.SourceAddr.(*net.TCPAddr) // nil of version 1's UNKNOWN
	if !ok {
		return unknownAddr{}
	}
	from := client.AddrPort()
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
}

// LocalAddr is this end's, not what the proxy was called by.
func (c *proxiedConn) LocalAddr() net.Addr { return c.tcp.LocalAddr() }

// NetConn is the connection to the proxy.
func (c *proxiedConn) NetConn() net.Conn { return c.tcp }

// unknownAddr is that of a client whose proxy does not know it either.
type unknownAddr struct{}

func (unknownAddr) Network() string { return "unknown" }
func (unknownAddr) String() string  { return "unknown" }

// PeerOf is the address at the other end of the TCP connection under c, whatever a PROXY header has said. It looks
// through every connection with the method NetConn, as *tls.Conn is.
func PeerOf(c net.Conn) net.Addr {
	for {
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c.RemoteAddr()
		}
		c = inner.NetConn()
	}
}
