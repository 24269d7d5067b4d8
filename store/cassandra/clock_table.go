package cassandra

import (
	"context"
	"fmt"
	"time"

	"github.com/gocql/gocql"

	"userinfo/store/cassandra/coordinator"
	"userinfo/store/clockskew"
)

// maxHeartbeats limits how many heartbeats are read, in case someone fills the table.
const maxHeartbeats = 128

// timeCQL reads a node's clock. It does not use now(): Cassandra's time-based UUIDs never go back, even if the clock does.
const timeCQL = "SELECT currentTimestamp() FROM system.local WHERE key = 'local'"

// ClockTable holds the heartbeats of all instances, and reads the clocks of nodes. Each keyspace has one table:
//
//	instance_clocks   board int, instance text, datacentre text, wrote bigint, heard frozen<map<text, bigint>>,
//	                  PRIMARY KEY (board, instance)
//
// All heartbeats are in partition 0. They are written and read at LOCAL_ONE: an old heartbeat does no harm, it only says
// less. Errors of heartbeats wrap store.ErrUnavailable.
type ClockTable struct {
	driver            *gocql.Session
	runner            *coordinator.Runner
	writeCQL, listCQL string
}

func newClockTable(driver *gocql.Session, r *coordinator.Runner, keyspace string) *ClockTable {
	name := quoteName(keyspace, "instance_clocks")
	return &ClockTable{
		driver: driver, runner: r,
		writeCQL: "UPDATE " + name + " USING TIMESTAMP ? AND TTL ? SET datacentre = ?, wrote = ?, heard = ? WHERE board = 0 AND instance = ?",
		listCQL:  "SELECT instance, datacentre, wrote, heard FROM " + name + " WHERE board = 0 LIMIT ?",
	}
}

var _ clockskew.Table = (*ClockTable)(nil)

// Nodes returns the IP addresses of the local nodes that are up, sorted as text.
func (t *ClockTable) Nodes() []string { return t.runner.Addresses() }

// NodeTime asks one node, and no other, for its time. Cassandra cuts the time off to milliseconds, so NodeTime returns the
// middle of that millisecond.
func (t *ClockTable) NodeTime(ctx context.Context, address string) (time.Time, error) {
	ctx, err := t.runner.WithNode(ctx, address)
	if err != nil {
		return time.Time{}, err
	}
	var now time.Time
	if err := t.driver.Query(timeCQL).WithContext(ctx).Consistency(gocql.One).Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("reading the clock of node %s: %w", address, err)
	}
	return now.Add(time.Millisecond / 2), nil
}

// heartbeatPolicy returns the policy for the partition of all heartbeats, at LOCAL_ONE.
func heartbeatPolicy() coordinator.CallPolicy {
	p := intPolicy(0)
	p.Kind = coordinator.OneNode
	return p
}

// WriteHeartbeat replaces the heartbeat of h.Instance. timestamp is the write timestamp in µs. The heartbeat expires
// after ttl. h.Offsets must not be modified after WriteHeartbeat has returned, because an attempt that was cancelled may
// still read it.
func (t *ClockTable) WriteHeartbeat(ctx context.Context, h clockskew.Heartbeat, timestamp int64, ttl time.Duration) error {
	_, err := run(ctx, t.runner, heartbeatPolicy(), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, t.driver.Query(t.writeCQL, timestamp, seconds(ttl), h.Datacentre, h.Written, h.Offsets, h.Instance).
			WithContext(ctx).Consistency(gocql.LocalOne).Exec()
	})
	return err
}

// Heartbeats returns the heartbeats of all instances, at most 128. Some may be old, and some may be missing.
func (t *ClockTable) Heartbeats(ctx context.Context) ([]clockskew.Heartbeat, error) {
	return run(ctx, t.runner, heartbeatPolicy(), func(ctx context.Context) ([]clockskew.Heartbeat, error) {
		rows := t.driver.Query(t.listCQL, maxHeartbeats).WithContext(ctx).Consistency(gocql.LocalOne).Iter().Scanner()
		var all []clockskew.Heartbeat
		for rows.Next() {
			var h clockskew.Heartbeat
			if err := rows.Scan(&h.Instance, &h.Datacentre, &h.Written, &h.Offsets); err != nil {
				return nil, err
			}
			all = append(all, h)
		}
		return all, rows.Err()
	})
}
