package passwords

import (
	"net/netip"
	"testing"
	"time"
)

func TestBudget_WaitsDoubleUpToLimit(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: 0, 4: 0, 5: time.Second, 6: 2 * time.Second, 14: 512 * time.Second, 15: 15 * time.Minute, 100: 15 * time.Minute, 1 << 40: 15 * time.Minute} {
		if got := ownBudget.wait(failures); got != want {
			t.Errorf("after %d wrong passwords the wait is %v, want %v", failures, got, want)
		}
	}
	rest := budget{kind: clientKind, free: 600, first: 59 * time.Second, most: 59 * time.Second}
	for failures := 600; failures < 700; failures++ {
		if got := rest.wait(failures); got != rest.most {
			t.Errorf("after %d wrong passwords of a client the wait is %v, want %v", failures, got, rest.most)
		}
	}
}

func TestNetwork_IsAddressOrIPv6Network(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := network(netip.MustParseAddr(address), networkBits); got != want {
			t.Errorf("%s is in %s, want %s", address, got, want)
		}
	}
	if got := network(netip.MustParseAddr("2001:db8:1:2:3::4"), siteBits); got != "2001:db8:1::/48" {
		t.Errorf("the site is %s", got)
	}
	if network(netip.Addr{}, networkBits) == "" {
		t.Error("the zero address has no network")
	}
}
