package testcluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxQueueing is how long a packet may wait for earlier packets on a shaped link of limited bandwidth. A packet that
// would wait longer is lost, as in a router whose buffer is full.
const maxQueueing = time.Second

// shaper delays the packets of one direction of a shaped link and limits their bandwidth, which all senders and
// receivers of that direction share.
type shaper struct {
	number        uint16 // of its netfilter queues, one in the network namespace of each receiver
	delay         time.Duration
	bitsPerSecond int // 0: no limit

	mu       sync.Mutex
	idleFrom time.Time // when the last accepted packet has been sent
}

// arrival returns when a packet of this size, sent now, arrives. Packets arrive in the order in which they were sent. It
// returns false if the packet is lost, because the link is congested.
func (s *shaper) arrival(now time.Time, bytes int) (time.Time, bool) {
	if s.bitsPerSecond == 0 {
		return now.Add(s.delay), true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idleFrom.Before(now) {
		s.idleFrom = now
	}
	if s.idleFrom.Sub(now) > maxQueueing {
		return time.Time{}, false
	}
	s.idleFrom = s.idleFrom.Add(time.Duration(bytes) * 8 * time.Second / time.Duration(s.bitsPerSecond))
	return s.idleFrom.Add(s.delay), true
}

// Shape delays the traffic of link by delay in each direction and limits each direction to bitsPerSecond (0: no limit),
// which all nodes of one side share. A round trip takes twice the delay, or the delay itself if link is OneWay. Packets
// that would wait for more than a second are lost.
//
// Shape only concerns the ports between nodes. It replaces an earlier shape of the same pair of nodes, stays across Kill
// and Start, and lasts until Unshape or HealAll; packets under way are then lost. It ignores Loss and Reject of link:
// Cut can cut the same link too.
//
// The kernels of test machines often have no netem. Therefore packets pass through a netfilter queue that this process
// reads, and the shape ends with this process.
func (c *Cluster) Shape(ctx context.Context, link Link, delay time.Duration, bitsPerSecond int) error {
	if delay < 0 || bitsPerSecond < 0 || delay == 0 && bitsPerSecond == 0 {
		return fmt.Errorf("shaping a link to a delay of %s and %d bit/s: neither may be negative, and one must be above 0; to end a shape use Unshape",
			delay, bitsPerSecond)
	}
	return c.updateFilters(ctx, receivers(link.directions()), func() {
		there, back := c.newShaper(delay, bitsPerSecond), c.newShaper(delay, bitsPerSecond)
		for _, d := range (Link{From: link.To, To: link.From, OneWay: true}).directions() {
			if !link.OneWay {
				c.shapers[d] = back
			}
		}
		for _, d := range (Link{From: link.From, To: link.To, OneWay: true}).directions() {
			c.shapers[d] = there
		}
	})
}

// Unshape ends every shape between the nodes of link.
func (c *Cluster) Unshape(ctx context.Context, link Link) error {
	return c.updateFilters(ctx, receivers(link.directions()), func() {
		for _, d := range link.directions() {
			delete(c.shapers, d)
		}
	})
}

// newShaper returns a shaper with the next number. The caller holds c.mu.
func (c *Cluster) newShaper(delay time.Duration, bitsPerSecond int) *shaper {
	c.lastShaper++
	return &shaper{number: c.lastShaper, delay: delay, bitsPerSecond: bitsPerSecond}
}

// openQueues opens the missing queues of the shapers that delay packets to n. The caller holds c.mu.
func (c *Cluster) openQueues(n *Node, pid int) error {
	if n.queuePID != pid { // n was restarted, and its former network namespace is gone
		if err := n.dropQueues(); err != nil {
			return err
		}
		n.queuePID, n.queues = pid, map[*shaper]*queue{}
	}
	for d, s := range c.shapers {
		if d.to != n || n.queues[s] != nil {
			continue
		}
		q, err := openQueue(pid, s)
		if err != nil {
			return fmt.Errorf("opening a netfilter queue in the network namespace of node %s (needs root, and NFQUEUE in the kernel): %w", n.Name, err)
		}
		n.queues[s] = q
	}
	return nil
}

// closeUnusedQueues closes the queues of n whose shaper no longer delays packets to n. The caller holds c.mu.
func (c *Cluster) closeUnusedQueues(n *Node) error {
	used := map[*shaper]bool{}
	for d, s := range c.shapers {
		used[s] = used[s] || d.to == n
	}
	var errs []error
	for s, q := range n.queues {
		if !used[s] {
			delete(n.queues, s)
			errs = append(errs, q.close())
		}
	}
	return errors.Join(errs...)
}

// closeQueues closes all queues of n.
func (n *Node) closeQueues() error {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.dropQueues()
}

// dropQueues closes all queues of n, which would keep its network namespace alive. The caller holds the cluster's mu.
func (n *Node) dropQueues() error {
	var errs []error
	for _, q := range n.queues {
		errs = append(errs, q.close())
	}
	n.queues, n.queuePID = nil, 0
	return errors.Join(errs...)
}
