package judge

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"userinfo/drill/history"
)

const (
	slowFactor     = 2                     // how many times the latency before a fault is allowed
	alwaysFast     = 10 * time.Millisecond // never too slow, whatever the latency was before the fault
	errorGrace     = time.Second           // how long errors are allowed after the loss of one node
	recoveryLimit  = 5 * time.Second       // from the return of a node until latency must be back to normal
	recoveryWatch  = 60 * time.Second      // how long after the end of a fault the recovery is searched
	baselineLength = 30 * time.Second      // longest period before a fault that counts as normal
	minBaseline    = 50                    // number of requests that a baseline needs
	// window is the resolution of the recovery time. The service has recovered at the start of steadyWindows windows in
	// which there are no errors and at most 2 % of the requests (or one) are slow.
	window        = time.Second
	steadyWindows = 3
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
	Overlaps          string        `json:"overlaps,omitempty"`
}

// Latency is measured from the due time of a request until its answer. It is 0 if there were no requests.
type Latency struct {
	P50 time.Duration `json:"p50"`
	P99 time.Duration `json:"p99"`
}

// verifyLatency checks I7 and I8 for each fault and datacentre.
func (e *evidence) verifyLatency() {
	for _, dc := range e.h.Datacentres {
		all := e.load(dc, func(*history.Operation) bool { return true })
		withoutDeletes := e.load(dc, func(o *history.Operation) bool { return o.Method != history.Delete })
		for i, f := range e.faults {
			switch {
			case f.Expect == history.OtherDatacentre && f.Datacentre != dc:
				e.verifyPeriod("I7", f, dc, e.period(i, withoutDeletes), e.verifyOtherDatacentreLost)
			case f.Expect == history.OneNode:
				e.verifyPeriod("I8", f, dc, e.period(i, all), e.verifyOneNodeLost)
			}
		}
	}
}

// verifyPeriod records the figures of a period, and checks it unless another fault was active.
func (e *evidence) verifyPeriod(invariant string, f fault, dc string, p period, verify func(fault, string, period, Figures)) {
	v, figures := e.verdict(invariant), p.figures(f, dc)
	v.Figures = append(v.Figures, figures)
	if p.overlaps == "" {
		v.Checked += len(p.during)
		verify(f, dc, p, figures)
	}
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
	slow                  time.Duration // a request that takes longer is slow; 0 if there is no baseline
	overlaps              string        // another fault that was active meanwhile: no verdict is possible
}

// period divides operations, which are ordered by Due, around fault i. Times that belong to other faults are left out.
func (e *evidence) period(i int, operations []*history.Operation) period {
	f := e.faults[i]
	from, to := f.Begin-baselineLength, f.End+recoveryWatch
	overlaps := ""
	for j, other := range e.faults {
		otherEnd := max(other.End, other.Recovered)
		if j != i && other.Begin < f.End && otherEnd > f.Begin {
			overlaps = other.Name
		}
		if j < i {
			from = max(from, min(f.Begin, otherEnd))
		} else if j > i {
			to = min(to, max(f.End, other.Begin))
		}
	}
	p := period{before: due(operations, from, f.Begin), during: due(operations, f.Begin, f.End), after: due(operations, f.End, to), end: min(to, e.end), overlaps: overlaps}
	if len(p.before) >= minBaseline {
		p.slow = max(alwaysFast, slowFactor*latencyOf(p.before).P99)
	}
	return p
}

// due returns the operations that were due at from or later, and before to.
func due(operations []*history.Operation, from, to time.Duration) []*history.Operation {
	i := sort.Search(len(operations), func(i int) bool { return operations[i].Due >= from })
	j := sort.Search(len(operations), func(i int) bool { return operations[i].Due >= to })
	return operations[i:max(i, j)]
}

func errorsOf(operations []*history.Operation) (failed []int64) {
	for _, o := range operations {
		if o.Errored() {
			failed = append(failed, o.ID)
		}
	}
	return failed
}

func latencyOf(operations []*history.Operation) Latency {
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
	first := len(errorsOf(due(p.during, f.Begin, f.Begin+errorGrace)))
	recovered, ok := p.recovery(f.End)
	if !ok {
		recovered = -1
	}
	return Figures{
		Fault: f.Name, DC: dc, Requests: len(p.during), FirstSecondErrors: first, LaterErrors: len(errorsOf(p.during)) - first,
		Before: latencyOf(p.before), During: latencyOf(p.during), After: latencyOf(p.after), FullSpeedAfter: recovered, Overlaps: p.overlaps,
	}
}

// verifyOtherDatacentreLost checks I7.
func (e *evidence) verifyOtherDatacentreLost(f fault, dc string, p period, figures Figures) {
	if failed := errorsOf(p.during); len(failed) > 0 {
		e.violation("I7", f.Begin, failed[:min(maxViolations, len(failed))], "%d of %d gets, sets and touches in %s had errors while %s was active", len(failed), len(p.during), dc, f.Name)
	}
	if p.slow > 0 && figures.During.P99 > p.slow {
		e.violation("I7", f.Begin, nil, "p99 in %s was %s while %s was active, and %s before", dc,
			figures.During.P99.Round(time.Millisecond), f.Name, figures.Before.P99.Round(time.Millisecond))
	}
}

// verifyOneNodeLost checks I8.
func (e *evidence) verifyOneNodeLost(f fault, dc string, p period, figures Figures) {
	later := due(slices.Concat(p.during, p.after), f.Begin+errorGrace, p.end)
	if failed := errorsOf(later); len(failed) > 0 {
		e.violation("I8", f.Begin, failed[:min(maxViolations, len(failed))], "%d of %d requests in %s had errors more than %s after %s began", len(failed), len(later), dc, errorGrace, f.Name)
	}
	longEnough := p.end-f.End >= recoveryLimit+steadyWindows*window
	late := figures.FullSpeedAfter > recoveryLimit || figures.FullSpeedAfter < 0 && longEnough
	if p.slow > 0 && f.End < forever && late {
		e.violation("I8", f.End, nil, "requests in %s were not at full speed within %s of the end of %s", dc, recoveryLimit, f.Name)
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
			if o.Complete-o.Due > p.slow {
				slow++
			}
		}
		if slow > max(1, len(some)/50) {
			return false
		}
	}
	return true
}
