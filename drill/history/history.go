// Package history is what a drill writes down: every operation with its begin, end and outcome, what was done to the
// installation meanwhile, and what was seen of it from outside. It is all that the judge knows.
//
// Invariants:
//
//  1. Times are since the history's begin, by one monotonic clock of one machine. An operation's effect, if it has one,
//     is between its Invoke and its Complete; where there was no answer, at any time after Invoke.
//  2. A version is the ID of the set that wrote it, so no two sets write the same value.
//  3. The keys and values are the drill's own: a history holds no one's session.
//
// It does not defend against a generator that lies, nor against two machines' clocks: one process writes a history.
package history

import (
	"net/http"
	"time"
)

// Method is what an operation does.
type Method string

// The methods.
const (
	Get    Method = "get"
	Set    Method = "set"
	Touch  Method = "touch"
	Delete Method = "delete"
)

// Outcome is what is known of an operation's effect.
type Outcome string

// The outcomes.
const (
	// OK: done, or, for a get, answered: with a value or with its absence.
	OK Outcome = "ok"
	// Failed: it had no effect, and told nothing.
	Failed Outcome = "failed"
	// Unknown: it may have had its effect, or may yet have it where there was no answer.
	Unknown Outcome = "unknown"
	// Local: a delete that is done in its datacentre and pending elsewhere.
	Local Outcome = "local"
)

// Versions that no set has written.
const (
	NoVersion int64 = 0  // no value was read
	Torn      int64 = -1 // what was read is not whole, or nobody's value
)

// Operation is one request and its answer.
type Operation struct {
	ID       int64         `json:"id"` // from 1, in the order of the schedule
	Due      time.Duration `json:"due"`
	Invoke   time.Duration `json:"invoke"`
	Complete time.Duration `json:"complete"` // of the answer, or when it was given up

	DC       string `json:"dc"`
	Instance string `json:"instance"`
	Method   Method `json:"method"`
	Key      string `json:"key"`
	// TTL is what a set or touch asked for, or what a get was told is left; seconds.
	TTL int `json:"ttl,omitempty"`
	// Version is what a set wrote or a get read.
	Version int64 `json:"version,omitempty"`
	// OfKey is the key for which the version that a get read was written; it should be Key.
	OfKey string `json:"of_key,omitempty"`

	Status  int    `json:"status"` // HTTP's; 0: no answer
	Problem string `json:"problem,omitempty"`
	Error   string `json:"error,omitempty"` // why there was no answer

	// Final marks the reads after everything has recovered and settled.
	Final bool `json:"final,omitempty"`
	// Pinned marks a key that is only ever used in one datacentre, so that its operations there are linearizable.
	Pinned bool `json:"pinned,omitempty"`
}

// Outcome tells what the status means for the operation's effect.
func (o *Operation) Outcome() Outcome {
	success := o.Status >= 200 && o.Status < 300
	switch {
	case success:
		return OK
	case o.Method == Get && o.Status == http.StatusNotFound:
		return OK
	case o.Method == Get:
		return Failed
	case o.Method == Touch && o.Status == http.StatusNotFound:
		return OK // it changed nothing, and has told that there is no value
	case o.Method == Delete && o.Problem == "not-everywhere":
		return Local
	case o.Status >= 400 && o.Status < 500, o.Problem == "overloaded":
		return Failed
	}
	return Unknown
}

// Absent tells whether the operation has told that there is no value.
func (o *Operation) Absent() bool {
	return (o.Method == Get || o.Method == Touch) && o.Status == http.StatusNotFound
}

// Answered tells whether its effect, if any, came before Complete.
func (o *Operation) Answered() bool { return o.Status != 0 }

// Fault is something that was done to the installation, from Begin to End; at Recovered every node saw every other, all
// instances were ready and no delete was pending.
type Fault struct {
	Name      string        `json:"name"`
	Begin     time.Duration `json:"begin"`
	End       time.Duration `json:"end"`
	Recovered time.Duration `json:"recovered"`
	// Expect says what the fault makes impossible, so that its figures are judged by the right rule.
	Expect Expectation `json:"expect"`
	// Datacentre is the one that is lost, or has the nodes that are; empty where every one is to be unharmed.
	Datacentre string `json:"datacentre,omitempty"`
	// Unrepaired is set where hints are off, lost or past their window, and nothing repairs what they would have: then a
	// set may never reach the other datacentre.
	Unrepaired bool `json:"unrepaired,omitempty"`
	// ClockSkew bounds the difference between any two readings of instances' clocks at one time, from before Begin until
	// after End; CassandraSkew that of a node's clock from the true time.
	ClockSkew     time.Duration `json:"clock_skew,omitempty"`
	CassandraSkew time.Duration `json:"cassandra_skew,omitempty"`
}

// Expectation is what clients are to see of a fault.
type Expectation string

// The expectations.
const (
	// OneNode: one local node is gone: no errors after the first second (I8).
	OneNode Expectation = "one-node"
	// OtherDatacentre: get, set and touch are unharmed here (I7); deletes are answered 503.
	OtherDatacentre Expectation = "other-datacentre"
	// Outage: there is no quorum, or no instance, in some datacentre: errors are right, wrong answers are not.
	Outage Expectation = "outage"
	// Strain: slow, but no errors are expected.
	Strain Expectation = "strain"
)

// Sample is what an instance was seen to hold.
type Sample struct {
	At         time.Duration `json:"at"`
	Instance   string        `json:"instance"`
	Run        int           `json:"run"` // counts the instance's starts
	Goroutines float64       `json:"goroutines"`
	FDs        float64       `json:"fds"`
	RSSBytes   float64       `json:"rss_bytes"`
	InFlight   float64       `json:"in_flight"` // requests
	Streams    float64       `json:"streams"`   // statements that a coordinator has yet to answer
	Pending    float64       `json:"pending"`   // deletes
	// Remote counts the instance's connections to Cassandra nodes of another datacentre; Local those to its own.
	Local  int `json:"local"`
	Remote int `json:"remote"`
}

// Count is how often one instance, in one run of it, answered a method with a status: as the clients, the metrics and
// the log have it.
type Count struct {
	Instance string `json:"instance"`
	Run      int    `json:"run"`
	Method   Method `json:"method"`
	Status   int    `json:"status"` // 499 where the client had left, 0 where it had no answer
	Clients  int    `json:"clients"`
	Metrics  int    `json:"metrics"`
	Log      int    `json:"log"`
}

// Cell is what one replica holds of a key in the end, read from it alone.
type Cell struct {
	Node    string `json:"node"`
	DC      string `json:"dc"`
	Key     string `json:"key"`
	Version int64  `json:"version"` // NoVersion: nothing; Torn: it cannot be opened
}

// History is one drill.
type History struct {
	Name        string            `json:"name"`
	Seed        uint64            `json:"seed"`
	Began       time.Time         `json:"began"`
	Rate        float64           `json:"rate"` // operations per second
	Fence       time.Duration     `json:"fence"`
	TouchSlack  float64           `json:"touch_slack"` // a touch may leave this share of what it was asked for undone
	Datacentres []string          `json:"datacentres"`
	Mutant      string            `json:"mutant,omitempty"`
	Watched     bool              `json:"watched,omitempty"` // an installation that others cut: no samples, counts or cells
	Environment map[string]string `json:"environment"`

	Faults     []Fault     `json:"faults"`
	Samples    []Sample    `json:"samples,omitempty"`
	Counts     []Count     `json:"counts,omitempty"`
	Cells      []Cell      `json:"cells,omitempty"`
	Operations []Operation `json:"operations"`
}
