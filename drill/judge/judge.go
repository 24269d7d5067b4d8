// Package judge says what a history proves against the service. Check is a pure function of the history, up to the time
// that it may spend on linearizability.
//
// It is sound before it is sharp: it blames nothing that a correct service could have done. So it reckons with operations
// that overlap, with those whose effect is unknown, with clocks that differ as the history says they did, with Cassandra's
// whole seconds, and with datacentres that hear of each other late.
//
// Words. A set arrives, and so takes its timestamp, between its Invoke and its Complete; one without an answer arrives at any
// time after its Invoke; one that has been read had arrived before the first such get was answered. One write is surely older
// than another if it had arrived, and as much time had passed as the clocks may differ by, when the other was invoked. A
// delete hides the sets that arrive until the fence has passed since it was answered, or was 3 s old (less a second, and the
// clocks' differences), and without a fence those that are surely older. It counts in its own datacentre from its answer; in
// another from its answer too if that is 204, and otherwise from 60 s after the faults that it met are over, and for reads
// marked Final always.
//
// Invariants:
//
//	I1  After a delete answered 204, where it counts, no later get returns a set that it hides, in any datacentre, and no
//	    later set that ends within the fence is acknowledged. In the end no quorum of replicas holds a hidden set.
//	I2  The same after a delete answered 503 not-everywhere, where it counts.
//	I3  What a get returns is whole, its own key's, of a set that had begun and was not refused. It is not surely older than
//	    a set acknowledged in the same datacentre before the get began. The Final reads obey this for the sets acknowledged in
//	    any datacentre, agree on acknowledged sets, and find what has neither been deleted nor expired. No replica holds
//	    what nobody wrote.
//	I4  No get begins later than 1 s after the last expiry that its version's set, or a touch that can have reached it, can have
//	    given it. None is told of a remaining life that is shorter, by more than 1 s, than each of the writes that can be
//	    current has given. No touch succeeds on a key all of whose sets are hidden by a delete or have expired.
//	I5  No sample of an instance shows a connection to a Cassandra node of another datacentre.
//	I6  No get or touch is answered 404 where a set was acknowledged in that datacentre before it began, no delete of the
//	    key had begun by its end, and none of the writes that can be current can have expired.
//	I7  While the other datacentre is away, gets, sets and touches have no errors and a p99 within twice that of before.
//	I8  While one node is away there are no errors after the first second, and within 5 s of its return latency is what it was.
//	I9  After the last fault, goroutines, descriptors and memory are within the bounds below of what they were before the
//	    first, and without load no requests and no statements are in flight.
//	I10 Of every answer that clients have, metrics and log have one; they have no more than clients that had no answer, or
//	    left, explain. Metrics and log agree.
//	L   The sets, gets and deletes of each pinned key are linearizable in its datacentre, a deleted key staying deleted.
//
// What it does not see: the effect of a set or delete without an answer that nobody reads; order between sets that overlap, or
// that are closer than the clocks may differ (L sees the former, where clocks agree); staleness across datacentres before the
// end; an expiry that a touch without an answer may have moved; 404s of keys that some delete may have hit; a delete that is
// pending for longer than 60 s where faults follow each other faster than that, until the end; errors and latency where faults
// overlap; anything between two samples; the order of a key that is never at rest for long enough to search it in pieces.
//
// A set or touch that was answered counts from its answer for I4. An attempt of it that a held-up coordinator carries out later
// gives the value a longer life than was asked for; if it is read then, that is a violation and not an excuse.
package judge

import (
	"slices"
	"time"

	"userinfo/drill/history"
)

const (
	// kept is how many violations of each invariant are listed; all are counted.
	kept = 20
	// carried is how soon after the faults' end a delete that was refused must be everywhere.
	carried = 60 * time.Second
	// booting is how long a node may take to be back after the fault's End.
	booting = 60 * time.Second
	// rounding is what whole seconds can hide: Cassandra's expiries are in them.
	rounding = time.Second
	// deleting is the part of a delete's time that its tombstone's lead makes up for (store.TombstoneLead).
	deleting = 3 * time.Second
	// apart is how far two instances' clocks differ where nothing has been done to them: on one machine little more than
	// what monotonic timestamps run ahead by in a burst.
	apart = 50 * time.Millisecond
	// farApart is the same for an installation of others.
	farApart = time.Second
	// reaching is how long an acknowledged set may take to the other datacentre where there is no fault.
	reaching = 2 * time.Second
)

// forever is later than anything, with room to add to it.
const forever = time.Duration(1) << 61

// Check judges a history: one verdict for each of I1 to I10, and L.
func Check(h *history.History) []Verdict {
	e := newEvidence(h)
	for _, k := range e.keys {
		e.judgeGets(k)
		e.judgeTouches(k)
		e.judgeSets(k)
		e.judgeFinal(k)
	}
	e.judgeCells()
	e.judgeConnections()
	e.judgeFaults()
	e.judgeResources()
	e.judgeCounts()
	e.judgeLinearizability()
	e.notePending()
	verdicts := make([]Verdict, 0, len(invariants))
	for _, name := range invariants {
		verdicts = append(verdicts, e.conclude(name))
	}
	return verdicts
}

var invariants = []string{"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "L"}

// checked counts an observation that could have broken an invariant.
func (e *evidence) checked(invariant string) { e.verdict(invariant).Checked++ }

// broken records a violation.
func (e *evidence) broken(invariant string, at time.Duration, what string, operations ...int64) {
	v := e.verdict(invariant)
	v.Broken++
	v.Violations = append(v.Violations, Violation{At: at, Fault: e.faultAt(at), Operations: operations, What: what})
}

// note adds a figure to a verdict.
func (e *evidence) note(invariant, text string) {
	v := e.verdict(invariant)
	if v.Note != "" {
		v.Note += "; "
	}
	v.Note += text
}

func (e *evidence) verdict(invariant string) *Verdict {
	v := e.verdicts[invariant]
	if v == nil {
		v = &Verdict{Invariant: invariant}
		e.verdicts[invariant] = v
	}
	return v
}

// conclude keeps the first violations in the order of time.
func (e *evidence) conclude(invariant string) Verdict {
	v := *e.verdict(invariant)
	slices.SortStableFunc(v.Violations, func(a, b Violation) int { return int(a.At - b.At) })
	v.Violations = slices.Clip(v.Violations[:min(kept, len(v.Violations))])
	if v.Checked == 0 && v.Note == "" {
		v.Note = "nothing in this history could have broken it"
	}
	return v
}
