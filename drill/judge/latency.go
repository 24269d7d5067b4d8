package judge

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"userinfo/drill/history"
)

const (
	// BaselineLength is the longest period before a fault that counts as normal.
	BaselineLength = 10 * time.Second
	// BusyP99 is the highest normal p99 with which latency is judged. If it was higher before a fault, the machine was too
	// busy, and the latency during the fault says nothing about the service.
	BusyP99 = 50 * time.Millisecond

	slowFactor    = 3                      // how many times the p99 before a fault is allowed
	alwaysFast    = 100 * time.Millisecond // never too slow, whatever the latency was before the fault
	errorGrace    = time.Second            // how long errors are allowed after the begin of a fault
	recoveryLimit = 5 * time.Second        // from the end of a fault until full speed
	restartLimit  = 10 * time.Second       // the same, for the clients of a whole datacentre that was lost
	recoveryWatch = 60 * time.Second       // how long after the end of a fault the judge looks for the recovery
	minBaseline   = 50                     // number of requests that a baseline needs
	maxAffected   = 5                      // the p99 is not judged if stalls affected more than one in maxAffected requests
	// window is the resolution of the recovery time. The service has recovered at the start of steadyWindows windows in
	// which there are no errors and at most 2 % of the requests (or one) are slow.
	window        = time.Second
	steadyWindows = 3
	// An instance that has answered knowsAfter deletes as not everywhere answers each further delete within knownCutLimit.
	knowsAfter    = 2
	knownCutLimit = 500 * time.Millisecond
)

// Figures describes what the clients of one datacentre saw of one fault. I7 counts gets, sets and touches; I8 counts all
// operations.
type Figures struct {
	Fault             string        `json:"fault"`
	DC                string        `json:"dc"`
	Requests          int           `json:"requests"`            // due while the fault was active
	FirstSecondErrors int           `json:"first_second_errors"` // errors in the first second of the fault
	LaterErrors       int           `json:"later_errors"`        // errors from then to the end of the fault
	Before            Latency       `json:"before"`
	During            Latency       `json:"during"`
	After             Latency       `json:"after"`
	FullSpeedAfter    time.Duration `json:"full_speed_after"` // from the end of the fault; negative if not seen
	Affected          int           `json:"affected"`         // requests during the fault that a stall of the machine affected: not in During
	Overlaps          string        `json:"overlaps,omitempty"`
	NotJudged         string        `json:"not_judged,omitempty"` // why latency was not judged; errors were judged
	// KnownCutDeletes counts the deletes whose instance already knew that the other datacentre is lost: see verifyKnownCutDeletes.
	KnownCutDeletes int           `json:"known_cut_deletes,omitempty"`
	SlowestDelete   time.Duration `json:"slowest_delete,omitempty"` // of KnownCutDeletes
}

// Latency is measured from the due time of a request until its answer. Requests that a stall of the machine affected are left
// out. It is 0 if there were no others.
type Latency struct {
	P50 time.Duration `json:"p50"`
	P99 time.Duration `json:"p99"`
}

// LatencyNotJudged returns the number of figures whose latency was not judged.
func (v Verdict) LatencyNotJudged() (n int) {
	for _, f := range v.Figures {
		if f.NotJudged != "" {
			n++
		}
	}
	return n
}

// limits is what the clients of one datacentre must see of a fault.
type limits struct {
	invariant    string
	noErrorsFrom time.Duration // time of the history
	fullSpeedIn  time.Duration // from the end of the fault
	speedDuring  bool          // the p99 during the fault is limited
	knownCut     bool          // the duration of deletes is limited once their instance knows of the cut
}

// verifyLatency checks I7 and I8 for each fault and datacentre.
func (e *evidence) verifyLatency() {
	for _, dc := range e.h.Datacentres {
		all := e.load(dc, func(*history.Operation) bool { return true })
		withoutDeletes := e.load(dc, func(o *history.Operation) bool { return o.Method != history.Delete })
		for i, f := range e.faults {
			switch {
			case f.Expect == history.OtherDatacentre && f.Datacentre == dc:
				e.verifyPeriod(limits{"I8", f.End + restartLimit, restartLimit, false, false}, f, dc, e.period(i, all), nil)
			case f.Expect == history.OtherDatacentre:
				e.verifyPeriod(limits{"I7", f.Begin + errorGrace, recoveryLimit, true, true}, f, dc, e.period(i, withoutDeletes), due(all, f.Begin, f.End))
			case f.Expect == history.OneNode:
				e.verifyPeriod(limits{"I8", f.Begin + errorGrace, recoveryLimit, true, false}, f, dc, e.period(i, all), nil)
			case f.Expect == history.NoErrors:
				e.verifyPeriod(limits{"I8", f.Begin + errorGrace, recoveryLimit, false, false}, f, dc, e.period(i, all), nil)
			}
		}
	}
}

// verifyPeriod records the figures of a period, and checks it unless another fault was active. The limits that depend on the
// latency before the fault are checked only if the machine was not too busy.
func (e *evidence) verifyPeriod(want limits, f fault, dc string, p period, during []*history.Operation) {
	v, figures := e.verdict(want.invariant), p.figures(f, dc)
	defer func() { v.Figures = append(v.Figures, figures) }()
	if p.overlaps != "" {
		return
	}
	v.Checked += len(p.during)
	later := due(slices.Concat(p.during, p.after), want.noErrorsFrom, p.end)
	if failed := errorsOf(later, p.next); len(failed) > 0 {
		e.violation(want.invariant, f.Begin, failed[:min(maxViolations, len(failed))], "%d of %d requests in %s had errors more than %s after %s began",
			len(failed), len(later), dc, want.noErrorsFrom-f.Begin, f.Name)
	}
	if want.knownCut {
		figures.KnownCutDeletes, figures.SlowestDelete = e.verifyKnownCutDeletes(f, during)
	}
	switch {
	case p.slow == 0:
		figures.NotJudged = "too few requests before the fault"
	case figures.Before.P99 > BusyP99 || want.speedDuring && figures.Affected*maxAffected > figures.Requests:
		figures.NotJudged = "machine too busy"
	}
	if figures.NotJudged != "" {
		e.note(want.invariant, figures.NotJudged+": I7 and I8 not judged for latency")
		return
	}
	if want.speedDuring && figures.During.P99 > p.slow {
		e.violation(want.invariant, f.Begin, nil, "p99 in %s was %s while %s was active, and %s before", dc,
			figures.During.P99.Round(time.Millisecond), f.Name, figures.Before.P99.Round(time.Millisecond))
	}
	longEnough := p.end-f.End >= want.fullSpeedIn+steadyWindows*window
	late := figures.FullSpeedAfter > want.fullSpeedIn || figures.FullSpeedAfter < 0 && longEnough
	if f.End < forever && late {
		e.violation(want.invariant, f.End, nil, "requests in %s were not at full speed within %s of the end of %s", dc, want.fullSpeedIn, f.Name)
	}
}

// verifyKnownCutDeletes checks the duration of each delete whose instance knew of the cut: it had answered knowsAfter deletes as
// not everywhere, and no delete as complete since. It leaves out the deletes that a stall of the machine affected. It returns
// the number of the other ones and the longest duration. operations are in the order of Due.
func (e *evidence) verifyKnownCutDeletes(f fault, operations []*history.Operation) (n int, slowest time.Duration) {
	type process struct {
		instance string
		run      int
	}
	answered := make(map[process][]*history.Operation)
	for _, o := range operations {
		if o.Method != history.Delete {
			continue
		}
		p := process{o.Instance, o.Run}
		unconfirmed := 0
		for _, earlier := range answered[p] {
			switch {
			case earlier.Complete >= o.Invoke:
			case earlier.Outcome() == history.Local:
				unconfirmed++
			default:
				unconfirmed = 0
			}
		}
		answered[p] = append(answered[p], o)
		if unconfirmed < knowsAfter || e.stalls.affected(o) {
			continue
		}
		took := o.Complete - o.Invoke
		n, slowest = n+1, max(slowest, took)
		if took > knownCutLimit {
			e.violation("I7", o.Invoke, ids(o.ID), "delete %d in %s took %s while %s was active, after instance %s had answered %d deletes as not everywhere",
				o.ID, o.DC, took.Round(time.Millisecond), f.Name, o.Instance, unconfirmed)
		}
	}
	return n, slowest
}

// load returns the operations of a datacentre that match, without the final reads, ordered by Due.
func (e *evidence) load(dc string, match func(*history.Operation) bool) []*history.Operation {
	var some []*history.Operation
	for i := range e.h.Operations {
		if o := &e.h.Operations[i]; !o.Final && o.DC == dc && match(o) {
			some = append(some, o)
		}
	}
	slices.SortStableFunc(some, func(a, b *history.Operation) int { return cmp.Compare(a.Due, b.Due) })
	return some
}

// period holds the operations of one datacentre around a fault.
type period struct {
	before, during, after []*history.Operation
	end                   time.Duration // end of after
	next                  time.Duration // when the next fault began, or forever
	slow                  time.Duration // a request that takes longer is slow; 0 if there is no baseline
	overlaps              string        // another fault that was active meanwhile: no verdict is possible
	stalls                stalls        // of the whole history
}

// period divides operations, which are ordered by Due, around fault i. Times that belong to other faults are left out.
func (e *evidence) period(i int, operations []*history.Operation) period {
	f := e.faults[i]
	from, to := f.Begin-BaselineLength, f.End+recoveryWatch
	overlaps, next := "", forever
	for j, other := range e.faults {
		otherEnd := max(other.End, other.Recovered)
		if j != i && other.Begin < f.End && otherEnd > f.Begin {
			overlaps = other.Name
		}
		if j < i {
			from = max(from, min(f.Begin, otherEnd))
		} else if j > i {
			to = min(to, max(f.End, other.Begin))
			next = min(next, other.Begin)
		}
	}
	p := period{
		before: due(operations, from, f.Begin), during: due(operations, f.Begin, f.End), after: due(operations, f.End, to),
		end: min(to, e.end), next: next, overlaps: overlaps, stalls: e.stalls,
	}
	if len(p.before) >= minBaseline {
		p.slow = max(alwaysFast, slowFactor*p.latencyOf(p.before).P99)
	}
	return p
}

// due returns the operations that were due at from or later, and before to.
func due(operations []*history.Operation, from, to time.Duration) []*history.Operation {
	i := sort.Search(len(operations), func(i int) bool { return operations[i].Due >= from })
	j := sort.Search(len(operations), func(i int) bool { return operations[i].Due >= to })
	return operations[i:max(i, j)]
}

// errorsOf returns the operations that failed before the next fault began.
func errorsOf(operations []*history.Operation, next time.Duration) (failed []int64) {
	for _, o := range operations {
		if o.Errored() && o.Complete < next {
			failed = append(failed, o.ID)
		}
	}
	return failed
}

// latencyOf returns the latency of the operations that no stall affected.
func (p period) latencyOf(operations []*history.Operation) Latency {
	operations = p.stalls.unaffected(operations)
	if len(operations) == 0 {
		return Latency{}
	}
	all := make([]time.Duration, len(operations))
	for i, o := range operations {
		all[i] = o.Complete - o.Due
	}
	slices.Sort(all)
	return Latency{P50: all[len(all)/2], P99: all[min(len(all)-1, len(all)*99/100)]}
}

func (p period) figures(f fault, dc string) Figures {
	first := len(errorsOf(due(p.during, f.Begin, f.Begin+errorGrace), p.next))
	recovered, ok := p.recovery(f.End)
	if !ok {
		recovered = -1
	}
	return Figures{
		Fault: f.Name, DC: dc, Requests: len(p.during), FirstSecondErrors: first, LaterErrors: len(errorsOf(p.during, p.next)) - first,
		Before: p.latencyOf(p.before), During: p.latencyOf(p.during), After: p.latencyOf(p.after), FullSpeedAfter: recovered,
		Affected: len(p.during) - len(p.stalls.unaffected(p.during)), Overlaps: p.overlaps,
	}
}

// recovery returns the time from the end of the fault until the service is at full speed.
func (p period) recovery(end time.Duration) (took time.Duration, ok bool) {
	for ; p.slow > 0 && end+took+steadyWindows*window <= p.end; took += window {
		if p.steadyFrom(end + took) {
			return took, true
		}
	}
	return 0, false
}

func (p period) steadyFrom(from time.Duration) bool {
	for i := range time.Duration(steadyWindows) {
		some := due(p.after, from+i*window, from+(i+1)*window)
		slow := 0
		for _, o := range some {
			if o.Errored() {
				return false
			}
			if o.Complete-o.Due > p.slow && !p.stalls.affected(o) {
				slow++
			}
		}
		if slow > max(1, len(some)/50) {
			return false
		}
	}
	return true
}
