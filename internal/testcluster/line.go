package testcluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// lineBacklog bounds how long a packet may wait for those before it to go out on a line of limited bandwidth, as the
// buffer of a router does; what would wait longer is lost.
const lineBacklog = time.Second

// line is one direction of a shaped link. All its senders and receivers share its bandwidth.
type line struct {
	number        uint16 // of the queue that its packets wait in, in the namespace of each receiver
	delay         time.Duration
	bitsPerSecond int // 0: no limit

	mu   sync.Mutex
	free time.Time // when the last packet taken has gone out
}

// due is when a packet that comes now arrives. It never comes before one taken earlier. false: the line is congested, and
// the packet is lost.
func (l *line) due(now time.Time, bytes int) (time.Time, bool) {
	if l.bitsPerSecond == 0 {
		return now.Add(l.delay), true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free.Before(now) {
		l.free = now
	}
	if l.free.Sub(now) > lineBacklog {
		return time.Time{}, false
	}
	l.free = l.free.Add(time.Duration(bytes) * 8 * time.Second / time.Duration(l.bitsPerSecond))
	return l.free.Add(l.delay), true
}

// Shape makes whatever the nodes of link send to each other on the ports between nodes arrive late by delay, and lets
// through at most bitsPerSecond (0: no limit) in each direction, all the nodes of a side together; what would have to wait
// for more than a second is lost. delay is one way: a round trip takes twice that, or once where link is OneWay. A pair
// of nodes shaped anew is shaped in the new way only. It holds across Kill and Start, until Unshape or HealAll; what is on
// its way when it ends is lost. Loss and Reject of link mean nothing here: Cut can cut the same link besides.
//
// Packets reach their node through a netfilter queue that this process reads, for want of netem. So it ends with this
// process, as if by Unshape.
func (c *Cluster) Shape(ctx context.Context, link Link, delay time.Duration, bitsPerSecond int) error {
	if delay < 0 || bitsPerSecond < 0 || delay == 0 && bitsPerSecond == 0 {
		return fmt.Errorf("shaping a link to a delay of %s and %d bit/s: neither may be negative, and one must be above 0; to take a shape back use Unshape",
			delay, bitsPerSecond)
	}
	return c.change(ctx, receivers(link.pairs()), func() {
		there, back := c.newLine(delay, bitsPerSecond), c.newLine(delay, bitsPerSecond)
		for _, p := range (Link{From: link.To, To: link.From, OneWay: true}).pairs() {
			if !link.OneWay {
				c.lines[p] = back
			}
		}
		for _, p := range (Link{From: link.From, To: link.To, OneWay: true}).pairs() {
			c.lines[p] = there
		}
	})
}

// Unshape lets the nodes of link speak to each other at full speed again, whichever call of Shape slowed them.
func (c *Cluster) Unshape(ctx context.Context, link Link) error {
	return c.change(ctx, receivers(link.pairs()), func() {
		for _, p := range link.pairs() {
			delete(c.lines, p)
		}
	})
}

// newLine numbers lines from 1, in turn. The caller holds c.mu.
func (c *Cluster) newLine(delay time.Duration, bitsPerSecond int) *line {
	c.lastLine++
	return &line{number: c.lastLine, delay: delay, bitsPerSecond: bitsPerSecond}
}

// openQueues opens those queues that packets for n are to wait in and that are not open. The caller holds c.mu.
func (c *Cluster) openQueues(n *Node, pid int) error {
	if n.queuesOf != pid { // the process that had them is gone, and its network namespace with it
		if err := n.dropQueues(); err != nil {
			return err
		}
		n.queuesOf, n.queues = pid, map[*line]*queue{}
	}
	for p, l := range c.lines {
		if p.to != n || n.queues[l] != nil {
			continue
		}
		q, err := openQueue(pid, l)
		if err != nil {
			return fmt.Errorf("opening a netfilter queue in the network namespace of node %s (needs root, and NFQUEUE in the kernel): %w", n.Name, err)
		}
		n.queues[l] = q
	}
	return nil
}

// closeQueues closes those queues of n that no packet waits in any more. The caller holds c.mu.
func (c *Cluster) closeQueues(n *Node) error {
	used := map[*line]bool{}
	for p, l := range c.lines {
		used[l] = used[l] || p.to == n
	}
	var errs []error
	for l, q := range n.queues {
		if !used[l] {
			delete(n.queues, l)
			errs = append(errs, q.close())
		}
	}
	return errors.Join(errs...)
}

// unqueue is dropQueues for those who do not hold the cluster's mu.
func (n *Node) unqueue() error {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.dropQueues()
}

// dropQueues closes all queues of n: they would keep its network namespace. The caller holds the cluster's mu.
func (n *Node) dropQueues() error {
	var errs []error
	for _, q := range n.queues {
		errs = append(errs, q.close())
	}
	n.queues, n.queuesOf = nil, 0
	return errors.Join(errs...)
}
