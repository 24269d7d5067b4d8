package store

import (
	"context"
	"time"
)

// Heartbeat is what an instance tells the others about clocks. Times are in µs.
type Heartbeat struct {
	// Instance is the name of the instance, and Datacentre its datacentre.
	Instance   string
	Datacentre string
	// Written is the time since 1970 at which it was written, by the clock of the instance.
	Written int64
	// Offsets has, for each other instance, the smallest recent difference between this instance's clock when it read a
	// heartbeat and the other's clock when it wrote the heartbeat.
	Offsets map[string]int64
}

// HeartbeatTable is where instances exchange heartbeats, and where the clocks of Cassandra's local nodes can be read.
// store/cassandra implements it.
type HeartbeatTable interface {
	// Nodes returns the addresses of the local nodes that are up.
	Nodes() []string
	// NodeTime asks one node, and no other, for its time.
	NodeTime(ctx context.Context, node string) (time.Time, error)
	// WriteHeartbeat replaces the heartbeat of an instance. It expires after ttl. timestamp is the write timestamp in µs.
	WriteHeartbeat(ctx context.Context, h Heartbeat, timestamp int64, ttl time.Duration) error
	// Heartbeats returns the heartbeats of all instances. Some may be old, and some may be missing.
	Heartbeats(ctx context.Context) ([]Heartbeat, error)
}

// NewClockWatch returns a ClockWatch for the instance of this name. No other instance may have the name; metrics and
// logs show it.
func NewClockWatch(instance, datacentre string, t HeartbeatTable, tools ClockTools) *ClockWatch {
	return newClockWatch(instance, datacentre, boardOf{t}, tools)
}

// boardOf is a HeartbeatTable as a clockBoard.
type boardOf struct{ table HeartbeatTable }

var _ clockBoard = boardOf{}

func (b boardOf) nodes() []string { return b.table.Nodes() }

func (b boardOf) clock(ctx context.Context, node string) (time.Time, error) {
	return b.table.NodeTime(ctx, node)
}

func (b boardOf) post(ctx context.Context, n notice, timestamp int64) error {
	return b.table.WriteHeartbeat(ctx, Heartbeat{n.instance, n.datacentre, n.wrote, n.heard}, timestamp, noticeLife)
}

func (b boardOf) notices(ctx context.Context) (all []notice, err error) {
	heartbeats, err := b.table.Heartbeats(ctx)
	for _, h := range heartbeats {
		all = append(all, notice{h.Instance, h.Datacentre, h.Written, h.Offsets})
	}
	return all, err
}
