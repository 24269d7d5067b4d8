package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"userinfo/internal/field"
)

// Networks is a list of networks and addresses.
type Networks []string

// The smallest number of bits that a network's prefix may have: 10.0.0.0/8 and fd00::/8 are the largest private networks. A public
// IPv6 network of 8 bits, such as 2a00::/8, is a continent.
const (
	minPrefixBits           = 8
	minPrefixBitsPublicIPv6 = 16
)

var privateIPv6 = netip.MustParsePrefix("fd00::/8")

// withIPv4 are the IPv6 networks that contain every IPv4 address: those of 6to4 and of NAT64.
var withIPv4 = []netip.Prefix{netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("64:ff9b::/96")}

// minBits returns the smallest number of bits that p may have.
func minBits(p netip.Prefix) int {
	for _, n := range withIPv4 {
		if n.Overlaps(p) {
			return n.Bits() + minPrefixBits
		}
	}
	if p.Addr().Is6() && !privateIPv6.Contains(p.Addr()) {
		return minPrefixBitsPublicIPv6
	}
	return minPrefixBits
}

// parseNetwork parses a network, or an address as a network of one address. It fails closed: it rejects a network that nobody
// owns alone, such as 0.0.0.0/0.
func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return checkNetwork(netip.PrefixFrom(addr, addr.BitLen()))
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errors.New("not a network; write it like 10.64.0.0/16, 10.64.0.7 or 2001:db8::/32")
	}
	return checkNetwork(p)
}

func checkNetwork(p netip.Prefix) (netip.Prefix, error) {
	addr := p.Addr()
	switch {
	case addr.Is4In6():
		return p, errors.New("an IPv4 network in IPv6 notation; write it like 10.64.0.0/16")
	case p != p.Masked():
		return p, fmt.Errorf("%s has bits set after its prefix; did you mean %s?", p, p.Masked())
	case p.Bits() < minBits(p):
		return p, fmt.Errorf("%s is almost every address; list the networks that need it, each with a prefix of %d bits or more", p, minBits(p))
	case addr.IsUnspecified(), addr.IsLoopback(), addr.IsMulticast(), addr.Is6() && addr.IsLinkLocalUnicast():
		return p, fmt.Errorf("%s is no address of another host", p)
	}
	return p, nil
}

// validate returns every mistake in the list at path, each a *field.Error.
func (n Networks) validate(path string) error {
	var errs []error
	var before []netip.Prefix
	for i, text := range n {
		p, err := parseNetwork(text)
		if err != nil {
			errs = append(errs, &field.Error{Path: fmt.Sprintf("%s[%d]", path, i), Err: err})
			continue
		}
		for _, other := range before {
			if p.Overlaps(other) {
				errs = append(errs, field.Errorf(fmt.Sprintf("%s[%d]", path, i), "%s overlaps %s in the same list; remove one", p, other))
			}
		}
		before = append(before, p)
	}
	return errors.Join(errs...)
}

// prefixes returns the valid networks of the list, in its order.
func (n Networks) prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range n {
		if p, err := parseNetwork(text); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// covers reports whether every address of p is in one of networks. It fails closed: an empty list covers nothing.
func covers(networks []netip.Prefix, p netip.Prefix) bool {
	overlap := false
	for _, n := range networks {
		if n.Overlaps(p) {
			if n.Bits() <= p.Bits() {
				return true
			}
			overlap = true
		}
	}
	if !overlap {
		return false
	}
	low, high := halves(p)
	return covers(networks, low) && covers(networks, high)
}

// halves returns the lower and the upper half of p, which must have more than one address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	raw := p.Masked().Addr().AsSlice()
	raw[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	addr, _ := netip.AddrFromSlice(raw)
	return netip.PrefixFrom(p.Masked().Addr(), bits), netip.PrefixFrom(addr, bits)
}

// split returns the IPv4 networks and the IPv6 networks, each sorted and without duplicates.
func split(networks []netip.Prefix) (ipv4, ipv6 []netip.Prefix) {
	for _, p := range networks {
		if p.Addr().Is4() {
			ipv4 = append(ipv4, p)
		} else {
			ipv6 = append(ipv6, p)
		}
	}
	sort := func(all []netip.Prefix) []netip.Prefix {
		slices.SortFunc(all, netip.Prefix.Compare)
		return slices.Compact(all)
	}
	return sort(ipv4), sort(ipv6)
}

// element returns a network as rules write it: an address alone if it has one address.
func element(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
