package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gocql/gocql"
)

// board is the clockBoard in Cassandra, one table of a keyspace:
//
//	instance_clocks   board int, instance text, datacentre text, wrote bigint, heard frozen<map<text, bigint>>,
//	                  PRIMARY KEY (board, instance)
//
// All notices are in partition 0. One replica is enough to write to and to read from: an old notice only tells less.
type board struct {
	*Cassandra
	postCQL, noticesCQL string
}

var _ clockBoard = (*board)(nil)

// mostNotices bounds what is read, should somebody fill the table.
const mostNotices = 128

// ClockWatch watches clocks for an instance of this name, which no other has, and which metrics and logs will show.
func (c *Cassandra) ClockWatch(instance string, tools ClockTools) *ClockWatch {
	name := `"` + c.keyspace + `".instance_clocks`
	return newClockWatch(instance, c.datacentre, &board{
		Cassandra:  c,
		postCQL:    "UPDATE " + name + " USING TIMESTAMP ? AND TTL ? SET datacentre = ?, wrote = ?, heard = ? WHERE board = 0 AND instance = ?",
		noticesCQL: "SELECT instance, datacentre, wrote, heard FROM " + name + " WHERE board = 0 LIMIT ?",
	}, tools)
}

func (b *board) nodes() []string { return b.runner.coordinators.addresses() }

// clockCQL asks for the clock itself. now() would do, but for its timeuuids that never go back, whatever the clock does.
const clockCQL = "SELECT currentTimestamp() FROM system.local WHERE key = 'local'"

// clock is rounded to the middle of a millisecond, for Cassandra has cut off what is less.
func (b *board) clock(ctx context.Context, node string) (time.Time, error) {
	host := b.runner.coordinators.at(node)
	if host == nil {
		return time.Time{}, fmt.Errorf("node %s is not up", node)
	}
	var there time.Time
	err := b.session.Query(clockCQL).WithContext(context.WithValue(ctx, onlyKey{}, host)).Consistency(gocql.One).Scan(&there)
	return there.Add(time.Millisecond / 2), err
}

// boardPlan routes to the replicas of partition 0.
func boardPlan() plan { return plan{key: binary.BigEndian.AppendUint32(nil, 0)} }

func (b *board) post(ctx context.Context, n notice, timestamp int64) error {
	_, err := run(ctx, b.runner, boardPlan(), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, b.session.Query(b.postCQL, timestamp, seconds(noticeLife), n.datacentre, n.wrote, n.heard, n.instance).
			WithContext(ctx).Consistency(gocql.LocalOne).Exec()
	})
	return err
}

func (b *board) notices(ctx context.Context) ([]notice, error) {
	return run(ctx, b.runner, boardPlan(), func(ctx context.Context) ([]notice, error) {
		rows := b.session.Query(b.noticesCQL, mostNotices).WithContext(ctx).Consistency(gocql.LocalOne).Iter().Scanner()
		var all []notice
		for rows.Next() {
			var n notice
			if err := rows.Scan(&n.instance, &n.datacentre, &n.wrote, &n.heard); err != nil {
				return nil, err
			}
			all = append(all, n)
		}
		return all, rows.Err()
	})
}
