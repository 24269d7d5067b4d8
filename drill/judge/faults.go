package judge

import (
	"cmp"
	"slices"
	"time"

	"userinfo/drill/history"
)

// fault is a fault of the history with definite limits.
type fault struct {
	history.Fault
	over time.Duration // when everything that the fault took away had certainly returned, or forever
}

// orderFaults returns the faults ordered by Begin. A fault without an end lasts forever. A fault without a recovery is
// never over.
func orderFaults(h *history.History) []fault {
	var all []fault
	for _, f := range h.Faults {
		if f.End < f.Begin {
			f.End = forever
		}
		over := forever
		if f.Recovered >= f.End {
			over = min(f.Recovered, f.End+nodeReturnLimit)
		}
		all = append(all, fault{f, over})
	}
	slices.SortStableFunc(all, func(a, b fault) int { return cmp.Compare(a.Begin, b.Begin) })
	return all
}

// faultAt returns the name of the fault that is active at t, or of the last fault before t.
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

// clockSkew returns the largest difference of two instances' clocks in a period, because of faults. Timestamps never go
// back. So a clock that was ahead counts until the other clocks have reached it.
func (e *evidence) clockSkew(from, to time.Duration) time.Duration {
	most := time.Duration(0)
	for _, f := range e.faults {
		if f.Begin <= to && f.End+f.ClockSkew >= from {
			most = max(most, f.ClockSkew)
		}
	}
	return most
}

// expirySkew returns how much too early or too late a value may expire in a period. The clocks of the node that wrote the
// value and of the node that reads it may both be wrong.
func (e *evidence) expirySkew(from, to time.Duration) time.Duration {
	most := time.Duration(0)
	for _, f := range e.faults {
		if f.Begin <= to && f.End >= from {
			most = max(most, f.CassandraSkew)
		}
	}
	return 2 * most
}

// clockTolerance returns the clock difference of two instances without a fault.
func (e *evidence) clockTolerance() time.Duration {
	if e.h.Watched {
		return watchedClockTolerance
	}
	return localClockTolerance
}

// definitelyOlder reports whether every possible timestamp of older is before every possible timestamp of newer.
func (e *evidence) definitelyOlder(older, newer *write) bool {
	if older.arrivedBy >= newer.Invoke {
		return false
	}
	skew := e.clockSkew(older.Invoke, newer.Complete)
	if skew > 0 || older.Instance != newer.Instance || e.h.Watched {
		skew += e.clockTolerance()
	}
	return older.arrivedBy+skew < newer.Invoke
}

// replayedBy returns when a delete or change that was answered 503 must be in every datacentre: replayLimit after the faults
// that it met are over. A fault that starts before then extends the time.
func (e *evidence) replayedBy(d *history.Operation) time.Duration {
	over := d.Complete
	for _, f := range e.faults { // in the order of Begin, so one pass finds the whole chain
		if f.Begin <= over+replayLimit && f.over > d.Invoke {
			over = max(over, f.over)
		}
	}
	return over + replayLimit
}

// unrepaired reports whether a write at t may never reach the other datacentre.
func (e *evidence) unrepaired(t time.Duration) bool {
	return slices.ContainsFunc(e.faults, func(f fault) bool { return f.Unrepaired && f.over >= t })
}
