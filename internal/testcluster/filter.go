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
	// chain is the iptables chain, in a node's network namespace, that contains our rules and nothing else. INPUT and
	// OUTPUT both jump to it. Every rule names an address or a port that occurs in one of the two directions only.
	chain = "USERINFO-CUT"
	// internodePorts are the ports between nodes: plain and TLS.
	internodePorts = "7000,7001"
)

// updateFilters calls update, which changes what is cut or shaped, and then applies the new state to nodes.
func (c *Cluster) updateFilters(ctx context.Context, nodes []*Node, update func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	update()
	return forEach(nodes, func(n *Node) error { return c.applyFilter(ctx, n) })
}

// reapplyFilter applies the current state to n, which has a new network namespace after a start.
func (c *Cluster) reapplyFilter(ctx context.Context, n *Node) error {
	return c.updateFilters(ctx, []*Node{n}, func() {})
}

// applyFilter makes n's queues and iptables rules agree with the current cuts and shapers. It does nothing if n does not
// run; Start calls it again. The caller holds c.mu. It may run for several nodes at the same time.
func (c *Cluster) applyFilter(ctx context.Context, n *Node) error {
	state, err := n.state(ctx)
	if err != nil || !state.Running {
		return err
	}
	if err := c.openQueues(n, state.Pid); err != nil {
		return err
	}
	if err := n.loadRules(ctx, state.Pid, c.rules(n)); err != nil {
		return err
	}
	return c.closeUnusedQueues(n)
}

// rules returns the content of n's chain for iptables-restore. Cuts come before shapers. The caller holds c.mu.
func (c *Cluster) rules(n *Node) string {
	var cuts, shapes []string
	for d, cut := range c.cuts {
		if d.to == n {
			cuts = append(cuts, fmt.Sprintf("-A %s -s %s -p tcp -m multiport %s", chain, d.from.Address, cut))
		}
	}
	for d, s := range c.shapers {
		if d.to == n {
			// With queue-bypass, packets pass when no process reads the queue, for example after a drill was killed.
			shapes = append(shapes, fmt.Sprintf("-A %s -s %s -p tcp -m multiport --ports %s -j NFQUEUE --queue-num %d --queue-bypass",
				chain, d.from.Address, internodePorts, s.number))
		}
	}
	slices.Sort(cuts)
	slices.Sort(shapes)
	all := slices.Concat([]string{"*filter", ":" + chain + " - [0:0]"}, cuts, c.clientRules[n], shapes, []string{"COMMIT", ""})
	return strings.Join(all, "\n")
}

// loadRules replaces n's chain in one step and makes INPUT and OUTPUT jump to it. It runs this machine's iptables in
// the node's network namespace, because the images contain none.
func (n *Node) loadRules(ctx context.Context, pid int, rules string) error {
	runInside := func(stdin string, command ...string) error {
		args := append([]string{"-t", strconv.Itoa(pid), "-n"}, command...)
		run := exec.CommandContext(ctx, "nsenter", args...)
		run.Stdin = strings.NewReader(stdin)
		if out, err := run.CombinedOutput(); err != nil {
			return fmt.Errorf("%s in the network namespace of node %s (needs root, nsenter and iptables on the engine's machine): %w: %s",
				command[0], n.Name, err, out)
		}
		return nil
	}
	if err := runInside(rules, "iptables-restore", "--wait", "--noflush"); err != nil {
		return err
	}
	for _, builtIn := range []string{"INPUT", "OUTPUT"} {
		if runInside("", "iptables", "--wait", "--check", builtIn, "-j", chain) == nil {
			continue
		}
		if err := runInside("", "iptables", "--wait", "--insert", builtIn, "-j", chain); err != nil {
			return err
		}
	}
	return nil
}
