package firewall

import (
	"net/netip"
	"testing"
)

func TestCovers_DecidesByWholeNetworks(t *testing.T) {
	for _, c := range []struct {
		networks Networks
		network  string
		want     bool
	}{
		{nil, "10.0.0.0/8", false},
		{Networks{"10.0.0.0/8"}, "10.0.0.0/8", true},
		{Networks{"10.0.0.0/8"}, "10.1.0.0/16", true},
		{Networks{"10.1.0.0/16"}, "10.0.0.0/8", false},
		{Networks{"10.0.0.0/9", "10.128.0.0/9"}, "10.0.0.0/8", true},
		{Networks{"10.0.0.0/9", "10.128.0.0/10"}, "10.0.0.0/8", false},
		{Networks{"10.0.0.0", "10.0.0.1"}, "10.0.0.0/31", true},
		{Networks{"10.0.0.0"}, "10.0.0.0/31", false},
		{Networks{"10.0.0.1"}, "10.0.0.1/32", true},
		{Networks{"10.0.0.0/8"}, "2001:db8::/32", false},
		{Networks{"2001:db8::/33", "2001:db8:8000::/33"}, "2001:db8::/32", true},
		{Networks{"2001:db8::/33", "10.0.0.0/8"}, "2001:db8::/32", false},
		{Networks{"2001:db8::1"}, "2001:db8::/32", false},
	} {
		if got := covers(c.networks.prefixes(), netip.MustParsePrefix(c.network)); got != c.want {
			t.Errorf("%v covers %s: %v, want %v", c.networks, c.network, got, c.want)
		}
	}
}

func TestNetworks_PrefixesLeaveOutWhatIsNotValid(t *testing.T) {
	if got := (Networks{"0.0.0.0/0", "x", "10.0.0.1"}).prefixes(); len(got) != 1 || got[0] != netip.MustParsePrefix("10.0.0.1/32") {
		t.Errorf("got %v", got)
	}
}
