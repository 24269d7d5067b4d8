package access

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"userinfo/internal/field"
)

// Client is one client as the configuration describes it. It is identified by any one of its certificates or
// tokens; with neither it does not load.
type Client struct {
	// Name is how logs and metrics call the client. It must be unique.
	Name string `yaml:"name"`
	// Certificates lists the names under which the client's certificates are known. TLS verifies them first,
	// against tls.client_ca.
	Certificates []CertificateName `yaml:"certificates"`
	// Tokens lists bearer tokens; list two while one replaces the other.
	Tokens []TokenRule `yaml:"tokens"`
	// Grants are of the form collection:action with get, set, touch, delete; and metrics:get, openapi:get.
	Grants []Grant `yaml:"grants"`
	// Keys are the patterns of the keys that the client may name: literal, with * for any run of bytes and {cn}
	// for the common name of its certificate. Needed by any grant on a collection; ["*"] is every key.
	Keys []string `yaml:"keys"`
}

// CertificateName is one way to know a client's certificate. Exactly one of its fields is set.
type CertificateName struct {
	CN  string `yaml:"cn"`  // the subject's common name
	SAN string `yaml:"san"` // a DNS name, a URI or an IP address among the subject's alternative names
}

// TokenRule is a token and where it may be used from.
type TokenRule struct {
	// SHA256 of the token, in hexadecimal. `userinfo token new` prints both.
	SHA256 string `yaml:"sha256"`
	// Networks from which the token is good, such as 10.0.0.0/8; without the field it is good from everywhere.
	Networks []string `yaml:"networks"`
}

// client is a Client that has been checked. keyed tells, by grant, whether it is on a collection.
type client struct {
	name   string
	cns    []string
	sans   []string
	tokens []tokenRule
	grants map[Grant]bool
	keys   []pattern
}

type tokenRule struct {
	hash     [sha256.Size]byte
	networks []netip.Prefix
}

// owns tells whether key is within the client's patterns. It fails closed: an empty key and an empty list match nothing.
func (c *client) owns(key Key, commonName string) bool {
	if key == "" {
		return false
	}
	for _, p := range c.keys {
		if p.matches(string(key), commonName) {
			return true
		}
	}
	return false
}

// presents tells whether cert is one of the client's. It fails closed: an empty name matches nothing.
func (c *client) presents(cert *x509.Certificate) bool {
	if cn := cert.Subject.CommonName; cn != "" && slices.Contains(c.cns, cn) {
		return true
	}
	for _, san := range c.sans {
		if hasSAN(cert, san) {
			return true
		}
	}
	return false
}

func hasSAN(cert *x509.Certificate, want string) bool {
	if want == "" {
		return false
	}
	for _, name := range cert.DNSNames {
		if strings.EqualFold(name, want) {
			return true
		}
	}
	for _, uri := range cert.URIs {
		if uri.String() == want {
			return true
		}
	}
	addr, err := netip.ParseAddr(want)
	if err != nil {
		return false
	}
	for _, ip := range cert.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok && a.Unmap() == addr.Unmap() {
			return true
		}
	}
	return false
}

// compile checks one Client. path is its place in the configuration.
func compile(path string, in Client, known map[Grant]bool) (*client, error) {
	c := &client{name: in.Name, grants: make(map[Grant]bool)}
	var errs []error
	if in.Name == "" {
		errs = append(errs, field.Errorf(path+".name", "missing; logs and metrics need a name for each client"))
	}
	if len(in.Certificates) == 0 && len(in.Tokens) == 0 {
		errs = append(errs, field.Errorf(path, "client %q has neither certificates nor tokens, so nobody could be it", in.Name))
	}
	errs = append(errs,
		c.addCertificates(path+".certificates", in.Certificates),
		c.addTokens(path+".tokens", in.Tokens),
		c.addGrants(path+".grants", in.Grants, known),
		c.addKeys(path+".keys", in.Keys, len(in.Certificates) > 0))
	return c, errors.Join(errs...)
}

func (c *client) addCertificates(path string, names []CertificateName) error {
	var errs []error
	for i, name := range names {
		if (name.CN == "") == (name.SAN == "") {
			errs = append(errs, field.Errorf(fmt.Sprintf("%s[%d]", path, i), "give exactly one of cn and san"))
			continue
		}
		if name.CN != "" {
			c.cns = append(c.cns, name.CN)
		} else {
			c.sans = append(c.sans, name.SAN)
		}
	}
	return errors.Join(errs...)
}

func (c *client) addTokens(path string, rules []TokenRule) error {
	var errs []error
	for i, rule := range rules {
		at := fmt.Sprintf("%s[%d]", path, i)
		hash, err := hex.DecodeString(rule.SHA256)
		if err != nil || len(hash) != sha256.Size {
			errs = append(errs, field.Errorf(at+".sha256", "not a SHA-256 in hexadecimal (64 digits); `userinfo token new` prints one. Never put the token itself here"))
			continue
		}
		if rule.Networks != nil && len(rule.Networks) == 0 {
			errs = append(errs, field.Errorf(at+".networks", "empty; name one, or leave the field out for a token that is good from everywhere"))
		}
		r := tokenRule{hash: [sha256.Size]byte(hash)}
		for j, text := range rule.Networks {
			network, err := parseNetwork(text)
			if err != nil {
				errs = append(errs, &field.Error{Path: fmt.Sprintf("%s.networks[%d]", at, j), Err: err})
			}
			r.networks = append(r.networks, network)
		}
		c.tokens = append(c.tokens, r)
	}
	return errors.Join(errs...)
}

// parseNetwork refuses what within could never match, too, lest a token be good from nowhere unnoticed.
func parseNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil: // which quotes the text
		return netip.Prefix{}, errors.New("not a network; write one as 10.0.0.0/8, 192.0.2.1/32 or 2001:db8::/32")
	case network.Addr().Is4In6():
		return netip.Prefix{}, errors.New("an IPv4 network in IPv6's form; write it as 10.0.0.0/8")
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("%s has bits beyond its length; did you mean %s?", network, network.Masked())
	}
	return network, nil
}

func (c *client) addGrants(path string, grants []Grant, known map[Grant]bool) error {
	if len(grants) == 0 {
		return field.Errorf(path, "client %q is granted nothing; remove it or grant it something", c.name)
	}
	var errs []error
	for i, g := range grants {
		keyed, ok := known[g]
		if !ok {
			errs = append(errs, field.Errorf(fmt.Sprintf("%s[%d]", path, i), "unknown grant; known are %s", list(known)))
			continue
		}
		c.grants[g] = keyed
	}
	return errors.Join(errs...)
}

func (c *client) addKeys(path string, keys []string, hasCertificate bool) error {
	var errs []error
	for i, s := range keys {
		at := fmt.Sprintf("%s[%d]", path, i)
		p, err := parsePattern(s)
		if err != nil {
			errs = append(errs, &field.Error{Path: at, Err: err})
			continue
		}
		if p.needsCommonName() && !hasCertificate {
			errs = append(errs, field.Errorf(at, "{cn} needs a certificate, and client %q has none", c.name))
		}
		c.keys = append(c.keys, p)
	}
	for _, keyed := range c.grants {
		if keyed && len(keys) == 0 {
			errs = append(errs, field.Errorf(path, "client %q has a grant on a collection but no key patterns; [\"*\"] is every key", c.name))
			break
		}
	}
	return errors.Join(errs...)
}

func list(known map[Grant]bool) string {
	names := make([]string, 0, len(known))
	for g := range known {
		names = append(names, string(g))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
