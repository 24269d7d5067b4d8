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

// inspectSettings checks settings of Cassandra that the service depends on, on every node of the local datacentre that is up.
func inspectSettings(ctx context.Context, db DB, s Spec) ([]finding, error) {
	all, found, err := readAllSettings(ctx, db)
	if err != nil {
		return nil, err
	}
	roles, err := inspectSystemAuth(ctx, db, s, all)
	if err != nil {
		return nil, err
	}
	return slices.Concat(found,
		all.inspect(func(settings nodeSettings) []finding { return inspectGuardrails(s, settings) }),
		all.inspect(func(settings nodeSettings) []finding { return inspectSizeLimits(s, settings) }),
		roles), nil
}

// allSettings are the settings of the nodes that answered, by address.
type allSettings map[string]nodeSettings

// readAllSettings returns the settings of all nodes that answer, and a warning for each node that does not. It returns an error
// if no node answers.
func readAllSettings(ctx context.Context, db DB) (all allSettings, found []finding, err error) {
	names := []string{maximumTimestamp, minimumTimestamp, authenticator, authorizer, authConsistency}
	for _, l := range sizeLimits {
		names = append(names, l.name, l.oldName)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	all = allSettings{}
	for _, address := range db.Nodes() {
		settings, failure := readSettings(ctx, db, address, names)
		if isUnauthorized(failure) {
			// Only an authorizer refuses, so there is one. The other settings count as not set.
			return allSettings{address: {authorizer: "an authorizer"}}, []finding{warning("grants of the role", "SELECT on system_views.settings",
				"no such grant, so that settings were not checked", "as a superuser, run GRANT SELECT ON system_views.settings TO <the role>")}, nil
		}
		if failure != nil {
			err = failure
			found = append(found, warning("settings of node "+address, "an answer", "none, so that they were not checked ("+failure.Error()+")",
				"if `nodetool status` says that the node is up, read its log"))
			continue
		}
		all[address] = settings
	}
	if len(all) == 0 {
		return nil, nil, cmp.Or(err, errors.New("no node of the local datacentre is up, so that no settings can be read"))
	}
	return all, found, nil
}

// inspect calls check for every node. It returns a finding that all nodes have as it is, and adds to another one the addresses
// of the nodes that have it.
func (all allSettings) inspect(check func(nodeSettings) []finding) (found []finding) {
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
