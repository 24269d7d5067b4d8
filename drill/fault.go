package main

import (
	"context"
	"slices"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/testcluster"
)

// fault is something that a drill does to its environment and undoes again.
type fault struct {
	name        string
	description string
	expect      history.Expectation
	length      time.Duration // 0 means the length that the -seconds flag sets
	rare        bool          // not part of a random mix, because it takes long or leaves the cluster slow

	// These are copied to the history (see history.Fault).
	lostDatacentre           string
	clockSkew, cassandraSkew time.Duration
	unrepaired               bool

	needs testcluster.Options // options that the cluster must have been started with

	// Each action may be nil. prepare and restore are judged apart from the fault: see run.change.
	prepare action // runs before the fault begins
	begin   action // starts the fault
	repeat  action // runs again and again while the fault is active
	end     action // undoes the fault
	restore action // runs after recovery from the fault
}

// action changes the environment of a run.
type action func(context.Context, *run) error

// faults returns all faults.
func faults() []fault {
	return slices.Concat(nodeFaults(), memberFaults(), linkFaults(), instanceFaults(), clockFaults(), diskFaults(), hintFaults(), overloadFaults(), certificateFaults())
}

// faultNamed returns a fault, or a fault that only mutants use.
func faultNamed(name string) (fault, bool) {
	all := append(faults(), mutantFaults()...)
	i := slices.IndexFunc(all, func(f fault) bool { return f.name == name })
	if i < 0 {
		return fault{}, false
	}
	return all[i], true
}

// sequence returns an action that runs several actions until one fails.
func sequence(actions ...action) action {
	return func(ctx context.Context, r *run) error {
		for _, a := range actions {
			if err := a(ctx, r); err != nil {
				return err
			}
		}
		return nil
	}
}

// wait returns an action that waits.
func wait(d time.Duration) action {
	return func(ctx context.Context, _ *run) error { return sleep(ctx, d) }
}

// nodeSet selects Cassandra nodes of a run.
type nodeSet func(*run) []*testcluster.Node

// The node sets that faults use. victim is not a seed node, so it can be started alone. diskVictim is another node, so that
// a mix of faults does not always hit the same one.
func allNodes(r *run) []*testcluster.Node          { return r.cluster.Nodes("") }
func localNodes(r *run) []*testcluster.Node        { return r.cluster.Nodes("dc1") }
func remoteNodes(r *run) []*testcluster.Node       { return r.cluster.Nodes("dc2") }
func localNonSeedNodes(r *run) []*testcluster.Node { return r.cluster.Nodes("dc1")[1:] }
func victim(r *run) []*testcluster.Node            { return r.cluster.Nodes("dc1")[1:2] }
func diskVictim(r *run) []*testcluster.Node        { return r.cluster.Nodes("dc1")[2:3] }

// each returns an action that calls do for each node of a set, one after another.
func each(nodes nodeSet, do func(*testcluster.Node, context.Context) error) action {
	return func(ctx context.Context, r *run) error {
		for _, n := range nodes(r) {
			if err := do(n, ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// nodetool returns an action that runs a nodetool command on each node of a set.
func nodetool(nodes nodeSet, args ...string) action {
	return each(nodes, func(n *testcluster.Node, ctx context.Context) error {
		_, err := n.Nodetool(ctx, args...)
		return err
	})
}
