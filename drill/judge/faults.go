package judge

import (
	"slices"
	"time"

	"userinfo/drill/history"
)

// fault is one of the history's with its bounds made definite.
type fault struct {
	history.Fault
	back time.Duration // by when all that it took away had surely returned
}

// orderFaults sorts by Begin. A fault without an end never ends; one without a recovery has none.
func orderFaults(h *history.History) []fault {
	var all []fault
	for _, f := range h.Faults {
		if f.End < f.Begin {
			f.End = forever
		}
		back := forever
		if f.Recovered >= f.End {
			back = min(f.Recovered, f.End+booting)
		}
		all = append(all, fault{f, back})
	}
	slices.SortStableFunc(all, func(a, b fault) int { return int(a.Begin - b.Begin) })
	return all
}

// faultAt names the fault in force, or else the last before.
func (e *evidence) faultAt(t time.Duration) string {
	name := ""
	var end time.Duration = -1
	for _, f := range e.faults {
		if f.Begin > t {
			break
		}
		if name == "" || f.End >= t || f.End >= end {
			name, end = f.Name, f.End
		}
	}
	return name
}

// clockSkew is how far two instances' clocks may differ between two times. Timestamps never go back, so that a clock that
// was ahead counts until the others have come up to it.
func (e *evidence) clockSkew(from, to time.Duration) time.Duration {
	most := time.Duration(0)
	for _, f := range e.clocks {
		if f.Begin <= to && f.End+f.ClockSkew >= from {
			most = max(most, f.ClockSkew)
		}
	}
	return most
}

// expirySkew is how much later or earlier than asked for a value may expire for its reader: the clocks of a node that
// wrote it and of one that read it may both be wrong.
func (e *evidence) expirySkew(from, to time.Duration) time.Duration {
	most := time.Duration(0)
	for _, f := range e.nodes {
		if f.Begin <= to && f.End >= from {
			most = max(most, f.CassandraSkew)
		}
	}
	return 2 * most
}

// apart is how far two instances' clocks differ by themselves.
func (e *evidence) apart() time.Duration {
	if e.h.Watched {
		return farApart
	}
	return apart
}

// surelyOlder tells whether every timestamp that older can have is before every one of newer.
func (e *evidence) surelyOlder(older *write, newer *write) bool {
	if older.arrives >= newer.Invoke {
		return false
	}
	skew := e.clockSkew(older.Invoke, newer.Complete)
	if skew > 0 || older.Instance != newer.Instance || e.h.Watched {
		skew += e.apart()
	}
	return older.arrives+skew < newer.Invoke
}

// settled is from when a delete that was refused must be everywhere: the first time after it at which the faults that it
// met, and those that followed, have been over for long enough.
func (e *evidence) settled(d *history.Operation) time.Duration {
	over := d.Complete
	for _, f := range e.faults { // in the order of Begin, so that one pass finds the whole chain
		if f.Begin <= over+carried && f.back > d.Invoke {
			over = max(over, f.back)
		}
	}
	return over + carried
}

// unrepaired tells whether what was written at t may never have reached the other datacentre.
func (e *evidence) unrepaired(t time.Duration) bool {
	return slices.ContainsFunc(e.faults, func(f fault) bool { return f.Unrepaired && f.back >= t })
}
