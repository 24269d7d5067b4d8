package access

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"userinfo/internal/field"
)

// Audiences are the access rule sets by resource: each collection, Passwords, Metrics, OpenAPI, Operators and Health. An
// audience admits a request if one of its alternatives holds. An audience that is not listed, or has no alternatives, admits
// nobody.
type Audiences map[string][]Alternative

// Alternative is one access rule of an audience. Each field that is set is a protection, which is a requirement. The
// alternative holds if all of its protections are met.
type Alternative struct {
	// Certificate requires a client that authenticates with a TLS certificate. It is true or absent.
	Certificate *bool `yaml:"certificate"`
	// Token requires a client that authenticates with a bearer token. It is true or absent.
	Token *bool `yaml:"token"`
	// Signed requires a client that authenticates with a signature of the request (RFC 9421). It is true or absent.
	Signed *bool `yaml:"signed"`
	// Network requires that the request comes from one of these networks, such as 10.0.0.0/8.
	Network []string `yaml:"network"`
	// Group requires a client in this group.
	Group string `yaml:"group"`
	// Allow must be the only field of its alternative. False: the audience admits nobody. True: it admits everybody. Only
	// `userinfo dev` may use true, except for Health, which reveals only whether this
	// instance accepts requests, and in one word why not.
	Allow *bool `yaml:"allow"`
}

// protections is a set of protections.
type protections uint8

const (
	certificate protections = 1 << iota
	token
	signed
	network
	group
	allow
)

// credentialKinds are the protections that need a client's credential.
const credentialKinds = certificate | token | signed

// protectionNames are the names of the protections, in the order of the bits.
var protectionNames = []string{"certificate", "token", "signed", "network", "group", "allow"}

// list returns the names of the protections in p.
func (p protections) list() []string {
	var names []string
	for i, name := range protectionNames {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// alternative is a checked Alternative.
type alternative struct {
	needs    protections // empty if it never holds
	networks []netip.Prefix
	group    string
}

// holds decides whether id meets every protection of a. It fails closed: an alternative without protections never holds, and
// no protection except network and allow is met without a client.
func (a alternative) holds(id Identity) bool {
	switch {
	case a.needs == 0,
		a.needs&credentialKinds&^id.proofs != 0,
		a.needs&(credentialKinds|group) != 0 && id.client == nil,
		a.needs&network != 0 && !contains(a.networks, id.remote),
		a.needs&group != 0 && !slices.Contains(id.client.groups, a.group):
		return false
	}
	return true
}

// needsClient reports whether a holds only for requests of a client.
func (a alternative) needsClient() bool { return a.needs&(credentialKinds|group) != 0 }

// audience is a checked audience. A nil *audience admits nobody.
type audience struct {
	alternatives []alternative
}

// admits decides whether one of the alternatives holds for id. open reports whether one of them holds that needs no
// client, so that the request needs no grant either.
//
// It fails closed: a nil audience and an audience without alternatives admit nobody. The error is ErrUnauthenticated if there
// is no client and a credential could help, and ErrDenied otherwise.
func (a *audience) admits(id Identity) (open bool, err error) {
	if a == nil {
		return false, errClosed
	}
	admitted, wanted := false, protections(0)
	for i := range a.alternatives {
		alt := &a.alternatives[i]
		wanted |= alt.needs
		if !alt.holds(id) {
			continue
		}
		if !alt.needsClient() {
			return true, nil
		}
		admitted = true
	}
	switch {
	case admitted:
		return false, nil
	case id.client == nil && wanted&credentialKinds != 0:
		return false, errNoCredential
	}
	return false, errNoAlternative
}

var (
	errClosed        = fmt.Errorf("%w: the audience is closed", ErrDenied)
	errNoCredential  = fmt.Errorf("%w: no certificate of a known client, no token and no signature", ErrUnauthenticated)
	errNoAlternative = fmt.Errorf("%w: no alternative of the audience holds", ErrDenied)
)

// audienceNames returns the names of all possible audiences, sorted.
func (config PolicyConfig) audienceNames() []string {
	names := append([]string{Metrics, OpenAPI, Operators, Health}, config.Collections...)
	if config.Passwords {
		names = append(names, Passwords)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// compileAudiences checks the audiences.
func (config PolicyConfig) compileAudiences() (map[string]*audience, error) {
	names := config.audienceNames()
	if len(config.Audiences) == 0 {
		return nil, field.Errorf("audiences", "missing, so that every request would be denied; list %s, each with the protections that it requires",
			strings.Join(names, ", "))
	}
	groups := make(map[string]bool)
	for _, c := range config.Clients {
		for _, g := range c.Groups {
			groups[g] = true
		}
	}
	all := make(map[string]*audience)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(config.Audiences)) {
		path := "audiences." + name
		if !slices.Contains(names, name) {
			errs = append(errs, field.Errorf(path, "unknown audience; known are %s", strings.Join(names, ", ")))
			continue
		}
		a := new(audience)
		for i, in := range config.Audiences[name] {
			at := fmt.Sprintf("%s[%d]", path, i)
			alt, err := in.compile(at, groups)
			errs = append(errs, err, config.checkOpen(at, name, alt))
			if alt.needs == 0 && in.Allow != nil && len(config.Audiences[name]) > 1 {
				errs = append(errs, field.Errorf(at+".allow", "closes the audience; remove it, or remove the other alternatives"))
			}
			a.alternatives = append(a.alternatives, alt)
		}
		all[name] = a
	}
	return all, errors.Join(errs...)
}

// checkOpen rejects an alternative that would admit requests without a client to an audience that must not be open. It
// fails closed: only Health, and any audience in development, may be open to everybody, and a network alone never opens a
// collection, Passwords or Operators.
func (config PolicyConfig) checkOpen(at, name string, a alternative) error {
	everybody := func(n netip.Prefix) bool { return n.Bits() == 0 }
	switch {
	case a.needs&allow != 0 && name != Health && !config.Dev:
		return field.Errorf(at+".allow", "would open %s to everybody, which only `userinfo dev` does; list the protections that it requires", name)
	case a.needs == network && (name == Operators || name == Passwords || slices.Contains(config.Collections, name)):
		return field.Errorf(at, "a network does not authenticate a client, and only clients have access to %s; add certificate, token or signed", name)
	case a.needs == network && name != Health && !config.Dev && slices.ContainsFunc(a.networks, everybody):
		return field.Errorf(at+".network", "contains every address, which would open %s to everybody; name the networks, or add certificate, token or signed", name)
	}
	return nil
}

// compile checks one Alternative. Allow: false becomes an alternative that never holds.
func (in Alternative) compile(at string, groups map[string]bool) (a alternative, err error) {
	var errs []error
	for _, p := range []struct {
		kind protections
		set  *bool
	}{{certificate, in.Certificate}, {token, in.Token}, {signed, in.Signed}} {
		if p.set == nil {
			continue
		}
		if !*p.set {
			name := p.kind.list()[0]
			errs = append(errs, field.Errorf(at+"."+name, "write true, or remove the line; an alternative without %s does not require one", name))
		}
		a.needs |= p.kind
	}
	if in.Network != nil {
		a.needs |= network
		if a.networks, err = parseNetworks(at+".network", in.Network); err != nil {
			errs = append(errs, err)
		}
		if len(in.Network) == 0 {
			errs = append(errs, field.Errorf(at+".network", "empty; name a network, or remove the line"))
		}
	}
	if a.group = in.Group; a.group != "" {
		a.needs |= group
		if !groups[a.group] {
			errs = append(errs, field.Errorf(at+".group", "no client is in this group"))
		}
		if a.needs&credentialKinds == 0 {
			errs = append(errs, field.Errorf(at, "only clients are in groups, and nothing here authenticates a client; add certificate, token or signed"))
		}
	}
	switch {
	case in.Allow != nil && a.needs != 0:
		errs = append(errs, field.Errorf(at+".allow", "must be the only field; remove it, or remove the other fields"))
	case in.Allow != nil && *in.Allow:
		a.needs = allow
	case in.Allow == nil && a.needs == 0:
		errs = append(errs, field.Errorf(at, "lists no protection; list certificate, token, signed, network or group, or write allow: false"))
	}
	return a, errors.Join(errs...)
}
