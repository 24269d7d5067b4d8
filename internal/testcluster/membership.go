package testcluster

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/client"
)

// Options of the JVM of a node that joins a ring with data.
const (
	// This ring delay is longer than that for the first nodes. With theirs, a node on a slow machine could join before it knows
	// the schema, and stream too little.
	joinOptions = "-Dcassandra.ring_delay_ms=15000"
	// A replacement waits until it is sure that the dead node is dead: by default 60 s and 30 s. The address of the dead node
	// follows this text.
	replaceOptions = joinOptions + " -Dcassandra.broadcast_interval_ms=10000 -Dcassandra.schema_delay_ms=8000 -Dcassandra.replace_address_first_boot="
)

// AddNode adds a node to a datacentre. It returns when the node has streamed its data and answers CQL.
func (c *Cluster) AddNode(ctx context.Context, dc string) (*Node, error) {
	n := c.newNode(dc)
	if err := c.join(ctx, n); err != nil {
		return nil, fmt.Errorf("adding a node to %s: %w", dc, err)
	}
	c.updateNodes(func(nodes []*Node) []*Node { return append(nodes, n) })
	return n, nil
}

// AddDatacentre adds a datacentre with one node, which has no data. It returns when all nodes see each other as up. The new
// node answers CQL once system_auth is replicated to its datacentre and rebuilt there: until then it cannot read any role.
func (c *Cluster) AddDatacentre(ctx context.Context, dc string) (*Node, error) {
	n := &Node{Name: dc + "-1", Datacentre: dc, Address: c.newAddress(), cluster: c}
	if err := c.create(ctx, n); err != nil {
		return nil, fmt.Errorf("adding datacentre %s: %w", dc, err)
	}
	c.updateNodes(func(nodes []*Node) []*Node { return append(nodes, n) })
	return n, n.inIdleTime(ctx, func() error { return c.WaitAllUp(ctx) })
}

// ReplaceNode replaces a node that was killed by a new node with another name and address, which takes its place in the
// ring and in Nodes. It returns when the new node has streamed its data and answers CQL. The first node of a datacentre
// cannot be replaced, because it is a seed.
func (c *Cluster) ReplaceNode(ctx context.Context, dead *Node) (*Node, error) {
	n := c.newNode(dead.Datacentre)
	n.replaces = dead.Address
	if err := c.join(ctx, n); err != nil {
		return nil, fmt.Errorf("replacing node %s: %w", dead.Name, err)
	}
	return n, c.forget(ctx, dead, n)
}

// RemoveNode makes a node leave the ring, which streams its data to others (nodetool decommission), and removes it. The
// datacentre must keep as many nodes as it has replicas.
func (c *Cluster) RemoveNode(ctx context.Context, n *Node) error {
	if _, err := n.Nodetool(ctx, "decommission"); err != nil {
		return err
	}
	return c.forget(ctx, n)
}

// RemoveDeadNode removes a node that was killed from the ring (nodetool removenode), and its data. No keyspace may need its
// replicas. The other nodes must see it as down.
func (c *Cluster) RemoveDeadNode(ctx context.Context, dead *Node) error {
	live := c.Others(dead)[0]
	row, err := c.CQLAt(ctx, live, "ONE", fmt.Sprintf("SELECT host_id FROM system.peers WHERE peer = '%s'", dead.Address))
	if err != nil {
		return err
	}
	id, _ := strings.CutPrefix(strings.TrimSpace(row), "host_id=")
	if _, err := live.Nodetool(ctx, "removenode", id); err != nil {
		return err
	}
	return c.forget(ctx, dead)
}

// ChangeAddress gives a node that was terminated or killed a new address and a certificate for it, and starts it again
// with its data. It returns the node as it is now, which takes the place of n in Nodes, when it answers CQL.
func (c *Cluster) ChangeAddress(ctx context.Context, n *Node) (*Node, error) {
	moved := &Node{Name: n.Name, Datacentre: n.Datacentre, Address: c.newAddress(), cluster: c, id: n.id}
	if err := moved.connect(ctx); err != nil {
		return nil, fmt.Errorf("changing the address of node %s: %w", n.Name, err)
	}
	c.updateNodes(func(nodes []*Node) []*Node { return replaced(nodes, n, moved) })
	files, err := c.configFiles(moved) // names the seeds; moved may be a seed
	if err != nil {
		return nil, err
	}
	for name, content := range files {
		if err := moved.writeFile(ctx, configDir+name, content); err != nil {
			return nil, fmt.Errorf("changing the address of node %s: %w", n.Name, err)
		}
	}
	return moved, moved.Start(ctx)
}

// connect connects n's container, which does not run, to the run's network at n's address.
func (n *Node) connect(ctx context.Context) error {
	address, err := netip.ParseAddr(n.Address)
	if err != nil {
		return err
	}
	docker, network := n.cluster.docker, n.cluster.run.name
	if _, err := docker.NetworkDisconnect(ctx, network, client.NetworkDisconnectOptions{Container: n.id, Force: true}); err != nil {
		return err
	}
	_, err = docker.NetworkConnect(ctx, network, client.NetworkConnectOptions{Container: n.id, EndpointConfig: endpoint(address)})
	return err
}

// newNode returns a node of a datacentre that is to join a ring with data. Its name is new in this run.
func (c *Cluster) newNode(dc string) *Node {
	address := c.newAddress()
	return &Node{Name: fmt.Sprintf("%s-%d", dc, c.addresses.Load()), Datacentre: dc, Address: address, cluster: c, joins: true}
}

// join starts a new node and waits until it answers CQL.
func (c *Cluster) join(ctx context.Context, n *Node) error {
	if err := c.create(ctx, n); err != nil {
		return err
	}
	return n.inIdleTime(ctx, func() error { return c.waitCQL(ctx, n) })
}

// forget removes a node that has left the ring, with its data, and puts others in its place.
func (c *Cluster) forget(ctx context.Context, n *Node, others ...*Node) error {
	c.updateNodes(func(nodes []*Node) []*Node { return replaced(nodes, n, others...) })
	if err := n.closeQueues(); err != nil {
		return err
	}
	if _, err := c.docker.ContainerRemove(ctx, n.id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
		return fmt.Errorf("removing node %s: %w", n.Name, err)
	}
	return nil
}

// replaced returns a copy of nodes with others in the place of n.
func replaced(nodes []*Node, n *Node, others ...*Node) []*Node {
	i := slices.Index(nodes, n)
	return slices.Replace(slices.Clone(nodes), i, i+1, others...)
}
