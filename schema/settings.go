package schema

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
)

// nodeSettings are the settings of one node, by name. A setting that is not set is an empty string.
type nodeSettings map[string]string

// inspectSettings checks the settings of Cassandra that the service depends on, on each node of DB.Nodes.
func inspectSettings(ctx context.Context, db DB, s Spec) ([]finding, error) {
	all, found, err := readAllSettings(ctx, db)
	if err != nil {
		return nil, err
	}
	logins, err := inspectSystemAuth(ctx, db, s, all)
	if err != nil {
		return nil, err
	}
	return slices.Concat(found,
		all.inspectEach(func(settings nodeSettings) []finding { return inspectGuardrails(s, settings) }),
		all.inspectEach(func(settings nodeSettings) []finding { return inspectSizeLimits(s, settings) }),
		logins), nil
}

// allSettings are the settings of several nodes, by address.
type allSettings map[string]nodeSettings

// readAllSettings asks each node of DB.Nodes. It returns a warning for each node that does not return its settings. If every
// node refuses, it returns one warning: the role lacks the grant. It returns an error if every node fails in another way.
func readAllSettings(ctx context.Context, db DB) (all allSettings, found []finding, err error) {
	names, answered := settingNames(), 0
	all = allSettings{}
	for _, address := range db.Nodes() {
		settings, failure := readSettings(ctx, db, address, names)
		switch {
		case failure == nil:
			all[address] = settings
			answered++
			continue
		case ctx.Err() != nil:
			return nil, nil, failure // this says nothing about the node
		case isUnauthorized(failure):
			all[address] = nodeSettings{authorizer: "an authorizer"} // otherwise it would not refuse
			found = append(found, unchecked(address, "it refused"))
		default:
			found = append(found, unchecked(address, "it did not answer"))
		}
		err = failure
	}
	switch {
	case len(all) == 0:
		return nil, nil, cmp.Or(err, errors.New("no node of the local datacentre is up, so that no settings can be read"))
	case answered == 0:
		found = []finding{warning("grants of the role", "SELECT on system_views.settings", "no such grant, so that settings were not checked",
			"as a superuser, run GRANT SELECT ON system_views.settings TO <the role>")}
	}
	return all, found, nil
}

// unchecked returns a warning that a node's settings are not known. It does not contain the error, which may be another one
// each time: serve logs a warning again when its text has changed.
func unchecked(address, why string) finding {
	return warning("settings of node "+address, "readable", "not read, because "+why,
		"if `nodetool status` says that the node is up, read its log; it refuses if it cannot read the grants of the role in "+systemAuth)
}

// settingNames returns the names of all settings that are checked.
func settingNames() []string {
	names := []string{maximumTimestamp, minimumTimestamp, authenticator, authorizer, authConsistency}
	for _, l := range sizeLimits {
		names = append(names, l.name, l.oldName)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// inspectEach runs check for every node and merges equal findings. If only some nodes have a finding, its Object names them.
func (all allSettings) inspectEach(check func(nodeSettings) []finding) (found []finding) {
	nodes := map[finding][]string{}
	for _, address := range slices.Sorted(maps.Keys(all)) {
		for _, f := range check(all[address]) {
			if nodes[f] == nil {
				found = append(found, f)
			}
			nodes[f] = append(nodes[f], address)
		}
	}
	for i, f := range found {
		if len(nodes[f]) < len(all) {
			found[i].Object += " on " + strings.Join(nodes[f], ", ")
		}
	}
	return found
}

// Codes of errors in the CQL protocol.
const (
	codeUnavailable  = 0x1000
	codeWriteTimeout = 0x1100
	codeUnauthorized = 0x2100
	codeInvalid      = 0x2200 // the statement names a table that does not exist
)

// isUnauthorized reports whether Cassandra refused a statement because the role has no grant for it.
func isUnauthorized(err error) bool { return hasCode(err, codeUnauthorized) }

// hasCode reports whether Cassandra refused a statement with a code.
func hasCode(err error, code int) bool {
	var refused interface {
		error
		Code() int
	}
	return errors.As(err, &refused) && refused.Code() == code
}
