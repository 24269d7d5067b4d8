package schema

import "time"

// EventKind says what an Event tells.
type EventKind int

// Kinds of events, in the order in which they happen. Changing, Waiting and Changed repeat for every statement.
const (
	Warned   EventKind = iota // Difference is a Warning
	Changing                  // Statement is about to run, to remove Difference
	Waiting                   // Nodes are live and do not have the change after Took
	Changed                   // all live nodes have the change, after Took
	Missing                   // at the end, Nodes do not have the schema; each with the reason
)

// Event is one step of Apply.
type Event struct {
	Kind       EventKind
	Difference Difference
	Statement  string
	Took       time.Duration
	Nodes      []string // address and datacentre
}
