package tlsconf

import (
	"net"
	"net/netip"
)

// HostPrefix returns what stands for one host in limits by address: the IPv4 address a, or its IPv6 network of 64 bits, because a
// host can use all of its addresses. If a is no IP address, it returns the zero Prefix.
func HostPrefix(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
