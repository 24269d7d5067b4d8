// Package history defines the record of one drill: every operation with its start, end and answer, the faults that were
// injected, and what was measured from outside the service. The judge decides from a History alone.
//
// Invariants:
//
//  1. All times are durations since the start of the history. One process reads them from one monotonic clock.
//  2. An operation that was answered takes effect between Invoke and Complete, or not at all. An operation without an
//     answer takes effect at any time after Invoke, or not at all.
//  3. The version of a value or password is the ID of the operation that wrote it. No two operations write the same version.
//  4. Keys and values are made up by the drill. A history never contains a user's session or password.
//
// The package does not defend against a load generator that records wrong data.
package history

import (
	"net/http"
	"time"
)

// Method is the kind of an operation.
type Method string

// The four operations of a session store.
const (
	Get    Method = "get"
	Set    Method = "set"
	Touch  Method = "touch"
	Delete Method = "delete"
)

// The operations on passwords. Delete deletes a user.
const (
	Verify Method = "verify"
	Create Method = "create"
	Change Method = "change"
	Token  Method = "token"  // makes a reset token
	Redeem Method = "redeem" // sets a password with a reset token
)

// Outcome says what an answer tells about the effect of an operation.
type Outcome string

const (
	// OK means that the operation succeeded. A get or touch that found nothing (404) is OK too.
	OK Outcome = "ok"
	// Failed means that the operation had no effect and returned no information.
	Failed Outcome = "failed"
	// Unknown means that the operation may have taken effect, or may still take effect.
	Unknown Outcome = "unknown"
	// Local means that a delete, or a change of a password, is complete in its own datacentre and pending in the others.
	Local Outcome = "local"
)

// Versions that no set writes.
const (
	NoVersion int64 = 0  // no value was read
	Torn      int64 = -1 // the value is damaged, or the drill did not write it
)

// WrongGuess is the Guess of a password that no operation sets.
const WrongGuess int64 = -1

// Operation is one request and its answer.
type Operation struct {
	ID       int64         `json:"id"`       // unique, from 1
	Due      time.Duration `json:"due"`      // when the schedule wanted the request to start
	Invoke   time.Duration `json:"invoke"`   // when the request started
	Complete time.Duration `json:"complete"` // when the answer arrived, or the client gave up

	DC       string `json:"dc"`
	Instance string `json:"instance"`
	Run      int    `json:"run,omitempty"` // number of starts of the instance, from 1; 0 if unknown
	Method   Method `json:"method"`
	Key      string `json:"key"`
	// TTL is the time to live that a set or touch requested, or the remaining time that a get returned; in seconds.
	TTL int `json:"ttl,omitempty"`
	// Version is the version that a set wrote or that a get returned.
	Version int64 `json:"version,omitempty"`
	// OfKey is the key that is written inside the value that a get returned. It should equal Key.
	OfKey string `json:"of_key,omitempty"`

	Status  int    `json:"status"`            // HTTP status; 0 if there was no answer
	Problem string `json:"problem,omitempty"` // last part of the problem type of an error answer
	Error   string `json:"error,omitempty"`   // why there was no answer

	// These are for passwords. Key is the user, and Version the password that a create, change or redeem sets.
	//
	// Guess is the password that a verify or change gives, or the ID of the operation that made the token of a redeem. A password
	// that nobody set is WrongGuess.
	Guess   int64  `json:"guess,omitempty"`
	Client  string `json:"client,omitempty"`  // the name of the client, which has budgets of its own
	Address string `json:"address,omitempty"` // where the person is who guesses

	// Final marks the reads at the end of a drill, after recovery from all faults.
	Final bool `json:"final,omitempty"`
	// Pinned marks a key that the load uses in one datacentre only, so that its operations must be linearizable.
	Pinned bool `json:"pinned,omitempty"`
}

// Outcome returns what the answer tells about the effect of the operation.
func (o *Operation) Outcome() Outcome {
	switch {
	case o.Status >= 200 && o.Status < 300, o.Absent():
		return OK
	case o.Method == Get, o.Method == Verify:
		return Failed
	case (o.Method == Delete || o.Method == Change) && o.Problem == "not-everywhere":
		return Local
	case o.Status >= 400 && o.Status < 500, o.Problem == "overloaded":
		return Failed
	}
	return Unknown
}

// Absent reports whether the answer said that the key has no value.
func (o *Operation) Absent() bool {
	return (o.Method == Get || o.Method == Touch) && o.Status == http.StatusNotFound
}

// Answered reports whether there was an answer. If so, any effect of the operation happened before Complete.
func (o *Operation) Answered() bool { return o.Status != 0 }

// Errored reports whether a client counts the answer as an error. A 404, a 409 for a set that a logout overtook, and the
// refusals of passwords are correct answers.
func (o *Operation) Errored() bool {
	return o.Outcome() != OK && o.Status != http.StatusNotFound && o.Status != http.StatusConflict &&
		!o.IsWrong() && !o.IsLimited() && o.Problem != "user-exists"
}

// IsWrong reports whether the answer said that a password or a reset token is wrong.
func (o *Operation) IsWrong() bool { return o.Problem == "wrong-password" }

// IsLimited reports whether the answer said that there were too many wrong passwords.
func (o *Operation) IsLimited() bool { return o.Problem == "too-many-guesses" }

// Fault is one fault that was injected, from Begin to End.
type Fault struct {
	Name  string        `json:"name"`
	Begin time.Duration `json:"begin"`
	End   time.Duration `json:"end"`
	// Recovered is when every node saw every other node, all instances were ready and no delete was pending. It is 0 if
	// that did not happen.
	Recovered time.Duration `json:"recovered"`
	// Expect says which effects the fault may have, and so which invariants apply to latency and errors.
	Expect Expectation `json:"expect"`
	// Datacentre is the datacentre that is lost as a whole. It is empty if no datacentre is lost.
	Datacentre string `json:"datacentre,omitempty"`
	// Unrepaired is set if Cassandra keeps no hints during the fault. A set may then never reach the other datacentre.
	Unrepaired bool `json:"unrepaired,omitempty"`
	// ClockSkew is the largest difference between the clocks of two instances during the fault.
	ClockSkew time.Duration `json:"clock_skew,omitempty"`
	// CassandraSkew is the largest error of the clock of a Cassandra node during the fault.
	CassandraSkew time.Duration `json:"cassandra_skew,omitempty"`
	// Ended names the instances whose process ended by itself during the fault. The drill started them again.
	Ended []string `json:"ended,omitempty"`
}

// HasRecovered reports whether recovery from the fault was seen.
func (f Fault) HasRecovered() bool { return f.Recovered > 0 && f.Recovered >= f.End }

// Expectation is the effect that clients may see of a fault.
type Expectation string

const (
	// OneNode means that at most one node of a datacentre is lost at a time. There are no errors after the first second (I8).
	OneNode Expectation = "one-node"
	// OtherDatacentre means that the other datacentre is lost. Get, set and touch work as before (I7); deletes are
	// answered 503. The clients of the lost datacentre have errors until it returns (I8).
	OtherDatacentre Expectation = "other-datacentre"
	// Outage means that a datacentre has no quorum or no instance. Errors are correct, wrong answers are not.
	Outage Expectation = "outage"
	// NoErrors means that all nodes serve, and some are slow. There are no errors after the first second (I8), but answers may
	// be slow.
	NoErrors Expectation = "no-errors"
	// Strain means that answers may be slow, and errors are not judged.
	Strain Expectation = "strain"
)

// UnknownPending is Sample.Pending of an instance that has not read the list of pending deletes yet.
const UnknownPending = -1

// Sample is one measurement of an instance.
type Sample struct {
	At         time.Duration `json:"at"`
	Instance   string        `json:"instance"`
	Run        int           `json:"run"` // number of starts of the instance, from 1
	Goroutines float64       `json:"goroutines"`
	FDs        float64       `json:"fds"` // open file descriptors
	RSSBytes   float64       `json:"rss_bytes"`
	InFlight   float64       `json:"in_flight"`            // HTTP requests
	Streams    float64       `json:"streams"`              // CQL statements without a response
	Pending    float64       `json:"pending"`              // pending deletes, or UnknownPending
	Unreadable float64       `json:"unreadable,omitempty"` // buckets of pending deletes that cannot be read
	Local      int           `json:"local"`                // connections to Cassandra nodes of the instance's datacentre
	Remote     int           `json:"remote"`               // connections to Cassandra nodes of other datacentres
}

// Count is how often one run of an instance answered a method with a status, counted from three sources.
type Count struct {
	Instance string `json:"instance"`
	Run      int    `json:"run"`
	Method   Method `json:"method"`
	Status   int    `json:"status"` // 499 if the client disconnected, 0 if the client received no answer
	Clients  int    `json:"clients"`
	Metrics  int    `json:"metrics"` // negative if unknown, because the process was killed
	Log      int    `json:"log"`
}

// Cell is what one Cassandra replica holds for a key at the end of a drill.
type Cell struct {
	Node    string `json:"node"`
	DC      string `json:"dc"`
	Key     string `json:"key"`
	Version int64  `json:"version"` // NoVersion if there is no value, Torn if it cannot be decrypted
}

// History is the record of one drill.
type History struct {
	Name        string            `json:"name"`
	Seed        uint64            `json:"seed"`
	Began       time.Time         `json:"began"`
	Rate        float64           `json:"rate"` // operations per second
	Fence       time.Duration     `json:"fence"`
	TouchSlack  float64           `json:"touch_slack"` // share of the requested TTL that a touch may leave out
	Datacentres []string          `json:"datacentres"`
	Mutant      string            `json:"mutant,omitempty"`
	Passwords   bool              `json:"passwords,omitempty"` // the load uses passwords, not sessions
	Watched     bool              `json:"watched,omitempty"`   // recorded by drill watch: no samples, counts or cells
	Environment map[string]string `json:"environment"`

	Faults     []Fault     `json:"faults"`
	Samples    []Sample    `json:"samples,omitempty"`
	Counts     []Count     `json:"counts,omitempty"`
	Cells      []Cell      `json:"cells,omitempty"`
	Operations []Operation `json:"operations"`
}
