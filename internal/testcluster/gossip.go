package testcluster

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

const (
	// pollInterval is for questions that cost next to nothing.
	pollInterval = 200 * time.Millisecond
	// viewInterval is for reading a node's log: often enough beside the seconds that gossip takes.
	viewInterval = time.Second
)

// WaitUp waits until observer holds subject for up: it has said so since both were last started, and nothing else
// after it. A node that was paused or cut off too shortly to be missed has been up all the time.
func (c *Cluster) WaitUp(ctx context.Context, observer, subject *Node) error {
	return waitView(ctx, observer, []*Node{subject}, true)
}

// WaitDown waits until observer holds subject for down; with Cassandra's defaults that takes 10 to 20 s of silence.
// News of a node travel through third nodes too: of two nodes that are cut from each other alone, neither is ever
// down to the other.
func (c *Cluster) WaitDown(ctx context.Context, observer, subject *Node) error {
	return waitView(ctx, observer, []*Node{subject}, false)
}

// WaitAllUp waits until every node holds every other for up.
func (c *Cluster) WaitAllUp(ctx context.Context) error {
	return each(c.nodes, func(observer *Node) error { return waitView(ctx, observer, c.Others(observer), true) })
}

func waitView(ctx context.Context, observer *Node, subjects []*Node, up bool) error {
	var waitFor []string
	err := poll(ctx, viewInterval, func() (bool, error) {
		held, err := observer.view(ctx)
		if err != nil {
			return false, err
		}
		waitFor = nil
		for _, subject := range subjects {
			started, err := subject.started(ctx)
			if err != nil {
				return false, err
			}
			if last := held[subject.Address]; (last.up && last.at.After(started)) != up {
				waitFor = append(waitFor, subject.Name)
			}
		}
		if up && len(waitFor) > 0 {
			err = each(append(subjects, observer), func(n *Node) error { return n.running(ctx) })
		}
		return len(waitFor) == 0, err
	})
	if err != nil {
		word := map[bool]string{true: "up", false: "down"}[up]
		return fmt.Errorf("waiting until %s holds %s for %s: %w", observer.Name, strings.Join(waitFor, ", "), word, err)
	}
	return nil
}

// opinion is what a node said last about a peer.
type opinion struct {
	up bool
	at time.Time
}

// mindChange matches what Cassandra 5.0's Gossiper writes at INFO. A "FatClient" is a peer that it forgets.
var mindChange = regexp.MustCompile(`(?m)^(\S+) .*(?:InetAddress|FatClient) /([0-9.]+):[0-9]+ (is now UP|is now DOWN|has been silent)`)

// view reads n's log since its last start: Cassandra tells over JMX alone what its failure detector thinks of a peer,
// but writes down every change of mind.
func (n *Node) view(ctx context.Context) (map[string]opinion, error) {
	log, err := n.log(ctx)
	if err != nil {
		return nil, err
	}
	view, err := opinions(log)
	if err != nil {
		return nil, fmt.Errorf("reading the log of node %s: %w", n.Name, err)
	}
	return view, nil
}

// opinions are the last ones in a log, by the peer's address.
func opinions(log string) (map[string]opinion, error) {
	view := map[string]opinion{}
	for _, match := range mindChange.FindAllStringSubmatch(log, -1) {
		at, err := time.Parse(time.RFC3339Nano, match[1])
		if err != nil {
			return nil, err
		}
		view[match[2]] = opinion{up: match[3] == "is now UP", at: at}
	}
	return view, nil
}

// poll asks until done is true or fails, or ctx ends.
func poll(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
