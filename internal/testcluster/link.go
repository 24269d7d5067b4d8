package testcluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Link is what nodes of one set send to nodes of another over the ports between nodes (7000 and 7001), and, unless it
// is one way, what those send back. Client ports stay open whatever is cut.
//
// Cassandra opens a connection of its own for each direction, and answers travel on the other one. So one way means:
// To hears nothing from From, neither requests nor answers, while From hears all that To says. Since To's questions
// are never answered, To soon holds From for down, and, as liveness is told in answers too, often so does From To.
type Link struct {
	From, To []*Node
	OneWay   bool
	Reject   bool // connections are reset at once; otherwise packets vanish, as with a broken line
	// Loss, where it is not 0, is the share of packets that vanish at random, above 0 and below 1; all others arrive.
	// Unlike a whole cut, it hits whatever From sends to To, also the acknowledgements of what To says.
	Loss float64
}

// LinkBetween links the nodes of two datacentres.
func (c *Cluster) LinkBetween(dc, other string) Link {
	return Link{From: c.Nodes(dc), To: c.Nodes(other)}
}

// LinkAround links n and all other nodes. Cut, it leaves n "half joined": n serves clients, but has no peers.
func (c *Cluster) LinkAround(n *Node) Link {
	return Link{From: []*Node{n}, To: c.Others(n)}
}

type (
	pair    struct{ from, to *Node }
	verdict string // the end of an iptables rule: what of the traffic, and what becomes of it
)

const (
	drop   verdict = "--dports " + internodePorts + " -j DROP"
	reject verdict = "--dports " + internodePorts + " -j REJECT --reject-with tcp-reset"
)

// verdict is what Cut makes of the link's packets.
func (l Link) verdict() (verdict, error) {
	switch {
	case l.Loss < 0 || l.Loss >= 1:
		return "", fmt.Errorf("a link's Loss is %v: it must be at least 0 and below 1; leave it out to lose everything", l.Loss)
	case l.Loss > 0 && l.Reject:
		return "", errors.New("a link has both Loss and Reject: packets are either lost at random or refused; set one of them")
	case l.Loss > 0:
		return verdict(fmt.Sprintf("--ports %s -m statistic --mode random --probability %.6f -j DROP", internodePorts, l.Loss)), nil
	case l.Reject:
		return reject, nil
	}
	return drop, nil
}

func (l Link) pairs() []pair {
	var pairs []pair
	for _, from := range l.From {
		for _, to := range l.To {
			if from == to {
				continue
			}
			pairs = append(pairs, pair{from, to})
			if !l.OneWay {
				pairs = append(pairs, pair{to, from})
			}
		}
	}
	return pairs
}

// Cut cuts a link, or makes it lossy. What was cut before stays cut; a pair of nodes cut anew is cut in the new way.
// Where it fails, part of it may be in force.
func (c *Cluster) Cut(ctx context.Context, link Link) error {
	how, err := link.verdict()
	if err != nil {
		return err
	}
	return c.change(ctx, receivers(link.pairs()), func() {
		for _, p := range link.pairs() {
			c.cuts[p] = how
		}
	})
}

// Heal takes back the cuts between the nodes of link, whichever call of Cut made them.
func (c *Cluster) Heal(ctx context.Context, link Link) error {
	return c.change(ctx, receivers(link.pairs()), func() {
		for _, p := range link.pairs() {
			delete(c.cuts, p)
		}
	})
}

// HealAll takes back whatever Cut, CutClients and Shape have done.
func (c *Cluster) HealAll(ctx context.Context) error {
	return c.change(ctx, c.nodes, func() {
		clear(c.cuts)
		clear(c.closed)
		clear(c.lines)
	})
}

// receivers are the nodes that the pairs lead to, each once: what holds for a pair is done there.
func receivers(pairs []pair) []*Node {
	var nodes []*Node
	for _, p := range pairs {
		if !slices.Contains(nodes, p.to) {
			nodes = append(nodes, p.to)
		}
	}
	return nodes
}
