package schema

import (
	"context"
	"fmt"
	"time"
)

const (
	// pollInterval is the pause between two reads of the nodes' schema versions.
	pollInterval = 200 * time.Millisecond
	// maxSilence is how long the heartbeat of a live node may stay the same. Each node increases its own every second, and
	// gossip brings it to all other nodes within a few seconds.
	maxSilence = 5 * time.Second
	// maxWaitNoHeartbeats is how long a change waits for a node if the heartbeats cannot be read.
	maxWaitNoHeartbeats = 10 * time.Second
	// maxWait is how long a change waits for a node that is up.
	maxWait = time.Minute
)

// agreement waits until the live nodes have a change of the schema: until they have the schema version of the node that
// answers. It waits at most once for a node that turns out to be down.
type agreement struct {
	db         DB
	heartbeats map[string]heartbeat // by address
	absent     map[string]string    // why wait does not wait for a node, by address

	noHeartbeats bool // Cassandra has no table of heartbeats, or the role may not read it
}

// heartbeat is the newest heartbeat of a node.
type heartbeat struct {
	generation, count int
	since             time.Time // when it was first seen
}

func newAgreement(db DB) *agreement {
	return &agreement{db: db, heartbeats: map[string]heartbeat{}, absent: map[string]string{}}
}

// wait returns when all live nodes have the schema of the node that answers. While it waits, it calls report with the live
// nodes that do not have it. It returns the other nodes that do not have it, each with the reason.
func (a *agreement) wait(ctx context.Context, report func([]string)) (missing []string, err error) {
	for began := time.Now(); ; {
		nodes, err := readNodes(ctx, a.db)
		if err != nil {
			return nil, err
		}
		if err := a.readHeartbeats(ctx); err != nil {
			return nil, err
		}
		awaited, missing := a.split(nodes, time.Since(began))
		if len(awaited) == 0 {
			return missing, nil
		}
		report(awaited)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

// split divides the nodes that do not have the schema of the first node: into the nodes that wait waits for, and the nodes
// that it does not wait for, each with the reason. waited is the time since the change.
func (a *agreement) split(nodes []node, waited time.Duration) (awaited, missing []string) {
	for _, n := range nodes {
		if n.version == nodes[0].version {
			delete(a.absent, n.address)
			continue
		}
		if a.absent[n.address] == "" {
			a.absent[n.address] = a.whyAbsent(n, waited)
		}
		if why := a.absent[n.address]; why != "" {
			missing = append(missing, n.String()+", "+why)
		} else {
			awaited = append(awaited, n.String())
		}
	}
	return awaited, missing
}

// whyAbsent returns why wait does not wait for a node any more, or an empty string if it waits.
func (a *agreement) whyAbsent(n node, waited time.Duration) string {
	const returns = "; it gets the schema when it returns"
	beat, known := a.heartbeats[n.address]
	switch {
	case a.noHeartbeats && waited >= maxWaitNoHeartbeats:
		return fmt.Sprintf("which did not get the schema within %v and is probably down", maxWaitNoHeartbeats) + returns
	case !a.noHeartbeats && (known && time.Since(beat.since) >= maxSilence || !known && waited >= maxSilence):
		return "which is down" + returns
	case waited >= maxWait:
		return fmt.Sprintf("which is up but did not get the schema within %v: read its log", maxWait)
	}
	return ""
}

// readHeartbeats updates the heartbeats. Versions before 5.0 may not have the table.
func (a *agreement) readHeartbeats(ctx context.Context) error {
	if a.noHeartbeats {
		return nil
	}
	rows, err := a.db.Query(ctx, `SELECT CAST(address AS text) AS address, generation, heartbeat FROM system_views.gossip_info`)
	if isUnauthorized(err) || hasCode(err, codeInvalid) {
		a.noHeartbeats = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the heartbeats of the nodes: %w", err)
	}
	for _, values := range rows {
		r := row{values: values}
		address := get[string](&r, "address")
		beat := heartbeat{get[int](&r, "generation"), get[int](&r, "heartbeat"), a.heartbeats[address].since}
		if r.err != nil {
			return fmt.Errorf("reading the heartbeats of the nodes: %w", r.err)
		}
		if beat != a.heartbeats[address] {
			beat.since = time.Now()
			a.heartbeats[address] = beat
		}
	}
	return nil
}
