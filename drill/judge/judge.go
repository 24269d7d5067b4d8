// Package judge decides from the history of a drill whether the service broke a promise.
//
// Evaluate is a pure function of the history, except for the time limit of the linearizability search. It reports a
// violation only if no correct service could have given the recorded answers. So it allows for operations that overlap,
// operations with an unknown effect, the recorded clock differences, Cassandra's expiry in whole seconds, and the delay
// of replication between datacentres.
//
// # Terms
//
// A write has arrived when the service has given it a timestamp. A write that was answered arrived before its Complete. A
// set without an answer arrived before the first get that returned it was answered; if no get returned it, it may arrive
// at any time.
//
// A write is definitely older than another write if it had arrived before the other was invoked, by a margin of more than
// the possible clock difference.
//
// A delete shadows the sets that arrived before its shadow ends. The shadow ends one fence after the answer of the delete,
// or one fence after the delete was 3 s old, whichever is earlier; less 1 s, and less the clock differences. Without a
// fence, a delete shadows the sets that are definitely older.
//
// A delete is in force in its own datacentre from its answer. In another datacentre it is in force from its answer if that
// was 204, and otherwise from 60 s after the end of the faults that it met. For the final reads it is always in force.
//
// # Invariants
//
//	I1  After a delete was answered 204 and is in force, no get returns a set that the delete shadows, and no set that ends
//	    within the shadow is acknowledged. At the end, no quorum of replicas holds a shadowed set.
//	I2  The same holds after a delete that was answered 503 not-everywhere.
//	I3  A get returns an undamaged value of its own key, whose set had started and was not refused. The set is not
//	    definitely older than a set that was acknowledged in the same datacentre before the get started. The final reads
//	    obey this rule for the sets of all datacentres, agree on acknowledged sets, and find every value that was neither
//	    deleted nor expired. No replica holds a value that no client wrote.
//	I4  No get returns a value more than 1 s after its last possible expiry. No get returns a remaining TTL that is more
//	    than 1 s shorter than what every possible current write gave. No touch succeeds on a key whose sets are all
//	    shadowed by a delete or expired.
//	I5  No instance has a connection to a Cassandra node of another datacentre.
//	I6  No get or touch is answered 404 if a set was acknowledged in that datacentre before it started, no delete of the
//	    key had started before it ended, and no possible current write can have expired.
//	I7  While the other datacentre is lost, get, set and touch have no errors after the first second, and their p99 latency
//	    is at most three times the p99 before, or 100 ms. Within 5 s of the end this holds again. After an instance has
//	    answered two deletes as not everywhere, it answers each further delete within 0.5 s.
//	I8  While one node is lost, joins, leaves or moves, there are no errors after the first second, and the p99 latency is
//	    at most three times the p99 before, or 100 ms. Within 5 s of the end this holds again. Within 10 s of the return of
//	    a whole datacentre, its clients have no errors and this latency.
//	    Faults that only slow nodes are judged for errors, and for the return to full speed.
//	    If the p99 before a fault was above 50 ms, the machine was too busy: I7 and I8 are then judged for errors only.
//	I9  No process of the service ends by itself. After the last fault, the goroutines, file descriptors and memory of an
//	    instance are close to their numbers before the first fault. Without load, no request and no CQL statement is in
//	    flight.
//	I10 Metrics and log count every answer that clients received. They count more only where a client received no answer
//	    or disconnected. Metrics and log agree.
//	L   The sets, gets and deletes of each pinned key are linearizable in its datacentre. A deleted key stays deleted.
//
// A history of passwords is judged by I5, I9 and the following. A guess is a verify, or a change with the current password.
// A promise is a creation, change, redeem or delete that was answered as done. It is in force as a delete is: see above.
//
//	P1  After a promise is in force in a datacentre, no guess with an older password is accepted there, also not after a
//	    delete. The password of the newest promise is not refused, unless a later write may have replaced it. No password
//	    is accepted that nobody has set, or whose change was refused.
//	P2  The same holds after a change or delete that was answered 503 not-everywhere: from its answer in its own
//	    datacentre, and in the others once it must have been carried through.
//	P3  A creation succeeds only if there is no such user: of two at the same time, one wins. A creation is answered 412
//	    only if the user may exist; then its password is never accepted.
//	P4  Nobody is locked out by others: no guess from a known network is answered 429, unless at least five wrong guesses
//	    of the same user, client and network may count. A network is known in a datacentre after a right guess there.
//	P5  A reset token works at most once, and not after a later promise or a newer token. The newest token is not refused
//	    before it is used. The password of a refused redeem is never accepted.
//
// # Limits
//
// The judge does not detect:
//
//   - the effect of a set or delete without an answer, if no get shows it;
//   - a wrong order of sets that overlap, or that are closer than the clock difference (L detects the first kind);
//   - stale reads across datacentres before the final reads;
//   - a wrong expiry of a key that received a touch without an answer;
//   - a wrong 404 of a key that any delete may have removed;
//   - a delete that is pending for more than 60 s while faults follow each other faster than that, until the final reads;
//   - errors and latency while faults overlap;
//   - a password that is accepted or refused wrongly while a write of its user is active, or, if the write had no clear
//     answer, for 50 ms after it;
//   - guesses that are refused in networks which are not known, where strangers may delay a user;
//   - a wrong order of operations on a pinned key that is never idle long enough to divide the search;
//   - anything that happens between two samples.
//
// For I4, the TTL of a set or touch counts from its answer, or from the end of a fault that it met: a coordinator that was
// stopped executes an old attempt when it continues, and Cassandra counts the TTL from then. Without a fault, an attempt that a
// slow coordinator executes later makes a value live longer than requested, and a get that shows this is a violation.
package judge

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"userinfo/drill/history"
)

const (
	maxViolations    = 20               // violations of each invariant that are listed; all are counted
	replayLimit      = 60 * time.Second // from the end of the faults until a pending delete must be in every datacentre
	nodeReturnLimit  = 60 * time.Second // longest time that a node needs to return after the end of a fault
	ttlRounding      = time.Second      // Cassandra stores expiry times in whole seconds
	tombstoneLead    = 3 * time.Second  // part of a delete's duration that its tombstone compensates (see store.TombstoneLead)
	replicationDelay = 2 * time.Second  // an acknowledged set needs no longer to the other datacentre without a fault

	// Clock differences of instances without a fault. On one machine, monotonic timestamps can run ahead in a burst.
	localClockTolerance   = 50 * time.Millisecond
	watchedClockTolerance = time.Second
)

// forever is later than all times of a history. Adding a few forevers does not overflow.
const forever = time.Duration(1) << 60

// The names of the invariants of a history of sessions, and of one of passwords, in the order of the verdicts.
var (
	Invariants         = []string{"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "L"}
	PasswordInvariants = []string{"I5", "I9", "P1", "P2", "P3", "P4", "P5"}
)

// Verdict is the result for one invariant.
type Verdict struct {
	Invariant  string      `json:"invariant"`            // I1 to I10, L, or P1 to P5
	Checked    int         `json:"checked"`              // number of observations that could have broken the invariant
	Broken     int         `json:"broken"`               // number of violations
	Violations []Violation `json:"violations,omitempty"` // the first violations
	Figures    []Figures   `json:"figures,omitempty"`    // errors and latency during faults; I7 and I8 only
	Note       string      `json:"note,omitempty"`       // further figures, or why nothing could be checked
}

// Violated reports whether the invariant was broken. It fails closed: a listed violation counts even if Broken is 0.
func (v Verdict) Violated() bool { return v.Broken > 0 || len(v.Violations) > 0 }

// Violation is one proof that an invariant was broken.
type Violation struct {
	At         time.Duration `json:"at"`
	Fault      string        `json:"fault,omitempty"`      // the active fault, or the last fault before
	Operations []int64       `json:"operations,omitempty"` // IDs of the operations that prove it
	What       string        `json:"what"`
}

// Evaluate returns one verdict for each of Invariants, or of PasswordInvariants, in that order. It does not change h.
func Evaluate(h *history.History) []Verdict {
	e := newEvidence(h)
	if h.Passwords {
		e.evaluatePasswords()
		return e.conclusions(PasswordInvariants)
	}
	for _, k := range e.keys {
		e.verifyGets(k)
		e.verifyTouches(k)
		e.verifySetsAfterDelete(k)
		e.verifyFinalReads(k)
	}
	e.verifyReplicas()
	e.verifyConnections()
	e.verifyLatency()
	e.verifyResources()
	e.verifyCounts()
	e.verifyLinearizability()
	return e.conclusions(Invariants)
}

func (e *evidence) conclusions(invariants []string) (verdicts []Verdict) {
	for _, name := range invariants {
		verdicts = append(verdicts, e.conclude(name))
	}
	return verdicts
}

// count counts observations that could have broken an invariant.
func (e *evidence) count(invariant string, n int) { e.verdict(invariant).Checked += n }

// violation records a violation.
func (e *evidence) violation(invariant string, at time.Duration, operations []int64, format string, args ...any) {
	v := e.verdict(invariant)
	v.Broken++
	v.Violations = append(v.Violations, Violation{At: at, Fault: e.faultAt(at), Operations: operations, What: fmt.Sprintf(format, args...)})
}

// note sets the note of a verdict.
func (e *evidence) note(invariant, text string) { e.verdict(invariant).Note = text }

func (e *evidence) verdict(invariant string) *Verdict { return e.verdicts[invariant] }

// conclude returns the verdict with its first violations in the order of time.
func (e *evidence) conclude(invariant string) Verdict {
	v := *e.verdict(invariant)
	slices.SortStableFunc(v.Violations, func(a, b Violation) int { return cmp.Compare(a.At, b.At) })
	v.Violations = slices.Clip(v.Violations[:min(maxViolations, len(v.Violations))])
	if v.Checked == 0 && v.Note == "" {
		v.Note = "nothing in this history could have broken it"
	}
	return v
}

// ids returns its arguments as a list of operations.
func ids(operations ...int64) []int64 { return operations }

// answer returns the answer of an operation as text.
func answer(o *history.Operation) string {
	if o.Problem != "" {
		return fmt.Sprintf("%d %s", o.Status, o.Problem)
	}
	return fmt.Sprint(o.Status)
}

// clock returns a time of the history as text.
func clock(t time.Duration) string { return fmt.Sprintf("%.3f s", t.Seconds()) }
