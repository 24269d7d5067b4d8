package testcluster

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
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
}

// Between links the nodes of two datacentres.
func (c *Cluster) Between(dc, other string) Link {
	return Link{From: c.Nodes(dc), To: c.Nodes(other)}
}

// Around links n and all other nodes. Cut, it leaves n "half joined": n serves clients, but has no peers.
func (c *Cluster) Around(n *Node) Link {
	return Link{From: []*Node{n}, To: c.Others(n)}
}

type (
	pair    struct{ from, to *Node }
	verdict string // the iptables target
)

const (
	drop   verdict = "DROP"
	reject verdict = "REJECT --reject-with tcp-reset"
)

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

// Cut cuts a link. What was cut before stays cut; a pair of nodes cut anew is cut in the new way. Where it fails, part
// of it may be in force.
func (c *Cluster) Cut(ctx context.Context, link Link) error {
	how := drop
	if link.Reject {
		how = reject
	}
	return c.change(ctx, link.pairs(), func(p pair) { c.cuts[p] = how })
}

// Heal takes back the cuts between the nodes of link, whichever call of Cut made them.
func (c *Cluster) Heal(ctx context.Context, link Link) error {
	return c.change(ctx, link.pairs(), func(p pair) { delete(c.cuts, p) })
}

// HealAll takes back all cuts.
func (c *Cluster) HealAll(ctx context.Context) error {
	return c.Heal(ctx, Link{From: c.nodes, To: c.nodes})
}

func (c *Cluster) change(ctx context.Context, pairs []pair, apply func(pair)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var touched []*Node
	for _, p := range pairs {
		apply(p)
		if !slices.Contains(touched, p.to) {
			touched = append(touched, p.to)
		}
	}
	var errs []error
	for _, n := range touched {
		errs = append(errs, n.filter(ctx, c.rules(n)))
	}
	return errors.Join(errs...)
}

// enforce brings n's filter in line with the cuts, after n got a network namespace anew.
func (c *Cluster) enforce(ctx context.Context, n *Node) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return n.filter(ctx, c.rules(n))
}

// chain holds our rules in a node's network namespace, and nothing else.
const chain = "USERINFO-CUT"

// rules is the whole of n's chain. The caller holds c.mu.
func (c *Cluster) rules(n *Node) string {
	rules := []string{"*filter", ":" + chain + " - [0:0]"}
	for p, how := range c.cuts {
		if p.to == n {
			rules = append(rules, fmt.Sprintf("-A %s -s %s -p tcp -m multiport --dports 7000,7001 -j %s", chain, p.from.Address, how))
		}
	}
	return strings.Join(append(rules, "COMMIT", ""), "\n")
}

// filter replaces n's chain at one stroke, and makes sure that what comes in passes it. Neither image has iptables, so
// it is this machine's, inside the network namespace of the node. A node that does not run has none; Start comes back.
func (n *Node) filter(ctx context.Context, rules string) error {
	state, err := n.state(ctx)
	if err != nil || !state.Running {
		return err
	}
	inside := func(stdin string, command ...string) error {
		args := append([]string{"-t", strconv.Itoa(state.Pid), "-n"}, command...)
		run := exec.CommandContext(ctx, "nsenter", args...)
		run.Stdin = strings.NewReader(stdin)
		if out, err := run.CombinedOutput(); err != nil {
			return fmt.Errorf("%s in the network namespace of node %s (needs root, nsenter and iptables on the engine's machine): %w: %s",
				command[0], n.Name, err, out)
		}
		return nil
	}
	if err := inside(rules, "iptables-restore", "--wait", "--noflush"); err != nil {
		return err
	}
	if inside("", "iptables", "--wait", "--check", "INPUT", "-j", chain) == nil {
		return nil
	}
	return inside("", "iptables", "--wait", "--insert", "INPUT", "-j", chain)
}
