package access

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"userinfo/internal/field"
)

// Client is one client in the configuration. Each of its certificates, tokens and signature keys authenticates it. A client
// without any of them is an error.
type Client struct {
	// Name identifies the client in logs and metrics. It must be unique.
	Name string `yaml:"name"`
	// Groups are the groups that the client is in. See Alternative.Group.
	Groups []string `yaml:"groups"`
	// Certificates are the names that the client's TLS certificates contain. The first matching name counts.
	Certificates []CertificateName `yaml:"certificates"`
	// Tokens are bearer tokens. List two to replace one by the other.
	Tokens []TokenRule `yaml:"tokens"`
	// SignatureKeys are the keys with which the client signs requests (RFC 9421). List two to replace one by the other.
	SignatureKeys []SignatureKey `yaml:"signature_keys"`
	// Grants are the permissions: COLLECTION:ACTION with the actions get, set, touch and delete, passwords:ACTION with the
	// actions verify, change, create, import, reset and delete, and metrics:get, openapi:get and operators:get.
	Grants []Grant `yaml:"grants"`
	// Keys are patterns of the session keys and user names that the client may use. A pattern is literal text, with * for any
	// number of bytes, {cn} for the common name of the client's certificate (only if all of the client's Certificates are
	// common names, or belong to CAs that verify common names) and {1} for the text that the first star in its CertificateName
	// matched. Required for grants on a collection. ["*"] allows every key.
	Keys []string `yaml:"keys"`
	// Limits are the client's limits. A limit of 0 is not set: the one in limits.per_client applies.
	Limits Limits `yaml:"limits"`
}

// TokenRule is a bearer token and the networks from which it is accepted.
type TokenRule struct {
	// SHA256 is the SHA-256 of the token in hexadecimal. `userinfo token new` prints a token and its SHA-256.
	SHA256 string `yaml:"sha256"`
	// Generated says that `userinfo token new` made the token. Then a token of another form is never accepted, so that a weak
	// one cannot be used. Without it, nobody can tell from the hash how hard the token is to guess.
	Generated bool `yaml:"generated"`
	// Networks are the networks from which the token is accepted, such as 10.0.0.0/8. Without the field it is accepted from
	// every address.
	Networks []string `yaml:"networks"`
}

// SignatureKey is a key that verifies a client's signatures.
type SignatureKey struct {
	// ID is the keyid parameter that the client sends.
	ID string `yaml:"id"`
	// File is a file with a secret from `userinfo key new signature` (hmac-sha256) or with a PEM public key (ed25519).
	File string `yaml:"file"`
}

// client is a checked Client.
type client struct {
	name          string
	groups        []string
	certificates  []certificateName
	tokens        []tokenRule
	signatureKeys []string // ids
	grants        map[Grant]bool
	keys          []pattern
	limits        Limits
}

type tokenRule struct {
	hash      [sha256.Size]byte
	generated bool           // only tokens of the form of NewToken
	networks  []netip.Prefix // empty: every address
}

// mayUse decides whether key matches one of the client's patterns. names are the names in its certificate. It fails closed:
// an empty key and a client without patterns match nothing.
func (c *client) mayUse(key Key, names names) bool {
	if key == "" {
		return false
	}
	for i := range c.keys {
		if c.keys[i].matches(string(key), names) {
			return true
		}
	}
	return false
}

// hasCertificate decides whether cert belongs to the client, and returns its names for key patterns. clientCAs are the CAs
// that signed cert. It fails closed: a name counts only in certificates from the name's own CA, and the common name counts only
// if the client is known by it or if that CA verifies common names.
func (c *client) hasCertificate(cert *x509.Certificate, clientCAs []string) (names, bool) {
	for i := range c.certificates {
		n := &c.certificates[i]
		if !slices.Contains(clientCAs, n.ca) {
			continue
		}
		if stars, ok := n.find(cert); ok {
			found := names{stars: stars}
			if n.givesCN {
				found.common = cert.Subject.CommonName
			}
			return found, true
		}
	}
	return names{}, false
}

// compileClient checks one Client. path is its place in the configuration.
func (config PolicyConfig) compileClient(path string, in Client, resources map[Grant]resource) (*client, error) {
	c := &client{name: in.Name, groups: slices.Clone(in.Groups), grants: make(map[Grant]bool), limits: in.Limits}
	var errs []error
	if in.Name == "" {
		errs = append(errs, field.Errorf(path+".name", "missing; logs and metrics need a name for each client"))
	}
	if in.Name == Anonymous {
		errs = append(errs, field.Errorf(path+".name", "is reserved for requests without a client; choose another name"))
	}
	for i, g := range in.Groups {
		if g == "" {
			errs = append(errs, field.Errorf(fmt.Sprintf("%s.groups[%d]", path, i), "empty; name a group, or remove the line"))
		}
	}
	if len(in.Certificates) == 0 && len(in.Tokens) == 0 && len(in.SignatureKeys) == 0 {
		errs = append(errs, field.Errorf(path, "client %q cannot authenticate; add certificates, tokens or signature_keys", in.Name))
	}
	errs = append(errs,
		c.addCertificates(path+".certificates", in.Certificates, config),
		c.addTokens(path+".tokens", in.Tokens),
		c.addSignatureKeys(path+".signature_keys", in.SignatureKeys),
		c.addGrants(path+".grants", in.Grants, resources),
		c.addKeys(path+".keys", in.Keys, resources),
		in.Limits.Validate(path+".limits"))
	return c, errors.Join(errs...)
}

func (c *client) addCertificates(path string, all []CertificateName, config PolicyConfig) error {
	var errs []error
	for i, in := range all {
		n, err := compileName(fmt.Sprintf("%s[%d]", path, i), in, config.ClientCAs)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		n.givesCN = n.isCN || slices.Contains(config.CNVerifiers, n.ca)
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
			errs = append(errs, field.Errorf(at+".sha256", "not a SHA-256 in hexadecimal (64 digits), as `userinfo token new` prints it. Never write the token itself here"))
			continue
		}
		if isGuessable([sha256.Size]byte(hash), c.name) {
			errs = append(errs, field.Errorf(at+".sha256", "is the hash of a token that is easy to guess; make one with `userinfo token new`"))
		}
		if rule.Networks != nil && len(rule.Networks) == 0 {
			errs = append(errs, field.Errorf(at+".networks", "empty; name a network, or remove the line to accept the token from every address"))
		}
		t := tokenRule{hash: [sha256.Size]byte(hash), generated: rule.Generated}
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
			errs = append(errs, field.Errorf(at+".id", "missing; write the keyid that the client sends"))
		}
		if k.File == "" {
			errs = append(errs, field.Errorf(at+".file", "missing; name the file of a secret from `userinfo key new signature`, or of an Ed25519 public key"))
		}
		c.signatureKeys = append(c.signatureKeys, k.ID)
	}
	return errors.Join(errs...)
}

func (c *client) addGrants(path string, grants []Grant, resources map[Grant]resource) error {
	if len(grants) == 0 {
		return field.Errorf(path, "client %q has no grants; add one, or remove the client", c.name)
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
		if n := c.nameWithoutCN(); n != nil && p.needsCommonName() {
			errs = append(errs, field.Errorf(at, "{cn} is the common name, which a CA need not verify, and client %q is known by %s; write cn: in its certificates, "+
				"or {1} for a star in the san, or, if the CA verifies common names, list it in tls.client_cas with verifies_cn: true", c.name, n))
		}
		if err := p.checkBoundary(unboundedCommonName); err != nil && !c.hasOneCommonName() {
			errs = append(errs, &field.Error{Path: at, Err: err})
		}
		if n := p.stars(); n > stars {
			errs = append(errs, field.Errorf(at, "{%d} needs a certificate name with %d stars, and client %q has none", n, n, c.name))
		}
		c.keys = append(c.keys, p)
	}
	for g := range c.grants {
		if resources[g].hasKeys && len(keys) == 0 {
			errs = append(errs, field.Errorf(path, "client %q has a grant on a collection or on passwords but no key patterns; [\"*\"] allows every key", c.name))
			break
		}
	}
	return errors.Join(errs...)
}

// nameWithoutCN returns a certificate name for which {cn} has no value, or nil.
func (c *client) nameWithoutCN() *certificateName {
	for i := range c.certificates {
		if !c.certificates[i].givesCN {
			return &c.certificates[i]
		}
	}
	return nil
}

// hasOneCommonName reports whether all certificates of the client have the same common name.
func (c *client) hasOneCommonName() bool {
	return len(c.certificates) == 1 && c.certificates[0].isCN && c.certificates[0].stars == 0
}
