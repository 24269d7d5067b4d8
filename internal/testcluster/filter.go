package testcluster

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

const (
	// chain holds our rules in a node's network namespace, and nothing else. It sees what comes in and what goes out:
	// each rule names an address or a port that only one of the two can have.
	chain = "USERINFO-CUT"
	// internodePorts are those between nodes: plain and TLS.
	internodePorts = "7000,7001"
)

// change changes what is to hold, and then makes it so at nodes.
func (c *Cluster) change(ctx context.Context, nodes []*Node, apply func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	apply()
	return each(nodes, func(n *Node) error { return c.obey(ctx, n) })
}

// enforce makes what is to hold so at n, after n got a network namespace anew.
func (c *Cluster) enforce(ctx context.Context, n *Node) error {
	return c.change(ctx, []*Node{n}, func() {})
}

// obey brings n's queues and filter in line with the cuts and lines. A node that does not run has no network namespace;
// Start comes back. The caller holds c.mu; several nodes may obey at once.
func (c *Cluster) obey(ctx context.Context, n *Node) error {
	state, err := n.state(ctx)
	if err != nil || !state.Running {
		return err
	}
	if err := c.openQueues(n, state.Pid); err != nil {
		return err
	}
	if err := n.filter(ctx, state.Pid, c.rules(n)); err != nil {
		return err
	}
	return c.closeQueues(n)
}

// rules is the whole of n's chain: first what is cut, then what is slow. The caller holds c.mu.
func (c *Cluster) rules(n *Node) string {
	var cuts, lines []string
	for p, how := range c.cuts {
		if p.to == n {
			cuts = append(cuts, fmt.Sprintf("-A %s -s %s -p tcp -m multiport %s", chain, p.from.Address, how))
		}
	}
	for p, l := range c.lines {
		if p.to == n {
			// bypass: where nobody reads the queue, packets pass, so that a drill that died leaves no node cut off.
			lines = append(lines, fmt.Sprintf("-A %s -s %s -p tcp -m multiport --ports %s -j NFQUEUE --queue-num %d --queue-bypass",
				chain, p.from.Address, internodePorts, l.number))
		}
	}
	slices.Sort(cuts)
	slices.Sort(lines)
	all := slices.Concat([]string{"*filter", ":" + chain + " - [0:0]"}, cuts, c.closed[n], lines, []string{"COMMIT", ""})
	return strings.Join(all, "\n")
}

// filter replaces n's chain at one stroke, and makes sure that what comes in and goes out passes it. Neither image has
// iptables, so it is this machine's, inside the network namespace of the node.
func (n *Node) filter(ctx context.Context, pid int, rules string) error {
	inside := func(stdin string, command ...string) error {
		args := append([]string{"-t", strconv.Itoa(pid), "-n"}, command...)
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
	for _, way := range []string{"INPUT", "OUTPUT"} {
		if inside("", "iptables", "--wait", "--check", way, "-j", chain) == nil {
			continue
		}
		if err := inside("", "iptables", "--wait", "--insert", way, "-j", chain); err != nil {
			return err
		}
	}
	return nil
}
