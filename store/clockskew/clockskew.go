// Package clockskew compares the clocks of all instances of the service and of Cassandra's local nodes. It publishes
// the differences as metrics and logs a warning if a clock is wrong by 100 ms or more. It corrects nothing; that is the
// task of NTP.
//
// Clocks matter for two reasons. An instance takes the timestamps of its writes from its clock, and of two writes the one
// with the later timestamp wins. A node expires values by its own clock. See package store.
//
// # Nodes
//
// A node is asked for its time. The answer was true at some moment between request and response. The skew is computed for
// the middle of the round trip, and half of the round trip is the largest possible error.
//
// # Instances
//
// Instances do not talk to each other. Every second, each one writes a heartbeat with its time to a table, and reads the
// heartbeats of the others. No heartbeat is read before it is written. Therefore, for instances A and B, each by its own
// clock,
//
//	offset of A seen by B  =  B's time when B reads  −  A's time when A wrote  ≥  B − A
//	offset of B seen by A  =  A's time when A reads  −  B's time when B wrote  ≥  A − B
//
// The true difference A − B lies between −(offset of A seen by B) and (offset of B seen by A). The skew is the middle of
// this interval, and half of its length is the largest possible error. NTP computes the same from four timestamps
// (RFC 5905, section 8). Each instance puts the offsets that it sees into its own heartbeat, so that the others learn
// them.
//
// A heartbeat that happens to be read soon after it was written gives the smallest offset, and thus the smallest error.
// Therefore the smallest offset of the last one to two minutes counts. Within that time a clock without NTP drifts by
// about ten milliseconds.
//
// # Limits
//
//   - If the two offsets contradict each other, a clock was set. The offsets are forgotten and measured again. A clock that
//     is set by less than the error contradicts nothing: for up to two minutes the published skew may then be wrong by as
//     much as the published error again.
//   - The package does not defend against someone who can write to Cassandra. They can write heartbeats that accuse any
//     clock.
package clockskew

import (
	"context"
	"log/slog"
	"time"

	"userinfo/internal/panics"
)

// tolerance is the skew at which a clock is called wrong. NTP keeps clocks within a few milliseconds.
const tolerance = 100 * time.Millisecond

// The schedule of a Monitor. The pauses between rounds vary by half: if they were even, an instance that is in step with
// another could never read soon after the other one has written.
const (
	pause          = time.Second      // on average, between rounds; each round exchanges heartbeats
	roundsToReport = 10               // the nodes are asked, and skews are reported, every so many rounds
	roundsToWindow = 60               // the length of a window, in rounds; see peerOffset
	timeout        = 2 * time.Second  // of one exchange of heartbeats, and of one node
	requestsToNode = 3                // the fastest response counts
	heartbeatTTL   = 30 * time.Second // an instance without a heartbeat has stopped
)

// Heartbeat is what an instance tells the other instances. Times are in µs since 1970.
type Heartbeat struct {
	// Instance is the name of the instance. No two instances have the same name.
	Instance string
	// Datacentre is the datacentre of the instance.
	Datacentre string
	// Written is when the heartbeat was written, by the clock of the instance.
	Written int64
	// Offsets are the offsets of other instances as seen by this one, in µs, by the name of the other instance.
	Offsets map[string]int64
}

// Table is the table of heartbeats, which all instances in all datacentres share. It also gives access to the clocks of
// Cassandra's local nodes. store/cassandra implements it.
type Table interface {
	// Nodes returns the addresses of the local nodes that are up.
	Nodes() []string
	// NodeTime returns the time of one node. It asks no other node.
	NodeTime(ctx context.Context, node string) (time.Time, error)
	// WriteHeartbeat replaces the heartbeat of h.Instance. timestamp is the write timestamp in µs. The heartbeat expires
	// after ttl.
	WriteHeartbeat(ctx context.Context, h Heartbeat, timestamp int64, ttl time.Duration) error
	// Heartbeats returns the heartbeats of all instances. Some may be old, and some may be missing.
	Heartbeats(ctx context.Context) ([]Heartbeat, error)
}

// Config configures a Monitor. All fields are required.
type Config struct {
	// Instance is the name of this instance. It appears in metrics and logs of all instances, and must be unique.
	Instance string
	// Datacentre is the datacentre of this instance.
	Datacentre string
	Table      Table
	// Now is the clock under comparison: the one that timestamps writes.
	Now func() time.Time
	// Random returns an evenly distributed number from 0 to n-1.
	Random  func(n int) int
	Log     *slog.Logger
	Metrics *Metrics
	// Panics recovers from panics while nodes are asked.
	Panics *panics.Recorder
}

// Monitor compares the clock of this instance with the clocks of other instances and of Cassandra's local nodes. Create
// it with NewMonitor and start it with Run.
type Monitor struct {
	config        Config
	peers         map[string]*peerOffset // by the name of the instance
	lastTimestamp int64                  // of a heartbeat's write, µs
	exchangeFails bool                   // the last exchange of heartbeats has failed
	reporter      reporter
}

// NewMonitor returns a Monitor. It does nothing before Run.
func NewMonitor(c Config) *Monitor {
	return &Monitor{config: c, peers: make(map[string]*peerOffset), reporter: newReporter(c.Log, c.Metrics)}
}

// Run compares clocks until ctx ends. It must be called only once.
func (m *Monitor) Run(ctx context.Context) {
	for n := 1; ; n++ {
		skews := m.exchangeHeartbeats(ctx)
		if n%roundsToReport == 0 {
			skews = append(m.nodeSkews(ctx), skews...)
			if ctx.Err() == nil {
				m.reporter.report(ctx, skews)
			}
		}
		if n%roundsToWindow == 0 {
			m.startWindow()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + time.Duration(m.config.Random(int(pause)))):
		}
	}
}
