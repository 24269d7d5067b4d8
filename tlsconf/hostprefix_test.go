package tlsconf_test

import (
	"net"
	"net/netip"
	"testing"

	"userinfo/tlsconf"
)

func TestHostPrefix_IsOneForAHost(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1:1": "192.0.2.1/32", "[::ffff:192.0.2.1]:1": "192.0.2.1/32", "[2001:db8:1:2:3::4]:1": "2001:db8:1:2::/64", "[fe80::1%lo]:1": "fe80::/64",
	} {
		if got := tlsconf.HostPrefix(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))); got.String() != want {
			t.Errorf("%s: %s; want %s", address, got, want)
		}
	}
	for _, a := range []net.Addr{nil, &net.UnixAddr{}, &net.TCPAddr{}} {
		if got := tlsconf.HostPrefix(a); got.IsValid() {
			t.Errorf("%v: %v; want none", a, got)
		}
	}
}
