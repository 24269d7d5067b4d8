package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"userinfo/drill/history"
	"userinfo/internal/testcluster"
)

// memberFaults returns faults that change which nodes are in the cluster, their addresses, or other teams' schemas and roles.
func memberFaults() []fault {
	return []fault{
		{name: "node-joins", description: "a fourth node joins a datacentre", expect: history.OneNode, begin: addNode, restore: removeNode},
		{name: "node-decommissioned", description: "one of four nodes leaves a datacentre (nodetool decommission)", expect: history.OneNode,
			prepare: addNode, begin: removeNode},
		{name: "node-replaced", description: "one node is killed and replaced by a new node with another address", expect: history.OneNode, rare: true,
			begin: sequence(each(victim, kill), replaceVictim)},
		{name: "addresses-change", description: "all nodes restart one after another with new addresses", expect: history.OneNode, rare: true,
			begin: changeAddresses, restore: restartInstance},
		{name: "local-restart", description: "all nodes of the first datacentre restart at once", expect: history.OtherDatacentre, lostDatacentre: "dc1",
			length: shortOutage, begin: together(localNodes, terminate), end: together(localNodes, start)},
		{name: "local-moves", description: "all nodes of the first datacentre restart at once with new addresses", expect: history.OtherDatacentre, lostDatacentre: "dc1",
			length: shortOutage, rare: true, begin: together(localNodes, terminate), end: move(localNodes), restore: restartInstance},
		{name: "password-changes", description: "the service's password changes, and the local nodes restart one after another", expect: history.OneNode, rare: true,
			begin: sequence(changePassword, restartLocalNodes)},
		{name: "foreign-keyspace", description: "keyspaces of the other datacentre only, tables, types and roles are created, altered and dropped", expect: history.NoErrors,
			repeat: sequence(runForeignStatements, wait(time.Second)), end: dropForeign},
	}
}

// shortOutage is how long a datacentre that restarts stays down.
const shortOutage = 5 * time.Second

func addNode(ctx context.Context, r *run) error {
	_, err := r.cluster.AddNode(ctx, "dc1")
	return errors.Join(err, r.fleet.WriteHosts())
}

// removeNode removes the last node of the first datacentre.
func removeNode(ctx context.Context, r *run) error {
	nodes := localNodes(r)
	return r.cluster.RemoveNode(ctx, nodes[len(nodes)-1])
}

func replaceVictim(ctx context.Context, r *run) error {
	_, err := r.cluster.ReplaceNode(ctx, victim(r)[0])
	return errors.Join(err, r.fleet.WriteHosts())
}

// changeAddresses restarts each node with a new address. It waits for a node before it restarts the next.
func changeAddresses(ctx context.Context, r *run) error {
	for i := range allNodes(r) {
		node := func(r *run) []*testcluster.Node { return allNodes(r)[i : i+1] }
		if err := sequence(each(node, terminate), move(node))(ctx, r); err != nil {
			return err
		}
		if err := r.cluster.WaitAllUp(ctx); err != nil {
			return err
		}
	}
	return nil
}

// move returns an action that starts nodes again with new addresses. The instances can look them up by the nodes' names.
func move(nodes nodeSet) action {
	return func(ctx context.Context, r *run) error {
		err := together(nodes, func(n *testcluster.Node, ctx context.Context) error {
			_, err := r.cluster.ChangeAddress(ctx, n)
			return err
		})(ctx, r)
		return errors.Join(err, r.fleet.WriteHosts())
	}
}

// restartInstance restarts an instance. It must then find its contact points by their names.
func restartInstance(ctx context.Context, r *run) error {
	if err := r.killInstance(r.instances[0]); err != nil {
		return err
	}
	return r.instances[0].Start(ctx)
}

func changePassword(ctx context.Context, r *run) error {
	return r.cluster.ChangePassword(ctx, rand.Text())
}

// together returns an action that calls do for all nodes of a set at the same time.
func together(nodes nodeSet, do func(*testcluster.Node, context.Context) error) action {
	return func(ctx context.Context, r *run) error {
		var running errgroup.Group
		for _, n := range nodes(r) {
			running.Go(func() error { return do(n, ctx) })
		}
		return running.Wait()
	}
}

// foreignStatements are the changes that another team makes in the other datacentre. They can be repeated.
var foreignStatements = []string{
	"CREATE KEYSPACE IF NOT EXISTS %s WITH replication = {'class': 'NetworkTopologyStrategy', 'dc2': 1}",
	"CREATE TYPE IF NOT EXISTS %s.pair (a text, b int)",
	"CREATE TABLE IF NOT EXISTS %s.rows (k text PRIMARY KEY, v frozen<pair>)",
	"ALTER KEYSPACE %s WITH replication = {'class': 'NetworkTopologyStrategy', 'dc2': 2}",
	"ALTER TABLE %s.rows WITH gc_grace_seconds = 60",
	"CREATE ROLE IF NOT EXISTS %s",
	"DROP TABLE %s.rows",
	"DROP TYPE %s.pair",
	"DROP ROLE %s",
	"DROP KEYSPACE %s",
}

const foreignKeyspace = "other_team"

func runForeignStatements(ctx context.Context, r *run) error {
	for _, statement := range foreignStatements {
		if _, err := r.cluster.CQL(ctx, remoteNodes(r)[0], fmt.Sprintf(statement, foreignKeyspace)); err != nil {
			return err
		}
	}
	return nil
}

// dropForeign drops what an interrupted runForeignStatements has left.
func dropForeign(ctx context.Context, r *run) error {
	for _, statement := range []string{"DROP ROLE IF EXISTS %s", "DROP KEYSPACE IF EXISTS %s"} {
		if _, err := r.cluster.CQL(ctx, remoteNodes(r)[0], fmt.Sprintf(statement, foreignKeyspace)); err != nil {
			return err
		}
	}
	return nil
}
