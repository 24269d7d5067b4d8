package access_test

import (
	"net/netip"
	"testing"

	"userinfo/access"
)

func TestNetwork_ContainsNothingIfEmpty(t *testing.T) {
	for _, addr := range append(addresses, netip.MustParseAddr("::"), netip.MustParseAddr("0.0.0.0")) {
		if access.Contains(nil, addr) {
			t.Errorf("an empty list contains %v", addr)
		}
	}
	every := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	if access.Contains(every, netip.Addr{}) {
		t.Error("a network contains the zero address")
	}
}
