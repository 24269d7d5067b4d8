package schema

import "fmt"

// Difference is one difference between the live schema and a Spec.
type Difference struct {
	Object string // for example "keyspace userinfo", "column userinfo.sessions.gone" or "setting maximum_timestamp_fail_threshold"
	Want   string
	Have   string
	Remedy string // what an operator should do
}

// String returns all fields on one line.
func (d Difference) String() string {
	return fmt.Sprintf("%s: want %s, have %s; %s", d.Object, d.Want, d.Have, d.Remedy)
}

// finding is a Difference and the statement that removes it. If fix is empty, Apply cannot remove the difference.
type finding struct {
	Difference
	fix string
}

// fixable returns a finding that Apply removes with script.
func fixable(object, want, have, script string) finding {
	const remedy = "run `userinfo schema apply` (`userinfo schema print` shows the statement)"
	return finding{Difference{object, want, have, remedy}, statement(script)}
}
