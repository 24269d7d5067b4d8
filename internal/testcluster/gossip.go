package testcluster

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

const (
	pollInterval = 200 * time.Millisecond
	// logInterval is the time between two readings of a node's log, which costs more. Gossip takes seconds.
	logInterval = time.Second
)

// WaitUp waits until observer sees subject as up: since the last start of either, the newest message about subject in
// observer's log says that it is up. A node whose absence was too short to be noticed counts as up.
func (c *Cluster) WaitUp(ctx context.Context, observer, subject *Node) error {
	return waitPeers(ctx, observer, []*Node{subject}, true)
}

// WaitDown waits until observer sees subject as down. With Cassandra's defaults this takes 10 to 20 s of silence. Nodes
// also learn about each other from third nodes: if only the link between two nodes is cut, neither sees the other as
// down.
func (c *Cluster) WaitDown(ctx context.Context, observer, subject *Node) error {
	return waitPeers(ctx, observer, []*Node{subject}, false)
}

// WaitAllUp waits until every node sees every other node as up.
func (c *Cluster) WaitAllUp(ctx context.Context) error {
	return forEach(c.all(), func(observer *Node) error { return waitPeers(ctx, observer, c.Others(observer), true) })
}

// waitPeers waits until observer sees all subjects as up, or all as down.
func waitPeers(ctx context.Context, observer *Node, subjects []*Node, up bool) error {
	var waitFor []string
	err := poll(ctx, logInterval, func() (bool, error) {
		states, err := observer.peerStates(ctx)
		if err != nil {
			return false, err
		}
		waitFor = nil
		for _, subject := range subjects {
			started, err := subject.startTime(ctx)
			if err != nil {
				return false, err
			}
			if last := states[subject.Address]; (last.up && last.at.After(started)) != up {
				waitFor = append(waitFor, subject.Name)
			}
		}
		if up && len(waitFor) > 0 {
			err = forEach(append(subjects, observer), func(n *Node) error { return n.checkRunning(ctx) })
		}
		return len(waitFor) == 0, err
	})
	if err != nil {
		word := map[bool]string{true: "up", false: "down"}[up]
		return fmt.Errorf("waiting until node %s sees %s as %s: %w", observer.Name, strings.Join(waitFor, ", "), word, err)
	}
	return nil
}

// peerState is the newest message about a peer in a node's log.
type peerState struct {
	up bool
	at time.Time
}

// peerStateLine matches what Cassandra 5.0's Gossiper logs at INFO. A "FatClient" is a peer that it removes. The
// address has a host name before it once Cassandra has looked the name up, for example for system_views.gossip_info.
var peerStateLine = regexp.MustCompile(`(?m)^(\S+) .*(?:InetAddress|FatClient) [^ /]*/([0-9.]+):[0-9]+ (is now UP|is now DOWN|has been silent)`)

// peerStates returns how n sees its peers, by their addresses. It reads n's log since the last start, because Cassandra
// exposes the state of its failure detector over JMX only, but logs every change.
func (n *Node) peerStates(ctx context.Context) (map[string]peerState, error) {
	log, err := n.log(ctx)
	if err != nil {
		return nil, err
	}
	states, err := parsePeerStates(log)
	if err != nil {
		return nil, fmt.Errorf("reading the log of node %s: %w", n.Name, err)
	}
	return states, nil
}

// parsePeerStates returns the newest state of each peer in a log, by the peer's address.
func parsePeerStates(log string) (map[string]peerState, error) {
	states := map[string]peerState{}
	for _, match := range peerStateLine.FindAllStringSubmatch(log, -1) {
		at, err := time.Parse(time.RFC3339Nano, match[1])
		if err != nil {
			return nil, err
		}
		states[match[2]] = peerState{up: match[3] == "is now UP", at: at}
	}
	return states, nil
}

// poll calls done at this interval until it returns true or an error, or until ctx ends.
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
