package testcluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Link is the traffic that the nodes From send to the nodes To on the ports between nodes (7000 and 7001) and, unless
// OneWay, the traffic in the other direction. Client ports are never part of a link.
//
// Cassandra opens a connection for each direction, and an answer travels on the connection of the other direction. If
// a one-way link is cut, To receives neither requests nor answers of From, while From receives everything that To sends.
// To's requests are not answered, so To soon sees From as down. Often From sees To as down too, because nodes also learn
// from answers who is up.
type Link struct {
	From, To []*Node
	OneWay   bool
	Reject   bool // reset connections at once; otherwise packets are dropped, as on a broken line
	// Loss is the share of packets that are dropped at random, above 0 and below 1. If it is 0, all packets are dropped or
	// rejected. Unlike a full cut, it also drops TCP acknowledgements of what To sends.
	Loss float64
}

// LinkBetween returns the link between all nodes of two datacentres.
func (c *Cluster) LinkBetween(dc, other string) Link {
	return Link{From: c.Nodes(dc), To: c.Nodes(other)}
}

// LinkAround returns the link between n and all other nodes. If it is cut, n is "half joined": it serves clients and
// has no peers.
func (c *Cluster) LinkAround(n *Node) Link {
	return Link{From: []*Node{n}, To: c.Others(n)}
}

type (
	// direction is the traffic that one node sends to another.
	direction struct{ from, to *Node }
	// rule is the end of an iptables rule: which packets it matches, and what happens to them.
	rule string
)

const (
	dropRule   rule = "--dports " + internodePorts + " -j DROP"
	rejectRule rule = "--dports " + internodePorts + " -j REJECT --reject-with tcp-reset"
)

// rule returns what Cut does with the link's packets.
func (l Link) rule() (rule, error) {
	switch {
	case l.Loss < 0 || l.Loss >= 1:
		return "", fmt.Errorf("a link has Loss %v: it must be at least 0 and below 1; leave it out to lose everything", l.Loss)
	case l.Loss > 0 && l.Reject:
		return "", errors.New("a link has both Loss and Reject: set only one of them")
	case l.Loss > 0:
		return rule(fmt.Sprintf("--ports %s -m statistic --mode random --probability %.6f -j DROP", internodePorts, l.Loss)), nil
	case l.Reject:
		return rejectRule, nil
	}
	return dropRule, nil
}

func (l Link) directions() []direction {
	var all []direction
	for _, from := range l.From {
		for _, to := range l.To {
			if from == to {
				continue
			}
			all = append(all, direction{from, to})
			if !l.OneWay {
				all = append(all, direction{to, from})
			}
		}
	}
	return all
}

// Cut cuts a link, or makes it lose packets if link.Loss is set. Earlier cuts stay. For the same pair of nodes, the
// new cut replaces the old one. After an error, a part of the cut may apply.
func (c *Cluster) Cut(ctx context.Context, link Link) error {
	rule, err := link.rule()
	if err != nil {
		return err
	}
	return c.updateFilters(ctx, receivers(link.directions()), func() {
		for _, d := range link.directions() {
			c.cuts[d] = rule
		}
	})
}

// Heal ends every cut between the nodes of link.
func (c *Cluster) Heal(ctx context.Context, link Link) error {
	return c.updateFilters(ctx, receivers(link.directions()), func() {
		for _, d := range link.directions() {
			delete(c.cuts, d)
		}
	})
}

// HealAll ends everything that Cut, CutClients and Shape have done.
func (c *Cluster) HealAll(ctx context.Context) error {
	return c.updateFilters(ctx, c.all(), func() {
		clear(c.cuts)
		clear(c.clientRules)
		clear(c.shapers)
	})
}

// receivers returns the receiving nodes of directions, each once. Filters are installed at the receiver.
func receivers(directions []direction) []*Node {
	var nodes []*Node
	for _, d := range directions {
		if !slices.Contains(nodes, d.to) {
			nodes = append(nodes, d.to)
		}
	}
	return nodes
}
