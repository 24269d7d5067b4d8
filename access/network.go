package access

import (
	"errors"
	"fmt"
	"net/netip"

	"userinfo/internal/field"
)

// parseNetworks parses a list of networks. path is its place in the configuration.
func parseNetworks(path string, texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	var errs []error
	for i, text := range texts {
		n, err := parseNetwork(text)
		if err != nil {
			errs = append(errs, &field.Error{Path: fmt.Sprintf("%s[%d]", path, i), Err: err})
		}
		all = append(all, n)
	}
	return all, errors.Join(errs...)
}

// parseNetwork parses a network in CIDR notation. It rejects networks that contain would never match.
func parseNetwork(text string) (netip.Prefix, error) {
	n, err := netip.ParsePrefix(text)
	switch {
	case err != nil: // not wrapped, because it quotes the text, which may be a misplaced secret
		return netip.Prefix{}, errors.New("not a network; write it like 10.0.0.0/8, 192.0.2.1/32 or 2001:db8::/32")
	case n.Addr().Is4In6():
		return netip.Prefix{}, errors.New("an IPv4 network in IPv6 notation; write it like 10.0.0.0/8")
	case n != n.Masked():
		return netip.Prefix{}, fmt.Errorf("%s has bits set after its prefix; did you mean %s?", n, n.Masked())
	}
	return n, nil
}

// contains reports whether addr is in one of networks. It fails closed: the zero address is in no network, and an empty
// list contains no address.
func contains(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
