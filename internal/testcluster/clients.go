package testcluster

import (
	"context"
	"fmt"
	"strings"
)

// CutClients closes the client port of nodes to everybody, also to CQL and CQLAt, on connections that are open too; the
// nodes go on talking to each other, and hold each other for up. With reject, connections are reset at once. Otherwise
// requests and answers vanish: what a client had sent before may have been applied, and it is not told.
func (c *Cluster) CutClients(ctx context.Context, nodes []*Node, reject bool) error {
	return c.change(ctx, nodes, func() {
		for _, n := range nodes {
			c.closed[n] = closing(reject)
		}
	})
}

// HealClients opens the client port of nodes again.
func (c *Cluster) HealClients(ctx context.Context, nodes []*Node) error {
	return c.change(ctx, nodes, func() {
		for _, n := range nodes {
			delete(c.closed, n)
		}
	})
}

// closing are the rules that close the client port.
func closing(reject bool) []string {
	if reject {
		return []string{fmt.Sprintf("-A %s -p tcp --dport %d -j REJECT --reject-with tcp-reset", chain, Port)}
	}
	return []string{
		fmt.Sprintf("-A %s -p tcp --dport %d -j DROP", chain, Port),
		fmt.Sprintf("-A %s -p tcp --sport %d -j DROP", chain, Port),
	}
}

// serves waits until n takes clients, or, where its client port is closed to us, until its log says that it would.
func (c *Cluster) serves(ctx context.Context, n *Node) error {
	c.mu.Lock()
	_, closed := c.closed[n]
	c.mu.Unlock()
	if !closed {
		return c.answers(ctx, n)
	}
	err := poll(ctx, viewInterval, func() (bool, error) {
		if err := n.running(ctx); err != nil {
			return false, err
		}
		log, err := n.log(ctx)
		return strings.Contains(log, "Startup complete"), err
	})
	if err != nil {
		return fmt.Errorf("waiting until node %s, whose client port is cut, has started: %w", n.Name, err)
	}
	return nil
}
