package schema

import "fmt"

// Difference is one thing in which a live schema is not what the service relies on.
type Difference struct {
	Object string // such as "keyspace userinfo", "column userinfo.sessions.gone", "setting maximum_timestamp_fail_threshold"
	Want   string
	Have   string
	Remedy string // what to do, and how
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: want %s, have %s; %s", d.Object, d.Want, d.Have, d.Remedy)
}

// finding is a Difference and the statement with which Apply removes it; without one it is the operator's to remove.
type finding struct {
	Difference
	fix string
}

// fixable is a finding that Apply removes with script.
func fixable(object, want, have, script string) finding {
	const remedy = "run `userinfo schema apply` (`userinfo schema print` shows the statement)"
	return finding{Difference{object, want, have, remedy}, statement(script)}
}
