package testcluster

import (
	"context"
	"fmt"
	"strings"
)

// CutClients closes the client port of nodes to every client, including CQL and CQLAt, and on open connections too. The
// nodes still talk to each other and see each other as up. If reject is true, connections are reset immediately.
// Otherwise packets are dropped in both directions: Cassandra may have applied a request whose answer is lost.
func (c *Cluster) CutClients(ctx context.Context, nodes []*Node, reject bool) error {
	return c.updateFilters(ctx, nodes, func() {
		for _, n := range nodes {
			c.clientRules[n] = clientPortRules(reject)
		}
	})
}

// HealClients opens the client port of nodes again.
func (c *Cluster) HealClients(ctx context.Context, nodes []*Node) error {
	return c.updateFilters(ctx, nodes, func() {
		for _, n := range nodes {
			delete(c.clientRules, n)
		}
	})
}

// clientPortRules returns the iptables rules that close the client port.
func clientPortRules(reject bool) []string {
	if reject {
		return []string{fmt.Sprintf("-A %s -p tcp --dport %d -j REJECT --reject-with tcp-reset", chain, Port)}
	}
	return []string{
		fmt.Sprintf("-A %s -p tcp --dport %d -j DROP", chain, Port),
		fmt.Sprintf("-A %s -p tcp --sport %d -j DROP", chain, Port),
	}
}

// waitStarted waits until n answers CQL. If n's client port is closed, it waits until n's log says that it has started.
func (c *Cluster) waitStarted(ctx context.Context, n *Node) error {
	c.mu.Lock()
	_, closed := c.clientRules[n]
	c.mu.Unlock()
	if !closed {
		return c.waitCQL(ctx, n)
	}
	err := poll(ctx, logInterval, func() (bool, error) {
		if err := n.checkRunning(ctx); err != nil {
			return false, err
		}
		log, err := n.log(ctx)
		return strings.Contains(log, "Startup complete"), err
	})
	if err != nil {
		return fmt.Errorf("waiting until node %s, whose client port is closed, has started: %w", n.Name, err)
	}
	return nil
}
