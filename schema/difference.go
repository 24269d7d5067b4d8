package schema

import (
	"fmt"
	"slices"
)

// Difference is one difference between the live schema and a Spec.
type Difference struct {
	Object string // for example "keyspace userinfo", "column userinfo.sessions.gone" or "setting maximum_timestamp_fail_threshold"
	Want   string
	Have   string
	Remedy string // what an operator should do

	// Warning means that the service can serve in spite of the difference, although some requests may fail. Apply never
	// removes such a difference: an operator must decide.
	Warning bool
}

// Blocking returns the differences that keep the service from working: all except warnings.
func Blocking(differences []Difference) []Difference {
	return slices.DeleteFunc(slices.Clone(differences), func(d Difference) bool { return d.Warning })
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
	return finding{Difference{Object: object, Want: want, Have: have, Remedy: remedy}, statement(script)}
}

// forOperator returns a finding that Apply refuses.
func forOperator(object, want, have, remedy string) finding {
	return finding{Difference: Difference{Object: object, Want: want, Have: have, Remedy: remedy}}
}

// warning returns a finding that is a Warning. Its remedy says that Apply cannot remove it.
func warning(object, want, have, remedy string) finding {
	const notByApply = "`userinfo schema apply` cannot change this: "
	return finding{Difference: Difference{Object: object, Want: want, Have: have, Remedy: notByApply + remedy, Warning: true}}
}
