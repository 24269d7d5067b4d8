package main

import (
	"context"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/testcluster"
)

// cut is a fault of links between nodes, taken back by healing them.
func cut(name, what string, expect history.Expectation, link func(*drill) testcluster.Link) fault {
	return fault{name: name, what: what, expect: expect,
		begin: func(ctx context.Context, d *drill) error { return d.cluster.Cut(ctx, link(d)) },
		end:   func(ctx context.Context, d *drill) error { return d.cluster.HealAll(ctx) },
	}
}

// linkFaults befall what lies between nodes, and between nodes and instances.
func linkFaults() []fault {
	between := func(change func(*testcluster.Link)) func(*drill) testcluster.Link {
		return func(d *drill) testcluster.Link {
			l := d.cluster.LinkBetween("dc1", "dc2")
			change(&l)
			return l
		}
	}
	around := func(change func(*testcluster.Link)) func(*drill) testcluster.Link {
		return func(d *drill) testcluster.Link {
			l := d.cluster.LinkAround(d.victim())
			change(&l)
			return l
		}
	}
	flip := func(l *testcluster.Link) { l.From, l.To, l.OneWay = l.To, l.From, true }
	return append([]fault{
		cut("half-joined", "one node cut off from all others, its client port open", history.OneNode, around(func(*testcluster.Link) {})),
		cut("partition-drop", "the datacentres cut apart, packets vanish", history.OtherDatacentre, between(func(*testcluster.Link) {})),
		cut("partition-reject", "the datacentres cut apart, connections are reset", history.OtherDatacentre, between(func(l *testcluster.Link) { l.Reject = true })),
		cut("partition-out", "the second datacentre hears nothing of the first", history.OtherDatacentre, between(func(l *testcluster.Link) { l.OneWay = true })),
		cut("partition-in", "the first datacentre hears nothing of the second", history.OtherDatacentre, between(flip)),
		cut("node-mute", "one node hears the others, and they do not hear it", history.OneNode, around(func(l *testcluster.Link) { l.OneWay = true })),
		cut("node-deaf", "one node hears none of the others, and they hear it", history.OneNode, around(flip)),
		cut("loss-5", "5 % of the packets between the datacentres are lost", history.Strain, between(func(l *testcluster.Link) { l.Loss = 0.05 })),
		cut("loss-20", "20 % of the packets between the datacentres are lost", history.Strain, between(func(l *testcluster.Link) { l.Loss = 0.20 })),
		cut("loss-local-20", "20 % of one local node's packets are lost", history.OneNode, around(func(l *testcluster.Link) { l.Loss = 0.20 })),
		{name: "isolated", what: "one node cut off from all nodes and all instances", expect: history.OneNode,
			begin: func(ctx context.Context, d *drill) error {
				if err := d.cluster.Cut(ctx, d.cluster.LinkAround(d.victim())); err != nil {
					return err
				}
				return d.cluster.CutClients(ctx, []*testcluster.Node{d.victim()}, false)
			},
			end: func(ctx context.Context, d *drill) error {
				if err := d.cluster.HealAll(ctx); err != nil {
					return err
				}
				return d.cluster.HealClients(ctx, []*testcluster.Node{d.victim()})
			}},
		clientsCut("clients-drop", "the client port of one node is closed, packets vanish", false),
		clientsCut("clients-reject", "the client port of one node is closed, connections are reset", true),
	}, shaped()...)
}

func clientsCut(name, what string, reject bool) fault {
	return fault{name: name, what: what, expect: history.OneNode,
		begin: func(ctx context.Context, d *drill) error {
			return d.cluster.CutClients(ctx, []*testcluster.Node{d.victim()}, reject)
		},
		end: func(ctx context.Context, d *drill) error {
			return d.cluster.HealClients(ctx, []*testcluster.Node{d.victim()})
		}}
}

// shaped are links between the datacentres that are long or narrow.
func shaped() []fault {
	shape := func(name, what string, delay time.Duration, bits int) fault {
		return fault{name: name, what: what, expect: history.Strain,
			begin: func(ctx context.Context, d *drill) error {
				return d.cluster.Shape(ctx, d.cluster.LinkBetween("dc1", "dc2"), delay, bits)
			},
			end: func(ctx context.Context, d *drill) error {
				return d.cluster.Unshape(ctx, d.cluster.LinkBetween("dc1", "dc2"))
			}}
	}
	return []fault{
		shape("delay-50", "50 ms more each way between the datacentres", 50*time.Millisecond, 0),
		shape("delay-100", "100 ms more each way between the datacentres", 100*time.Millisecond, 0),
		shape("delay-300", "300 ms more each way between the datacentres", 300*time.Millisecond, 0),
		shape("narrow", "1 Mbit/s between the datacentres", 0, 1_000_000),
	}
}
