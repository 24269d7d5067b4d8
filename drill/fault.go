package main

import (
	"context"
	"slices"
	"time"

	"userinfo/drill/history"
	"userinfo/internal/testcluster"
)

// fault is something that can be done to the field and taken back.
type fault struct {
	name   string
	what   string
	expect history.Expectation
	// length is how long it lasts where its nature asks for more, or less, than others.
	length time.Duration
	// clockSkew and cassandraSkew are what it does to clocks.
	clockSkew, cassandraSkew time.Duration
	// lost is the datacentre that is gone as a whole, where one is.
	lost string
	// unrepaired is set where Cassandra keeps nothing for the other side, so that sets made meanwhile may never get there.
	unrepaired bool
	// needs are the options that a cluster must have been started with.
	needs testcluster.Options
	// rare faults are in no random mix: they take long, or leave a cluster slow.
	rare bool

	begin func(context.Context, *drill) error
	// during, where there is one, lasts for as long as it is told, and does something meanwhile.
	during func(context.Context, *drill, time.Duration) error
	end    func(context.Context, *drill) error
}

// victim is the node that faults of one local node befall; no seed of the cluster, so that it can be started alone.
func (d *drill) victim() *testcluster.Node { return d.cluster.Nodes("dc1")[1] }

// nodes of a datacentre.
func (d *drill) nodes(dc string) []*testcluster.Node { return d.cluster.Nodes(dc) }

// eachNode does the same to several nodes, one after another.
func eachNode(nodes []*testcluster.Node, do func(*testcluster.Node) error) error {
	for _, n := range nodes {
		if err := do(n); err != nil {
			return err
		}
	}
	return nil
}

func faults() []fault {
	return slices.Concat(nodeFaults(), linkFaults(), instanceFaults(), clockFaults(), diskFaults(), hintFaults(), strainFaults(), certificateFaults())
}

func faultNamed(name string) (fault, bool) {
	all := append(faults(), mutantFaults()...)
	i := slices.IndexFunc(all, func(f fault) bool { return f.name == name })
	if i < 0 {
		return fault{}, false
	}
	return all[i], true
}
