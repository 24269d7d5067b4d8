package main

import (
	"context"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/testcluster"
)

func begin(do func(*testcluster.Node, context.Context) error) func(context.Context, *drill) error {
	return func(ctx context.Context, d *drill) error { return do(d.victim(), ctx) }
}

// nodeFaults befall Cassandra's processes.
func nodeFaults() []fault {
	kill, terminate, start := begin((*testcluster.Node).Kill), begin((*testcluster.Node).Terminate), begin((*testcluster.Node).Start)
	pause, unpause := begin((*testcluster.Node).Pause), begin((*testcluster.Node).Unpause)
	return []fault{
		{name: "node-kill", what: "SIGKILL to one node", expect: history.OneNode, begin: kill, end: start},
		{name: "node-term", what: "SIGTERM to one node", expect: history.OneNode, begin: terminate, end: start},
		{name: "node-pause-5", what: "one node frozen for 5 s", expect: history.OneNode, length: 5 * time.Second, begin: pause, end: unpause},
		{name: "node-pause-30", what: "one node frozen for 30 s", expect: history.OneNode, length: 30 * time.Second, begin: pause, end: unpause},
		{name: "node-pause-120", what: "one node frozen for 120 s", expect: history.OneNode, length: 120 * time.Second, rare: true, begin: pause, end: unpause},
		{name: "node-restart", what: "one node killed and started again under load", expect: history.OneNode,
			begin: kill, during: func(ctx context.Context, d *drill, most time.Duration) error {
				began := time.Now()
				if err := d.victim().Start(ctx); err != nil {
					return err
				}
				sleep(ctx, most-time.Since(began))
				return nil
			}},
		{name: "rolling-restart", what: "the nodes of one datacentre restarted one after another", expect: history.OneNode, rare: true,
			begin: nothing, during: func(ctx context.Context, d *drill, _ time.Duration) error {
				return eachNode(d.nodes("dc1"), func(n *testcluster.Node) error {
					if err := n.Terminate(ctx); err != nil {
						return err
					}
					if err := n.Start(ctx); err != nil {
						return err
					}
					return d.cluster.WaitAllUp(ctx)
				})
			}},
		{name: "two-of-three", what: "two of three local nodes frozen", expect: history.Outage,
			begin: func(ctx context.Context, d *drill) error {
				return eachNode(d.nodes("dc1")[1:], func(n *testcluster.Node) error { return n.Pause(ctx) })
			},
			end: func(ctx context.Context, d *drill) error {
				return eachNode(d.nodes("dc1")[1:], func(n *testcluster.Node) error { return n.Unpause(ctx) })
			}},
		{name: "whole-local", what: "all nodes of the first datacentre frozen", expect: history.OtherDatacentre, lost: "dc1",
			begin: func(ctx context.Context, d *drill) error {
				return eachNode(d.nodes("dc1"), func(n *testcluster.Node) error { return n.Pause(ctx) })
			},
			end: func(ctx context.Context, d *drill) error {
				return eachNode(d.nodes("dc1"), func(n *testcluster.Node) error { return n.Unpause(ctx) })
			}},
		{name: "whole-remote", what: "all nodes of the other datacentre end (SIGTERM)", expect: history.OtherDatacentre, lost: "dc2", rare: true,
			begin: func(ctx context.Context, d *drill) error {
				return eachNode(d.nodes("dc2"), func(n *testcluster.Node) error { return n.Terminate(ctx) })
			},
			end: func(ctx context.Context, d *drill) error {
				return eachNode(d.nodes("dc2"), func(n *testcluster.Node) error { return n.Start(ctx) })
			}},
	}
}

func nothing(context.Context, *drill) error { return nil }
