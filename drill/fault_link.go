package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/testcluster"
)

// linkSet selects the network links of a run that a fault affects.
type linkSet func(*run) testcluster.Link

func betweenDatacentres(r *run) testcluster.Link { return r.cluster.LinkBetween("dc1", "dc2") }
func aroundVictim(r *run) testcluster.Link       { return r.cluster.LinkAround(victim(r)[0]) }

// Changes of a link.
func reject(l *testcluster.Link)  { l.Reject = true }
func oneWay(l *testcluster.Link)  { l.OneWay = true }
func reverse(l *testcluster.Link) { l.From, l.To, l.OneWay = l.To, l.From, true }

func loss(share float64) func(*testcluster.Link) {
	return func(l *testcluster.Link) { l.Loss = share }
}

// cut returns an action that cuts links, with some changes.
func cut(links linkSet, changes ...func(*testcluster.Link)) action {
	return func(ctx context.Context, r *run) error {
		l := links(r)
		for _, change := range changes {
			change(&l)
		}
		return r.cluster.Cut(ctx, l)
	}
}

// heal undoes all cuts between nodes.
func heal(ctx context.Context, r *run) error { return r.cluster.HealAll(ctx) }

// cutClients returns an action that closes the client port of one node.
func cutClients(reject bool) action {
	return func(ctx context.Context, r *run) error { return r.cluster.CutClients(ctx, victim(r), reject) }
}

// healClients undoes cutClients.
func healClients(ctx context.Context, r *run) error { return r.cluster.HealClients(ctx, victim(r)) }

// linkFaults returns the faults of the network between nodes, and between nodes and instances.
func linkFaults() []fault {
	cutFault := func(name, description string, expect history.Expectation, links linkSet, changes ...func(*testcluster.Link)) fault {
		return fault{name: name, description: description, expect: expect, begin: cut(links, changes...), end: heal}
	}
	shapeFault := func(name, description string, delay time.Duration, bitsPerSecond int) fault {
		return fault{name: name, description: description, expect: history.Strain,
			begin: func(ctx context.Context, r *run) error {
				return r.cluster.Shape(ctx, betweenDatacentres(r), delay, bitsPerSecond)
			},
			end: func(ctx context.Context, r *run) error { return r.cluster.Unshape(ctx, betweenDatacentres(r)) }}
	}
	return []fault{
		cutFault("half-joined", "one node is cut off from all other nodes; its client port is open", history.OneNode, aroundVictim),
		cutFault("partition-drop", "the datacentres are cut off from each other; packets are dropped", history.OtherDatacentre, betweenDatacentres),
		cutFault("partition-reject", "the datacentres are cut off from each other; connections are reset", history.OtherDatacentre, betweenDatacentres, reject),
		cutFault("partition-out", "the second datacentre receives nothing from the first", history.OtherDatacentre, betweenDatacentres, oneWay),
		cutFault("partition-in", "the first datacentre receives nothing from the second", history.OtherDatacentre, betweenDatacentres, reverse),
		cutFault("node-mute", "one node receives from the other nodes, but they do not receive from it", history.OneNode, aroundVictim, oneWay),
		cutFault("node-deaf", "one node receives nothing from the other nodes, but they receive from it", history.OneNode, aroundVictim, reverse),
		cutFault("loss-5", "5 % of the packets between the datacentres are lost", history.Strain, betweenDatacentres, loss(0.05)),
		cutFault("loss-20", "20 % of the packets between the datacentres are lost", history.Strain, betweenDatacentres, loss(0.20)),
		cutFault("loss-local-20", "20 % of the packets of one local node are lost", history.NoErrors, aroundVictim, loss(0.20)),
		{name: "isolated", description: "one node is cut off from all nodes and all instances", expect: history.OneNode,
			begin: sequence(cut(aroundVictim), cutClients(false)), end: sequence(heal, healClients)},
		{name: "clients-drop", description: "the client port of one node is closed; packets are dropped", expect: history.OneNode, begin: cutClients(false), end: healClients},
		{name: "clients-reject", description: "the client port of one node is closed; connections are reset", expect: history.OneNode, begin: cutClients(true), end: healClients},
		shapeFault("delay-50", "50 ms more delay each way between the datacentres", 50*time.Millisecond, 0),
		shapeFault("delay-100", "100 ms more delay each way between the datacentres", 100*time.Millisecond, 0),
		shapeFault("delay-300", "300 ms more delay each way between the datacentres", 300*time.Millisecond, 0),
		shapeFault("narrow", "1 Mbit/s between the datacentres", 0, 1_000_000),
	}
}

// partitionWithoutHints returns a partition during which Cassandra keeps no hints, or for a short time only. A write then
// reaches the other datacentre only if the service replays it. before and after set what hints the nodes keep. They run apart from
// the fault, because each nodetool takes a second of CPU time.
func partitionWithoutHints(name, description string, before, after action) fault {
	return fault{name: name, description: description, expect: history.OtherDatacentre, unrepaired: true, length: 40 * time.Second,
		prepare: before, begin: cut(betweenDatacentres), end: heal, restore: after}
}

var (
	disableHints = nodetool(allNodes, "disablehandoff")
	enableHints  = nodetool(allNodes, "enablehandoff")
)

func hintFaults() []fault {
	const shortWindow, defaultWindow = "5000", "10800000" // milliseconds
	return []fault{
		partitionWithoutHints("hints-off", "the datacentres are cut off from each other and no hints are kept", disableHints, enableHints),
		partitionWithoutHints("hint-window", "the datacentres are cut off from each other for longer than hints are kept",
			nodetool(allNodes, "setmaxhintwindow", shortWindow), nodetool(allNodes, "setmaxhintwindow", defaultWindow)),
		unreadableBucket(),
	}
}

func unreadableBucket() fault {
	f := partitionWithoutHints("bucket-unreadable", "no hints are kept, and a bucket of another collection's pending deletes cannot be read", disableHints, enableHints)
	f.prepare, f.restore = sequence(makeBucketUnreadable, f.prepare), sequence(makeBucketReadable, f.restore)
	return f
}

// The bucket of pending deletes that fault bucket-unreadable makes unreadable. It belongs to a collection that the load does not
// use, so every pending delete of the load can still be replayed.
const (
	pendingTable = "userinfo.pending_delete_segments"
	deleteEntry  = "DELETE FROM " + pendingTable + " WHERE bucket = 0 AND collection = 'kask' AND segment = '%08x';\n"
	readBucket   = "SELECT segment FROM " + pendingTable + " WHERE bucket = 0 AND collection = 'kask'"
	setGrace     = "ALTER TABLE " + pendingTable + " WITH gc_grace_seconds = %d"
	usualGrace   = 600

	// tombstoneLimit is how many tombstones a read may cross on the nodes of a drill (tombstone_failure_threshold). With Cassandra's
	// default, 100,000, writing them would keep a small machine busy for minutes.
	tombstoneLimit = 10_000
)

// makeBucketUnreadable writes more tombstones into one bucket than Cassandra reads. A batch must fit into Cassandra's cache of
// prepared statements (10 MiB). Otherwise Cassandra forgets it at once, and the driver prepares it again and again.
func makeBucketUnreadable(ctx context.Context, r *run) error {
	const batches = 10
	node := localNodes(r)[0]
	for batch := range batches {
		var text strings.Builder
		text.WriteString("BEGIN UNLOGGED BATCH\n")
		for i := range tombstoneLimit/batches + 1 {
			fmt.Fprintf(&text, deleteEntry, i*batches+batch)
		}
		text.WriteString("APPLY BATCH")
		if err := writeAtAll(ctx, r, node, text.String()); err != nil {
			return err
		}
	}
	if _, err := r.cluster.CQL(ctx, node, readBucket); err == nil {
		return errors.New("the bucket can still be read")
	}
	r.unreadableBucket = true
	return nil
}

// writeAtAll runs a write that may be repeated until every replica has it: after other faults, one may be slow for a moment.
func writeAtAll(ctx context.Context, r *run, node *testcluster.Node, statement string) (err error) {
	const attempts = 5
	for range attempts {
		if _, err = r.cluster.CQLAt(ctx, node, "ALL", statement); err == nil {
			return nil
		}
	}
	return err
}

// makeBucketReadable makes Cassandra purge the tombstones.
func makeBucketReadable(ctx context.Context, r *run) error {
	grace := func(seconds int) action {
		return func(ctx context.Context, r *run) error {
			_, err := r.cluster.CQL(ctx, localNodes(r)[0], fmt.Sprintf(setGrace, seconds))
			return err
		}
	}
	compact := append([]string{"compact"}, strings.Split(pendingTable, ".")...)
	err := sequence(grace(0), nodetool(allNodes, compact...), grace(usualGrace))(ctx, r)
	if err == nil {
		_, err = r.cluster.CQL(ctx, localNodes(r)[0], readBucket)
	}
	r.unreadableBucket = err != nil
	return err
}
