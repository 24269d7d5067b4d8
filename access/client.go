package access

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"userinfo/internal/field"
)

// Client is one client as the configuration describes it. It is identified by any one of its certificates, tokens or
// signature keys; with none it does not load.
type Client struct {
	// Name is how logs and metrics call the client. It must be unique.
	Name string `yaml:"name"`
	// Groups that audiences may ask for.
	Groups []string `yaml:"groups"`
	// Certificates lists the names under which the client's certificates are known. TLS verifies them first,
	// against the CA. The first that a certificate has counts.
	Certificates []CertificateName `yaml:"certificates"`
	// Tokens lists bearer tokens; list two while one replaces the other.
	Tokens []TokenRule `yaml:"tokens"`
	// SignatureKeys lists the keys that the client signs its requests with (RFC 9421); list two while one replaces the
	// other.
	SignatureKeys []SignatureKey `yaml:"signature_keys"`
	// Grants are of the form collection:action with get, set, touch, delete; and metrics:get, openapi:get.
	Grants []Grant `yaml:"grants"`
	// Keys are the patterns of the keys that the client may name: literal, with * for any run of bytes, {cn}
	// for the common name of its certificate, {1} for what the first star of the certificate's configured name stood for.
	// Needed by any grant on a collection; ["*"] is every key.
	Keys []string `yaml:"keys"`
	// Limits are the client's own; each that is left out is that of limits.per_client.
	Limits Limits `yaml:"limits"`
}

// Limits bound what one client may ask for, so that no other goes short of it and guessing is slow. 0 is no limit.
type Limits struct {
	// MaxInFlight requests being worked on; the next is answered 429.
	MaxInFlight int `yaml:"max_in_flight"`
	// RequestsPerSecond on average; as many may come at once. The next is answered 429.
	RequestsPerSecond int `yaml:"requests_per_second"`
	// MissesPerMinute are answers 404 and 403, on average and at once; until there may be another, get and touch are
	// answered 429.
	MissesPerMinute int `yaml:"misses_per_minute"`
}

// WithDefaults is l, with what it leaves out taken from other.
func (l Limits) WithDefaults(other Limits) Limits {
	for _, f := range []struct{ mine, others *int }{
		{&l.MaxInFlight, &other.MaxInFlight}, {&l.RequestsPerSecond, &other.RequestsPerSecond}, {&l.MissesPerMinute, &other.MissesPerMinute},
	} {
		if *f.mine == 0 {
			*f.mine = *f.others
		}
	}
	return l
}

// Validate refuses negative limits. path is their place in the configuration.
func (l Limits) Validate(path string) error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int
	}{{"max_in_flight", l.MaxInFlight}, {"requests_per_second", l.RequestsPerSecond}, {"misses_per_minute", l.MissesPerMinute}} {
		if f.value < 0 {
			errs = append(errs, field.Errorf(path+"."+f.name, "must be at least 1; leave it out for no limit of the client's own"))
		}
	}
	return errors.Join(errs...)
}

// TokenRule is a token and where it may be used from.
type TokenRule struct {
	// SHA256 of the token, in hexadecimal. `userinfo token new` prints both.
	SHA256 string `yaml:"sha256"`
	// Networks from which the token is good, such as 10.0.0.0/8; without the field it is good from everywhere.
	Networks []string `yaml:"networks"`
}

// SignatureKey is a key that verifies a client's signatures.
type SignatureKey struct {
	// ID is what the client sends as keyid.
	ID string `yaml:"id"`
	// File holds a secret that `userinfo key new signature` has made (hmac-sha256), or a public key (ed25519, PEM).
	File string `yaml:"file"`
}

// client is a Client that has been checked.
type client struct {
	name         string
	groups       []string
	certificates []certificateName
	tokens       []tokenRule
	signers      []string
	grants       map[Grant]bool
	keys         []pattern
	limits       Limits
}

type tokenRule struct {
	hash     [sha256.Size]byte
	networks []netip.Prefix // none: from everywhere
}

// owns tells whether key is within the client's patterns. It fails closed: an empty key and an empty list match nothing.
func (c *client) owns(key Key, of names) bool {
	if key == "" {
		return false
	}
	for i := range c.keys {
		if c.keys[i].matches(string(key), of) {
			return true
		}
	}
	return false
}

// compile checks one Client. path is its place in the configuration.
func (r PolicyConfig) compile(path string, in Client, resources map[Grant]resource) (*client, error) {
	c := &client{name: in.Name, groups: slices.Clone(in.Groups), grants: make(map[Grant]bool), limits: in.Limits}
	var errs []error
	if in.Name == "" {
		errs = append(errs, field.Errorf(path+".name", "missing; logs and metrics need a name for each client"))
	}
	if in.Name == Anonymous {
		errs = append(errs, field.Errorf(path+".name", "is what those are called who prove nothing; take another"))
	}
	for i, g := range in.Groups {
		if g == "" {
			errs = append(errs, field.Errorf(fmt.Sprintf("%s.groups[%d]", path, i), "empty"))
		}
	}
	if len(in.Certificates) == 0 && len(in.Tokens) == 0 && len(in.SignatureKeys) == 0 {
		errs = append(errs, field.Errorf(path, "client %q has neither certificates nor tokens nor signature_keys, so nobody could be it", in.Name))
	}
	errs = append(errs,
		c.addCertificates(path+".certificates", in.Certificates, r.ClientCAs),
		c.addTokens(path+".tokens", in.Tokens),
		c.addSignatureKeys(path+".signature_keys", in.SignatureKeys),
		c.addGrants(path+".grants", in.Grants, resources),
		c.addKeys(path+".keys", in.Keys, resources),
		in.Limits.Validate(path+".limits"))
	return c, errors.Join(errs...)
}

func (c *client) addCertificates(path string, all []CertificateName, authorities []string) error {
	var errs []error
	for i, in := range all {
		n, err := compileName(fmt.Sprintf("%s[%d]", path, i), in, authorities)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.certificates = append(c.certificates, n)
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
		t := tokenRule{hash: [sha256.Size]byte(hash)}
		if t.networks, err = parseNetworks(at+".networks", rule.Networks); err != nil {
			errs = append(errs, err)
		}
		c.tokens = append(c.tokens, t)
	}
	return errors.Join(errs...)
}

func (c *client) addSignatureKeys(path string, keys []SignatureKey) error {
	var errs []error
	for i, k := range keys {
		at := fmt.Sprintf("%s[%d]", path, i)
		if k.ID == "" {
			errs = append(errs, field.Errorf(at+".id", "missing: what the client sends as keyid"))
		}
		if k.File == "" {
			errs = append(errs, field.Errorf(at+".file", "missing: the file of the secret that `userinfo key new signature` has made, or of a public key of Ed25519"))
		}
		c.signers = append(c.signers, k.ID)
	}
	return errors.Join(errs...)
}

func (c *client) addGrants(path string, grants []Grant, resources map[Grant]resource) error {
	if len(grants) == 0 {
		return field.Errorf(path, "client %q is granted nothing; remove it or grant it something", c.name)
	}
	var errs []error
	for i, g := range grants {
		if _, ok := resources[g]; !ok {
			errs = append(errs, field.Errorf(fmt.Sprintf("%s[%d]", path, i), "unknown grant; known are %s", list(resources)))
			continue
		}
		c.grants[g] = true
	}
	return errors.Join(errs...)
}

func (c *client) addKeys(path string, keys []string, resources map[Grant]resource) error {
	var errs []error
	stars := 0
	for _, n := range c.certificates {
		stars = max(stars, n.stars)
	}
	for i, s := range keys {
		at := fmt.Sprintf("%s[%d]", path, i)
		p, err := parsePattern(s)
		if err != nil {
			errs = append(errs, &field.Error{Path: at, Err: err})
			continue
		}
		if p.needsCommonName() && len(c.certificates) == 0 {
			errs = append(errs, field.Errorf(at, "{cn} needs a certificate, and client %q has none", c.name))
		}
		if err := p.bounded(unboundedCommonName); err != nil && !c.oneCommonName() {
			errs = append(errs, &field.Error{Path: at, Err: err})
		}
		if n := p.stars(); n > stars {
			errs = append(errs, field.Errorf(at, "{%d} stands for star %d of a certificate's name, and no name of client %q has so many", n, n, c.name))
		}
		c.keys = append(c.keys, p)
	}
	for g := range c.grants {
		if resources[g].keyed && len(keys) == 0 {
			errs = append(errs, field.Errorf(path, "client %q has a grant on a collection but no key patterns; [\"*\"] is every key", c.name))
			break
		}
	}
	return errors.Join(errs...)
}

// oneCommonName tells whether certificates that identify c can have one common name alone.
func (c *client) oneCommonName() bool {
	return len(c.certificates) == 1 && c.certificates[0].cn && c.certificates[0].stars == 0
}

func list(resources map[Grant]resource) string {
	all := make([]string, 0, len(resources))
	for g := range resources {
		all = append(all, string(g))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
