package judge

import "time"

// Verdict is what a history says of one invariant.
type Verdict struct {
	Invariant  string      `json:"invariant"`            // I1 to I10, and L for linearizability
	Checked    int         `json:"checked"`              // operations, or samples, that could have broken it
	Broken     int         `json:"broken"`               // violations found
	Violations []Violation `json:"violations,omitempty"` // the first of them
	Note       string      `json:"note,omitempty"`       // figures, or why nothing could be checked
}

// Violation is one piece of evidence: operations of the history and what is wrong with them.
type Violation struct {
	At         time.Duration `json:"at"`
	Fault      string        `json:"fault,omitempty"` // that was in force, or had last been
	Operations []int64       `json:"operations,omitempty"`
	What       string        `json:"what"`
}
