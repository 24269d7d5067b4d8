package testcluster

import (
	"context"
	"fmt"
)

// boot starts the first node, and when it answers, all other nodes at the same time. This is the fastest order in which
// the nodes always form one ring.
func (c *Cluster) boot(ctx context.Context, opts Options) error {
	var err error
	if c.image, c.command, err = findImage(ctx, c.docker); err != nil {
		return err
	}
	c.addNodes()
	first := c.all()[0]
	if err := c.create(ctx, first); err != nil {
		return err
	}
	if err := c.retry(ctx, first, func() error {
		_, err := c.query(ctx, defaultSuperuser, first, "ONE", "SELECT key FROM system.local")
		return err
	}); err != nil {
		return err
	}
	if err := forEach(c.all()[1:], func(n *Node) error { return c.create(ctx, n) }); err != nil {
		return err
	}
	if err := c.WaitAllUp(ctx); err != nil {
		return err
	}
	if err := c.createRoles(ctx, opts); err != nil {
		return err
	}
	return forEach(c.all(), func(n *Node) error { return c.waitCQL(ctx, n) })
}

// addNodes names the nodes of every datacentre and gives them addresses.
func (c *Cluster) addNodes() {
	var nodes []*Node
	for _, dc := range c.opts.Datacentres {
		for i := range c.opts.NodesPerDC {
			nodes = append(nodes, &Node{Name: fmt.Sprintf("%s-%d", dc, i+1), Datacentre: dc, Address: c.newAddress(), cluster: c})
		}
	}
	c.updateNodes(func([]*Node) []*Node { return nodes })
}
