package schema

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Settings of Cassandra that say who may log in and what a role may do.
const (
	authenticator   = "authenticator"
	authorizer      = "authorizer"
	authConsistency = "auth_read_consistency_level"
)

// systemAuth is the keyspace of roles and grants.
const systemAuth = "system_auth"

// wantedRoleReplicas is how many nodes of a datacentre should have the roles, so that two of them are left when one is down.
// Roles are read at LOCAL_QUORUM by default.
const wantedRoleReplicas = 3

// inspectSystemAuth checks that the roles stay readable while one node of the local datacentre is down, and while all other
// datacentres are down. If they are not readable, Cassandra refuses new connections, and after a few seconds also statements
// on existing connections. A datacentre of two nodes needs both in any case, for the rows of the service as well.
// inspectSystemAuth checks nothing if no node uses an authenticator or an authorizer.
func inspectSystemAuth(ctx context.Context, db DB, s Spec, all allSettings) (found []finding, err error) {
	needed := func(settings nodeSettings) bool {
		return !isOff(settings[authenticator]) || !isOff(settings[authorizer])
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(all)), needed) {
		return nil, nil
	}
	nodes, err := readNodes(ctx, db)
	if err != nil {
		return nil, err
	}
	ks, err := readKeyspace(ctx, db, systemAuth)
	if err != nil {
		return nil, err
	}
	if have, ok := roleReplication(s, ks, nodes); !ok {
		found = append(found, warning("keyspace "+systemAuth+" replication",
			fmt.Sprintf("%s with replication factor %d in %s, because nobody can log in while the nodes that have the roles are down", networkTopology, roleReplicas(s, nodes), s.LocalDatacentre),
			have, alterSystemAuth(s, ks, nodes)))
	}
	return append(found, all.inspectEach(inspectAuthConsistency)...), nil
}

// inspectAuthConsistency checks that the nodes of one datacentre are enough to read roles.
func inspectAuthConsistency(settings nodeSettings) []finding {
	local := []string{"", "LOCAL_QUORUM", "LOCAL_ONE", "ONE"}
	level := settings[authConsistency]
	if slices.Contains(local, strings.ToUpper(level)) {
		return nil
	}
	return []finding{warning("setting "+authConsistency,
		"LOCAL_QUORUM, because nobody can log in while too few nodes of other datacentres are up", level, "set it to LOCAL_QUORUM"+inEveryNode)}
}

// isOff reports whether a setting names no authenticator or authorizer, or one that allows everything. Cassandra's default
// is one that allows everything.
func isOff(setting string) bool { return setting == "" || strings.Contains(setting, "AllowAll") }

// roleReplication describes the replication of the roles and reports whether it is enough.
func roleReplication(s Spec, live *keyspace, nodes []node) (string, bool) {
	switch {
	case live == nil:
		return "no such keyspace", false
	case live.class != networkTopology:
		return live.class, len(nodes) == 1
	}
	n := live.replication[s.LocalDatacentre]
	factor, _, _ := strings.Cut(n, "/") // "3/1" has one transient replica
	replicas, _ := strconv.Atoi(factor)
	if replicas == 0 {
		return "no replicas in " + s.LocalDatacentre, false
	}
	return "replication factor " + n + " in " + s.LocalDatacentre, replicas >= roleReplicas(s, nodes)
}

// roleReplicas returns how many replicas of the roles the local datacentre should have: at least 1, and at most one a node.
func roleReplicas(s Spec, nodes []node) int {
	return max(1, min(wantedRoleReplicas, nodesByDatacentre(nodes)[s.LocalDatacentre]))
}

func nodesByDatacentre(nodes []node) map[string]int {
	count := map[string]int{}
	for _, n := range nodes {
		count[n.datacentre]++
	}
	return count
}

// alterSystemAuth returns the advice to replicate the roles in every datacentre. It lowers no replication factor.
func alterSystemAuth(s Spec, live *keyspace, nodes []node) string {
	want := map[string]int{s.LocalDatacentre: roleReplicas(s, nodes)}
	for name, n := range nodesByDatacentre(nodes) {
		want[name] = min(wantedRoleReplicas, n)
	}
	if live != nil && live.class == networkTopology {
		for name, factor := range live.replication {
			if n, err := strconv.Atoi(factor); err == nil {
				want[name] = max(want[name], n)
			}
		}
	}
	var options strings.Builder
	for _, name := range slices.Sorted(maps.Keys(want)) {
		fmt.Fprintf(&options, ", '%s': %d", name, want[name])
	}
	return fmt.Sprintf("as a superuser, run ALTER KEYSPACE %s WITH replication = {'class': '%s'%s} and then `nodetool repair --full %s` on every node",
		systemAuth, networkTopology, &options, systemAuth)
}
