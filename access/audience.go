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

// Audiences says, for each audience by name (every collection, metrics, openapi, health), in which ways one may come to it.
// One of the alternatives must hold. An audience that is not there, or has no alternatives, is closed.
type Audiences map[string][]Alternative

// Alternative is one way into an audience: every protection that it lists must hold.
type Alternative struct {
	// Certificate: a certificate proves the client. True, or not there.
	Certificate *bool `yaml:"certificate"`
	// Token: a bearer token proves the client. True, or not there.
	Token *bool `yaml:"token"`
	// Signed: a signature of the request (RFC 9421) proves the client. True, or not there.
	Signed *bool `yaml:"signed"`
	// Network lists networks, such as 10.0.0.0/8, one of which has the address that the request comes from.
	Network []string `yaml:"network"`
	// Group that the client belongs to.
	Group string `yaml:"group"`
	// Allow stands alone. False closes the audience. True opens it to anybody, which `userinfo dev` alone may do, but for
	// health, which tells nothing but whether this instance wants requests.
	Allow *bool `yaml:"allow"`
}

// protection is a set of protections.
type protection uint8

const (
	certificate protection = 1 << iota
	token
	signed
	network
	group
	allow
)

// credentials are those that prove a client.
const credentials = certificate | token | signed

// protectionNames are in the order of the bits.
var protectionNames = []string{"certificate", "token", "signed", "network", "group", "allow"}

// list gives the names of those in p.
func (p protection) list() []string {
	var names []string
	for i, name := range protectionNames {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// alternative is an Alternative that has been checked.
type alternative struct {
	needs    protection
	networks []netip.Prefix
	group    string
}

// holds tells whether every protection of a holds for id. It fails closed: no protections hold for nobody.
func (a alternative) holds(id Identity) bool {
	switch {
	case a.needs == 0,
		a.needs&credentials&^id.proofs != 0,
		a.needs&(credentials|group) != 0 && id.client == nil,
		a.needs&network != 0 && !contains(a.networks, id.remote),
		a.needs&group != 0 && !slices.Contains(id.client.groups, a.group):
		return false
	}
	return true
}

// audience is one that has been checked. A nil audience, as one without alternatives, is closed.
type audience struct {
	name         string
	alternatives []alternative
}

// admits tells whether one of the alternatives holds for id; anybody, whether one of those holds that ask for no client, so that no grant is
// needed. It fails closed: no alternatives let nobody in.
func (a *audience) admits(id Identity) (anybody bool, err error) {
	if a == nil {
		return false, errClosed
	}
	admitted, wanted := false, protection(0)
	for i := range a.alternatives {
		each := &a.alternatives[i]
		wanted |= each.needs
		if !each.holds(id) {
			continue
		}
		if each.needs&(credentials|group) == 0 {
			return true, nil
		}
		admitted = true
	}
	switch {
	case admitted:
		return false, nil
	case id.client == nil && wanted&credentials != 0:
		return false, errNoCredential
	}
	return false, errNoAlternative
}

var (
	errClosed        = fmt.Errorf("%w: the audience is closed", ErrDenied)
	errNoCredential  = fmt.Errorf("%w: no certificate of a known client, no token and no signature", ErrUnauthenticated)
	errNoAlternative = fmt.Errorf("%w: no alternative of the audience holds", ErrDenied)
)

// compileAudiences checks in. names are the audiences that there may be; true where a request needs a client and a key.
func (r PolicyConfig) compileAudiences(names map[string]bool) (map[string]*audience, error) {
	if len(r.Audiences) == 0 {
		return nil, field.Errorf("audiences", "missing, so that every route would be closed; list %s, each with the protections that it wants",
			strings.Join(slices.Sorted(maps.Keys(names)), ", "))
	}
	groups := make(map[string]bool)
	for _, c := range r.Clients {
		for _, g := range c.Groups {
			groups[g] = true
		}
	}
	all := make(map[string]*audience)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(r.Audiences)) {
		path := "audiences." + name
		collection, known := names[name]
		if !known {
			errs = append(errs, field.Errorf(path, "there is no such audience; there are %s", strings.Join(slices.Sorted(maps.Keys(names)), ", ")))
			continue
		}
		a := &audience{name: name}
		for i, in := range r.Audiences[name] {
			at := fmt.Sprintf("%s[%d]", path, i)
			alt, err := in.compile(at, groups)
			errs = append(errs, err, r.allowed(at, name, collection, alt))
			if alt.needs == 0 && in.Allow != nil && len(r.Audiences[name]) > 1 {
				errs = append(errs, field.Errorf(at+".allow", "closes the audience: remove it, or the other alternatives"))
			}
			a.alternatives = append(a.alternatives, alt)
		}
		all[name] = a
	}
	return all, errors.Join(errs...)
}

// allowed refuses alternatives that would open what must not be open.
func (r PolicyConfig) allowed(at, name string, collection bool, a alternative) error {
	switch {
	case a.needs&allow != 0 && name != Health && !r.Dev:
		return field.Errorf(at+".allow", "would open %s to anybody, which only `userinfo dev` does; list the protections that it wants", name)
	case a.needs == network && collection:
		return field.Errorf(at, "a network alone proves no client, and %s are given to clients alone: add certificate, token or signed", name)
	case a.needs == network && name != Health && !r.Dev && slices.ContainsFunc(a.networks, func(n netip.Prefix) bool { return n.Bits() == 0 }):
		return field.Errorf(at+".network", "is everybody, and alone would open %s to anybody; name the networks, or add certificate, token or signed", name)
	}
	return nil
}

// compile checks one Alternative. allow: false becomes the alternative that never holds.
func (in Alternative) compile(at string, groups map[string]bool) (a alternative, err error) {
	var errs []error
	for _, p := range []struct {
		is  protection
		set *bool
	}{{certificate, in.Certificate}, {token, in.Token}, {signed, in.Signed}} {
		if p.set == nil {
			continue
		}
		if !*p.set {
			name := p.is.list()[0]
			errs = append(errs, field.Errorf(at+"."+name, "write true, or remove the line; an alternative without %s does not ask for one", name))
		}
		a.needs |= p.is
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
			errs = append(errs, field.Errorf(at+".group", "no client is in a group of that name"))
		}
		if a.needs&credentials == 0 {
			errs = append(errs, field.Errorf(at, "a group is of clients, and nothing here proves one: add certificate, token or signed"))
		}
	}
	switch {
	case in.Allow != nil && a.needs != 0:
		errs = append(errs, field.Errorf(at+".allow", "stands alone: remove it, or the protections beside it"))
	case in.Allow != nil && *in.Allow:
		a.needs = allow
	case in.Allow == nil && a.needs == 0:
		errs = append(errs, field.Errorf(at, "lists no protection; list certificate, token, signed, network or group, or allow: false"))
	}
	return a, errors.Join(errs...)
}
