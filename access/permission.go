package access

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Permission describes what one client may do in one audience, for `userinfo check-config`.
type Permission struct {
	Client   string // Anonymous for access without a client
	Audience string
	Actions  []Action
	// Alternatives are the alternatives that the client can meet, as text. If there are none, the client has no access.
	Alternatives []string
	// Keys are the client's key patterns. Empty if the audience has no keys.
	Keys []string
}

// Permissions returns all permissions: first of requests without a client, then of each client in the order of the
// configuration, sorted by audience for each.
func (p *Policy) Permissions() []Permission {
	var all []Permission
	for _, name := range slices.Sorted(maps.Keys(p.audiences)) {
		if alternatives := p.audiences[name].possible(nil); len(alternatives) > 0 {
			all = append(all, Permission{Client: Anonymous, Audience: name, Actions: p.actions(name, nil), Alternatives: alternatives})
		}
	}
	for _, c := range p.clients {
		for _, name := range c.grantedAudiences() {
			one := Permission{Client: c.name, Audience: name, Actions: p.actions(name, c.grants), Alternatives: p.audiences[name].possible(c)}
			if p.resources[GrantOn(name, one.Actions[0])].hasKeys {
				for _, k := range c.keys {
					one.Keys = append(one.Keys, k.text)
				}
			}
			all = append(all, one)
		}
	}
	return all
}

// grantedAudiences returns the audiences in which c has a grant, sorted.
func (c *client) grantedAudiences() []string {
	names := make(map[string]bool)
	for g := range c.grants {
		name, _, _ := strings.Cut(string(g), ":")
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// allActions are the actions of all resources, in the order in which they are printed.
var allActions = []Action{Get, Set, Touch, Verify, Change, Create, Import, Reset, Delete}

// actions returns the actions in an audience that granted contains or, if granted is nil, all of its actions.
func (p *Policy) actions(audience string, granted map[Grant]bool) []Action {
	var all []Action
	for _, action := range allActions {
		g := GrantOn(audience, action)
		if _, exists := p.resources[g]; granted == nil && (exists || audience == Health && action == Get) || granted[g] {
			all = append(all, action)
		}
	}
	return all
}

// possible returns the alternatives that c can meet or, if c is nil, the alternatives that need no client.
func (a *audience) possible(c *client) []string {
	var all []string
	if a == nil {
		return nil
	}
	for _, alt := range a.alternatives {
		possible := !alt.needsClient()
		if c != nil {
			possible = alt.needs&credentialKinds&^c.credentialKinds() == 0 && (alt.needs&group == 0 || slices.Contains(c.groups, alt.group))
		}
		if alt.needs != 0 && possible {
			all = append(all, alt.String())
		}
	}
	return all
}

// credentialKinds returns the kinds of credentials that c has.
func (c *client) credentialKinds() (kinds protections) {
	if len(c.certificates) > 0 {
		kinds |= certificate
	}
	if len(c.tokens) > 0 {
		kinds |= token
	}
	if len(c.signatureKeys) > 0 {
		kinds |= signed
	}
	return kinds
}

// String returns the alternative as check-config prints it, such as "certificate and network 10.0.0.0/8".
func (a alternative) String() string {
	var all []string
	for _, name := range a.needs.list() {
		switch name {
		case "network":
			name = fmt.Sprint("network ", strings.Trim(fmt.Sprint(a.networks), "[]"))
		case "group":
			name = "group " + a.group
		case "allow":
			name = "nothing"
		}
		all = append(all, name)
	}
	return strings.Join(all, " and ")
}
