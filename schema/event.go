package schema

import "time"

// EventKind is the kind of an Event.
type EventKind int

// Kinds of events. Changing, Waiting and Changed repeat for every statement; Warned may come before and after a Changing.
const (
	Warned   EventKind = iota // Difference is a Warning
	Changing                  // Statement will run now, to remove Difference
	Waiting                   // Nodes are live and do not have the change yet, after Took
	Changed                   // all live nodes have the change, after Took
	Missing                   // the last event: Nodes do not have the schema, each with the reason
)

// Event is one step of Apply.
type Event struct {
	Kind       EventKind
	Difference Difference
	Statement  string
	Took       time.Duration
	Nodes      []string // address and datacentre; in Missing also the reason
}
