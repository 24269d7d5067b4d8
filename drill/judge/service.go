package judge

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"userinfo/drill/history"
)

// judgeConnections is I5.
func (e *evidence) judgeConnections() {
	if len(e.h.Samples) == 0 {
		e.note("I5", "there are no samples")
	}
	for _, s := range e.h.Samples {
		e.checked("I5")
		if s.Remote > 0 {
			e.broken("I5", s.At, fmt.Sprintf("instance %s had %d connections to Cassandra nodes of another datacentre at %s", s.Instance, s.Remote, at(s.At)))
		}
	}
}

// The bounds of I9: a share of what was there before, and a little.
const (
	moreThings = 1.25
	someThings = 20
	moreMemory = 1.5
	someMemory = 64 << 20
	// idle is how much may be in flight where there is no load: who looks is a request too, and the service looks for
	// pending deletes and at its own readiness.
	idle = 2
	// settling is how long after the last fault an instance may take to put things away.
	settling = 5 * time.Second
	// looks is how many of the last samples count. What leaks is in all of them.
	looks = 3
)

// gauge is one thing that I9 watches.
type gauge struct {
	name       string
	of         func(history.Sample) float64
	more, some float64
	idle       bool // near 0 where there is no load
}

var gauges = []gauge{
	{"goroutines", func(s history.Sample) float64 { return s.Goroutines }, moreThings, someThings, false},
	{"descriptors", func(s history.Sample) float64 { return s.FDs }, moreThings, someThings, false},
	{"bytes of memory", func(s history.Sample) float64 { return s.RSSBytes }, moreMemory, someMemory, false},
	{"requests in flight", func(s history.Sample) float64 { return s.InFlight }, moreThings, someThings, true},
	{"statements in flight", func(s history.Sample) float64 { return s.Streams }, moreThings, someThings, true},
}

// judgeResources is I9. An instance that was started anew is held against the run before.
func (e *evidence) judgeResources() {
	if len(e.faults) == 0 || len(e.h.Samples) == 0 {
		e.note("I9", "there are no samples, or no faults")
		return
	}
	over := time.Duration(0)
	for _, f := range e.faults {
		over = max(over, f.End, f.Recovered)
	}
	byInstance := make(map[string][]history.Sample)
	var order []string
	for _, s := range e.h.Samples {
		if byInstance[s.Instance] == nil {
			order = append(order, s.Instance)
		}
		byInstance[s.Instance] = append(byInstance[s.Instance], s)
	}
	slices.Sort(order)
	for _, instance := range order {
		samples := byInstance[instance]
		slices.SortStableFunc(samples, func(a, b history.Sample) int { return cmp.Compare(a.At, b.At) })
		e.judgeInstance(instance, samples, over+settling)
	}
}

func (e *evidence) judgeInstance(instance string, samples []history.Sample, over time.Duration) {
	var before, after []history.Sample
	for _, s := range samples {
		switch {
		case s.At < e.faults[0].Begin:
			before = append(before, s)
		case s.At >= over && s.Run == samples[len(samples)-1].Run:
			after = append(after, s)
		}
	}
	if len(before) == 0 || len(after) == 0 {
		e.note("I9", instance+" has no samples before the first fault, or none after the last")
		return
	}
	after = after[max(0, len(after)-looks):]
	resting := after[0].At > e.end
	for _, g := range gauges {
		e.checked("I9")
		was, is := extreme(before, g.of, slices.Max), extreme(after, g.of, slices.Min)
		limit := was*g.more + g.some
		if g.idle && resting {
			limit = idle
		}
		if is > limit {
			e.broken("I9", after[len(after)-1].At, fmt.Sprintf("instance %s, run %d, has %.0f %s at %s; before the first fault it had %.0f, and %.0f would do",
				instance, after[0].Run, is, g.name, at(after[len(after)-1].At), was, limit))
		}
	}
}

func extreme(samples []history.Sample, of func(history.Sample) float64, which func([]float64) float64) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, of(s))
	}
	return which(values)
}

// clientLeft is the status that metrics and log have where the client had gone.
const clientLeft = 499

// killedSlack is how many answers of a run that was killed may not be in its log: those it gave in its last moment.
const killedSlack = 3

// counted is one instance's run and method.
type counted struct {
	instance string
	run      int
	method   history.Method
}

// judgeCounts is I10. A negative count is not known: the run was killed.
func (e *evidence) judgeCounts() {
	if len(e.h.Counts) == 0 {
		e.note("I10", "nothing was counted")
	}
	groups := make(map[counted][]history.Count)
	var order []counted
	for _, c := range e.h.Counts {
		g := counted{c.Instance, c.Run, c.Method}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], c)
	}
	for _, g := range order {
		e.judgeGroup(g, groups[g])
	}
}

// judgeGroup compares the counts of each status, and then what the service has more than its clients: not more than there
// were clients without an answer, and requests whose client had left.
func (e *evidence) judgeGroup(g counted, counts []history.Count) {
	unanswered, inMetrics, inLog := 0, 0, 0
	name := fmt.Sprintf("instance %s, run %d, %s", g.instance, g.run, g.method)
	for _, c := range counts {
		switch c.Status {
		case 0:
			unanswered += c.Clients
			continue
		case clientLeft:
			unanswered += max(c.Clients, c.Metrics, c.Log)
			continue
		}
		e.checked("I10")
		killed := c.Metrics < 0
		inMetrics += c.Metrics - c.Clients
		inLog += c.Log - c.Clients
		switch {
		case !killed && c.Clients > c.Metrics, c.Log >= 0 && c.Clients > c.Log && !(killed && c.Clients <= c.Log+killedSlack):
			e.broken("I10", e.end, fmt.Sprintf("%s: clients had status %d %d times, the metrics have %d and the log %d", name, c.Status, c.Clients, c.Metrics, c.Log))
		case !killed && c.Log >= 0 && c.Metrics != c.Log:
			e.broken("I10", e.end, fmt.Sprintf("%s: the metrics have status %d %d times and the log %d", name, c.Status, c.Metrics, c.Log))
		}
	}
	if more := max(inMetrics, inLog); more > unanswered {
		e.broken("I10", e.end, fmt.Sprintf("%s: metrics or log have %d answers more than clients, of whom only %d had none", name, more, unanswered))
	}
}
