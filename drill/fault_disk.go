package main

import (
	"context"
	"fmt"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/testcluster"
)

// poor is the node with a small disk of its own.
func (d *drill) poor() *testcluster.Node { return d.cluster.Nodes("dc1")[2] }

// diskFaults befall what one node has written.
func diskFaults() []fault {
	small := testcluster.Options{SmallDisk: true}
	// A node whose disk has failed shuts itself off from peers and clients, and must be started anew.
	restart := func(ctx context.Context, d *drill) error {
		if err := d.poor().Kill(ctx); err != nil {
			return err
		}
		return d.poor().Start(ctx)
	}
	return []fault{
		{name: "disk-full", what: "the disk of one node full", expect: history.OneNode, needs: small, rare: true,
			begin: func(ctx context.Context, d *drill) error { return d.poor().FillDisk(ctx) },
			end: func(ctx context.Context, d *drill) error {
				if err := d.poor().FreeDisk(ctx); err != nil {
					return err
				}
				return restart(ctx, d)
			}},
		{name: "commitlog-read-only", what: "the commit log of one node cannot be written", expect: history.OneNode, needs: small, rare: true,
			begin: func(ctx context.Context, d *drill) error { return d.poor().MakeCommitLogReadOnly(ctx) },
			end: func(ctx context.Context, d *drill) error {
				if err := d.poor().MakeCommitLogWritable(ctx); err != nil {
					return err
				}
				return restart(ctx, d)
			}},
		{name: "replica-wiped", what: "one replica loses all it has, and comes back empty", expect: history.OneNode, rare: true,
			begin: func(ctx context.Context, d *drill) error { return d.victim().Wipe(ctx) }},
	}
}

// everyNode runs nodetool on all nodes.
func (d *drill) everyNode(ctx context.Context, args ...string) error {
	return eachNode(d.nodes(""), func(n *testcluster.Node) error {
		_, err := n.Nodetool(ctx, args...)
		return err
	})
}

// hintFaults are partitions in which Cassandra keeps nothing for the other side, or only for a while: what has to get
// there, gets there by the service.
func hintFaults() []fault {
	const window = 5 * time.Second
	const usual = 3 * time.Hour
	partition := func(name, what string, before, afterwards func(context.Context, *drill) error) fault {
		return fault{name: name, what: what, expect: history.OtherDatacentre, unrepaired: true, length: 40 * time.Second,
			begin: func(ctx context.Context, d *drill) error {
				if err := before(ctx, d); err != nil {
					return err
				}
				return d.cluster.Cut(ctx, d.cluster.LinkBetween("dc1", "dc2"))
			},
			end: func(ctx context.Context, d *drill) error {
				if err := d.cluster.HealAll(ctx); err != nil {
					return err
				}
				return afterwards(ctx, d)
			}}
	}
	tool := func(args ...string) func(context.Context, *drill) error {
		return func(ctx context.Context, d *drill) error { return d.everyNode(ctx, args...) }
	}
	ms := func(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
	return []fault{
		partition("hints-off", "the datacentres cut apart while no hints are kept", tool("disablehandoff"), tool("enablehandoff")),
		partition("hint-window", "the datacentres cut apart for longer than hints are kept",
			tool("setmaxhintwindow", ms(window)), tool("setmaxhintwindow", ms(usual))),
	}
}
