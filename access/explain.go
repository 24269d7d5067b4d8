package access

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Permission is what one client may do in one audience, in words.
type Permission struct {
	Client   string // Anonymous where nothing proves a client
	Audience string
	Actions  []Action
	// Alternatives are the alternatives that the client could meet. Without any, it may never do it.
	Alternatives []string
	Keys         []string // patterns; none where the audience has no keys
}

// Permissions are all that p gives, by client in the order of the configuration, then by audience.
func (p *Policy) Permissions() []Permission {
	var all []Permission
	for _, name := range slices.Sorted(maps.Keys(p.audiences)) {
		if ways := p.audiences[name].ways(nil); len(ways) > 0 {
			all = append(all, Permission{Client: Anonymous, Audience: name, Actions: p.actions(name, nil), Alternatives: ways})
		}
	}
	for _, c := range p.clients {
		for _, name := range p.granted(c) {
			one := Permission{Client: c.name, Audience: name, Actions: p.actions(name, c.grants), Alternatives: p.audiences[name].ways(c)}
			if p.resources[GrantOn(name, one.Actions[0])].keyed {
				for _, k := range c.keys {
					one.Keys = append(one.Keys, k.text)
				}
			}
			all = append(all, one)
		}
	}
	return all
}

// NeedsKey tells whether grant is one on keys. A grant that there cannot be is an error that says which there are.
func (p *Policy) NeedsKey(grant Grant) (bool, error) {
	on, known := p.resources[grant]
	if !known {
		return false, fmt.Errorf("unknown grant; known are %s", list(p.resources))
	}
	return on.keyed, nil
}

// granted are the audiences in which c is granted something.
func (p *Policy) granted(c *client) []string {
	names := make(map[string]bool)
	for g := range c.grants {
		name, _, _ := strings.Cut(string(g), ":")
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// actions are those in an audience that are granted; with nil, all that there are.
func (p *Policy) actions(audience string, granted map[Grant]bool) []Action {
	var all []Action
	for _, action := range []Action{Get, Set, Touch, Delete} {
		g := GrantOn(audience, action)
		if _, there := p.resources[g]; granted == nil && (there || audience == Health && action == Get) || granted[g] {
			all = append(all, action)
		}
	}
	return all
}

// ways are the alternatives that c could meet; with nil, those that ask for no client.
func (a *audience) ways(c *client) []string {
	var all []string
	if a == nil {
		return nil
	}
	for _, alt := range a.alternatives {
		proven := alt.needs & (credentials | group)
		possible := proven == 0
		if c != nil {
			possible = alt.needs&credentials&^c.credentials() == 0 && (alt.needs&group == 0 || slices.Contains(c.groups, alt.group))
		}
		if alt.needs != 0 && possible {
			all = append(all, alt.String())
		}
	}
	return all
}

// credentials are the kinds that c has.
func (c *client) credentials() (has protection) {
	if len(c.certificates) > 0 {
		has |= certificate
	}
	if len(c.tokens) > 0 {
		has |= token
	}
	if len(c.signers) > 0 {
		has |= signed
	}
	return has
}

// String is the alternative as check-config shows it.
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
