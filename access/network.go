package access

import (
	"errors"
	"fmt"
	"net/netip"

	"userinfo/internal/field"
)

// parseNetworks reads a list of networks. path is its place in the configuration.
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

// parseNetwork refuses what contains could never find, too, lest a network be good for nothing unnoticed.
func parseNetwork(text string) (netip.Prefix, error) {
	n, err := netip.ParsePrefix(text)
	switch {
	case err != nil: // which quotes the text
		return netip.Prefix{}, errors.New("not a network; write one as 10.0.0.0/8, 192.0.2.1/32 or 2001:db8::/32")
	case n.Addr().Is4In6():
		return netip.Prefix{}, errors.New("an IPv4 network in IPv6's form; write it as 10.0.0.0/8")
	case n != n.Masked():
		return netip.Prefix{}, fmt.Errorf("%s has bits beyond its length; did you mean %s?", n, n.Masked())
	}
	return n, nil
}

// contains tells whether addr is in one of networks. It fails closed: no network has an address that is not known.
func contains(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
