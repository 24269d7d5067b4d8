package judge

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"userinfo/drill/history"
)

const (
	// slower is how many times the latency of before is allowed.
	slower = 2
	// quick is a latency under which nothing is slow, whatever it was before.
	quick = 10 * time.Millisecond
	// noticing is how long errors are allowed where one node goes away.
	noticing = time.Second
	// fullSpeed is how soon after its return all must be as before.
	fullSpeed = 5 * time.Second
	// baseline is how long before a fault is looked at, at most; with fewer requests than enough it says nothing.
	baseline = 30 * time.Second
	enough   = 50
	// window is the grain of recovery: of its requests one in fifty may be slow, or one; steady of them in a row make full speed.
	window = time.Second
	steady = 3
	// watching is how long after a fault's end recovery is looked for.
	watching = 60 * time.Second
)

// judgeFaults is I7 and I8.
func (e *evidence) judgeFaults() {
	byDC := make(map[string][]*history.Operation)
	for i := range e.h.Operations {
		if o := &e.h.Operations[i]; !o.Final {
			byDC[o.DC] = append(byDC[o.DC], o)
		}
	}
	dcs := make([]string, 0, len(byDC))
	for dc, all := range byDC {
		dcs = append(dcs, dc)
		slices.SortStableFunc(all, func(a, b *history.Operation) int { return int(a.Due - b.Due) })
	}
	slices.Sort(dcs)
	for i, f := range e.faults {
		for _, dc := range dcs {
			p := e.period(i, byDC[dc])
			switch {
			case f.Expect == history.OtherDatacentre && f.Datacentre != dc:
				e.judgeAway(f, dc, p)
			case f.Expect == history.OneNode:
				e.judgeNode(f, dc, p)
			}
		}
	}
}

// period is a fault as one datacentre's clients saw it.
type period struct {
	before, during, after []*history.Operation
	ends                  time.Duration // of what is after
	usual                 time.Duration // p99 before; 0 where not known
	mixed                 string        // another fault that was in force, or not recovered from, meanwhile: then nothing is judged
}

// period cuts the operations of a datacentre, sorted by Due, around a fault: it leaves out what other faults have marked.
func (e *evidence) period(i int, all []*history.Operation) period {
	f := e.faults[i]
	from, to := f.Begin-baseline, f.End+watching
	mixed := ""
	for j, other := range e.faults {
		if j != i && other.Begin < f.End && max(other.End, other.Recovered) > f.Begin {
			mixed = other.Name
		}
		if j < i {
			from = max(from, min(f.Begin, max(other.End, other.Recovered)))
		} else if j > i {
			to = min(to, max(f.End, other.Begin))
		}
	}
	p := period{before: due(all, from, f.Begin), during: due(all, f.Begin, f.End), after: due(all, f.End, to), ends: min(to, e.end), mixed: mixed}
	if len(p.before) >= enough {
		p.usual = quantile(p.before, 0.99)
	}
	return p
}

func due(all []*history.Operation, from, to time.Duration) []*history.Operation {
	i := sort.Search(len(all), func(i int) bool { return all[i].Due >= from })
	j := sort.Search(len(all), func(i int) bool { return all[i].Due >= to })
	return all[i:max(i, j)]
}

// errored tells whether an answer is not a right one.
func errored(o *history.Operation) bool {
	return o.Outcome() != history.OK && o.Status != 404 && o.Status != 409
}

func errorsOf(some []*history.Operation) (ids []int64) {
	for _, o := range some {
		if errored(o) {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

func latency(o *history.Operation) time.Duration { return o.Complete - o.Due }

func quantile(some []*history.Operation, q float64) time.Duration {
	if len(some) == 0 {
		return 0
	}
	all := make([]time.Duration, len(some))
	for i, o := range some {
		all[i] = latency(o)
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// figures are what a report prints of a period.
func (p period) figures(f fault, dc string) string {
	text := fmt.Sprintf("%s in %s: %d requests, %d errors, p50/p99 %s before, %s during, %s after", f.Name, dc,
		len(p.during), len(errorsOf(p.during)), both(p.before), both(p.during), both(p.after))
	if p.mixed != "" {
		text += ", not judged because of " + p.mixed
	}
	return text
}

func both(some []*history.Operation) string {
	if len(some) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f/%.0f ms", 1e3*quantile(some, 0.5).Seconds(), 1e3*quantile(some, 0.99).Seconds())
}

// judgeAway is I7. Deletes are another matter: they need the other datacentre.
func (e *evidence) judgeAway(f fault, dc string, p period) {
	deletes := func(o *history.Operation) bool { return o.Method == history.Delete }
	for _, some := range []*[]*history.Operation{&p.before, &p.during, &p.after} {
		*some = slices.DeleteFunc(slices.Clone(*some), deletes)
	}
	p.usual = 0
	if len(p.before) >= enough {
		p.usual = quantile(p.before, 0.99)
	}
	e.note("I7", p.figures(f, dc))
	if p.mixed != "" {
		return
	}
	e.verdict("I7").Checked += len(p.during)
	if ids := errorsOf(p.during); len(ids) > 0 {
		e.broken("I7", f.Begin, fmt.Sprintf("%d of %d gets, sets and touches in %s had errors while %s was in force", len(ids), len(p.during), dc, f.Name), ids[:min(kept, len(ids))]...)
	}
	if p99 := quantile(p.during, 0.99); p.usual > 0 && p99 > max(quick, slower*p.usual) {
		e.broken("I7", f.Begin, fmt.Sprintf("p99 in %s was %s while %s was in force, and %s before", dc, p99.Round(time.Millisecond), f.Name, p.usual.Round(time.Millisecond)))
	}
}

// judgeNode is I8.
func (e *evidence) judgeNode(f fault, dc string, p period) {
	text := p.figures(f, dc)
	if p.mixed == "" {
		e.verdict("I8").Checked += len(p.during)
		later := due(slices.Concat(p.during, p.after), f.Begin+noticing, p.ends)
		if ids := errorsOf(later); len(ids) > 0 {
			e.broken("I8", f.Begin, fmt.Sprintf("%d of %d requests in %s had errors more than %s after %s began", len(ids), len(later), dc, noticing, f.Name), ids[:min(kept, len(ids))]...)
		}
		if p.usual > 0 && f.End < forever {
			text += e.judgeRecovery(f, dc, p)
		}
	}
	e.note("I8", text)
}

// judgeRecovery is the part of I8 after the node's return; it tells how long that took.
func (e *evidence) judgeRecovery(f fault, dc string, p period) string {
	took, found := p.recovery(f.End)
	if !found && p.ends-f.End < fullSpeed+steady*window {
		return ", not watched for long enough after its end"
	}
	if took > fullSpeed {
		e.broken("I8", f.End, fmt.Sprintf("requests in %s were not at full speed within %s of the end of %s", dc, fullSpeed, f.Name))
	}
	if !found {
		return fmt.Sprintf(", no full speed within %s of its end", (p.ends - f.End).Round(time.Second))
	}
	return fmt.Sprintf(", full speed %s after its end", took)
}

// recovery is how long after a fault's end full speed began; where it did not, more than anything.
func (p period) recovery(end time.Duration) (took time.Duration, found bool) {
	for ; end+took+steady*window <= p.ends; took += window {
		if p.steadyFrom(end + took) {
			return took, true
		}
	}
	return forever, false
}

func (p period) steadyFrom(from time.Duration) bool {
	for i := range steady {
		some := due(p.after, from+time.Duration(i)*window, from+time.Duration(i+1)*window)
		slow := 0
		for _, o := range some {
			if errored(o) {
				return false
			}
			if latency(o) > max(quick, slower*p.usual) {
				slow++
			}
		}
		if slow > max(1, len(some)/50) {
			return false
		}
	}
	return true
}
