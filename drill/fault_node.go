package main

import (
	"context"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/testcluster"
)

var (
	kill      = (*testcluster.Node).Kill
	terminate = (*testcluster.Node).Terminate
	start     = (*testcluster.Node).Start
	pause     = (*testcluster.Node).Pause
	unpause   = (*testcluster.Node).Unpause
)

// nodeFaults returns the faults of Cassandra processes.
func nodeFaults() []fault {
	pauseFor := func(name, description string, length time.Duration, rare bool) fault {
		return fault{name: name, description: description, expect: history.OneNode, length: length, rare: rare, begin: each(victim, pause), end: each(victim, unpause)}
	}
	return []fault{
		{name: "node-kill", description: "one node is killed (SIGKILL)", expect: history.OneNode, begin: each(victim, kill), end: each(victim, start)},
		{name: "node-term", description: "one node is terminated (SIGTERM)", expect: history.OneNode, begin: each(victim, terminate), end: each(victim, start)},
		pauseFor("node-pause-5", "one node is frozen for 5 s", 5*time.Second, false),
		pauseFor("node-pause-30", "one node is frozen for 30 s", 30*time.Second, false),
		pauseFor("node-pause-120", "one node is frozen for 120 s", 120*time.Second, true),
		{name: "node-restart", description: "one node is killed and started again", expect: history.OneNode, begin: sequence(each(victim, kill), each(victim, start))},
		{name: "rolling-restart", description: "the nodes of one datacentre are restarted one after another", expect: history.OneNode, rare: true,
			begin: restartLocalNodes},
		{name: "two-of-three", description: "two of three local nodes are frozen", expect: history.Outage,
			begin: each(localNonSeedNodes, pause), end: each(localNonSeedNodes, unpause)},
		{name: "whole-local", description: "all nodes of the first datacentre are frozen", expect: history.OtherDatacentre, lostDatacentre: "dc1",
			begin: each(localNodes, pause), end: each(localNodes, unpause)},
		{name: "whole-remote", description: "all nodes of the other datacentre are terminated (SIGTERM)", expect: history.OtherDatacentre, lostDatacentre: "dc2", rare: true,
			begin: each(remoteNodes, terminate), end: each(remoteNodes, start)},
	}
}

// restartLocalNodes restarts each node of the first datacentre. It waits for a node before it restarts the next.
func restartLocalNodes(ctx context.Context, r *run) error {
	return each(localNodes, func(n *testcluster.Node, ctx context.Context) error {
		if err := n.Terminate(ctx); err != nil {
			return err
		}
		if err := n.Start(ctx); err != nil {
			return err
		}
		return r.cluster.WaitAllUp(ctx)
	})(ctx, r)
}

// diskFaults returns the faults of the disks of nodes.
func diskFaults() []fault {
	smallDisk := testcluster.Options{SmallDisk: true}
	// A node whose disk failed leaves the cluster and closes its client port. It must be restarted.
	restart := sequence(each(diskVictim, kill), each(diskVictim, start))
	return []fault{
		{name: "disk-full", description: "the disk of one node is full", expect: history.OneNode, needs: smallDisk, rare: true,
			begin: each(diskVictim, (*testcluster.Node).FillDisk), end: sequence(each(diskVictim, (*testcluster.Node).FreeDisk), restart)},
		{name: "disks-full", description: "the disks of all nodes of both datacentres are full", expect: history.Outage, needs: smallDisk, rare: true,
			begin: together(allNodes, (*testcluster.Node).FillDisk),
			end:   sequence(each(allNodes, (*testcluster.Node).FreeDisk), together(allNodes, kill), together(allNodes, start))},
		{name: "commitlog-read-only", description: "the commit log of one node is read-only", expect: history.OneNode, needs: smallDisk, rare: true,
			begin: each(diskVictim, (*testcluster.Node).MakeCommitLogReadOnly), end: sequence(each(diskVictim, (*testcluster.Node).MakeCommitLogWritable), restart)},
		{name: "replica-wiped", description: "one node loses its data and returns empty", expect: history.OneNode, rare: true,
			prepare: each(victim, (*testcluster.Node).Flush), begin: each(victim, (*testcluster.Node).Wipe)},
	}
}
