package judge

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"userinfo/drill/history"
)

// verifyConnections checks I5.
func (e *evidence) verifyConnections() {
	if len(e.h.Samples) == 0 {
		e.note("I5", "there are no samples")
	}
	for _, s := range e.h.Samples {
		e.count("I5", 1)
		if s.Remote > 0 {
			e.violation("I5", s.At, nil, "instance %s had %d connections to Cassandra nodes of another datacentre at %s", s.Instance, s.Remote, clock(s.At))
		}
	}
}

const (
	// maxIdle is how many requests and statements may be in flight without load. The scrape of the metrics is a request,
	// and the service itself looks for pending deletes and checks its readiness.
	maxIdle = 2
	// settleTime is how long after the last fault an instance may take to release its resources.
	settleTime = 5 * time.Second
	// lastSamples is how many samples at the end of a drill count. A leak shows in all of them.
	lastSamples = 3
)

// gauge is a number that I9 checks. The limit after the faults is the number before, times factor, plus margin.
type gauge struct {
	name           string
	value          func(history.Sample) float64
	factor, margin float64
	idle           bool // at most maxIdle without load
}

var gauges = []gauge{
	{"goroutines", func(s history.Sample) float64 { return s.Goroutines }, 1.25, 20, false},
	{"file descriptors", func(s history.Sample) float64 { return s.FDs }, 1.25, 20, false},
	{"bytes of memory", func(s history.Sample) float64 { return s.RSSBytes }, 1.5, 64 << 20, false},
	{"requests in flight", func(s history.Sample) float64 { return s.InFlight }, 1.25, 20, true},
	{"CQL statements in flight", func(s history.Sample) float64 { return s.Streams }, 1.25, 20, true},
}

// verifyResources checks I9. An instance that was restarted is compared with its run before the first fault.
func (e *evidence) verifyResources() {
	for _, f := range e.faults {
		for _, name := range f.Ended {
			e.count("I9", 1)
			e.violation("I9", f.Begin, nil, "the process of instance %s ended by itself while %s was active", name, f.Name)
		}
	}
	if len(e.faults) == 0 || len(e.h.Samples) == 0 {
		e.note("I9", "there are no samples, or no faults")
		return
	}
	over := time.Duration(0)
	for _, f := range e.faults {
		over = max(over, f.End, f.Recovered)
	}
	byInstance := make(map[string][]history.Sample)
	for _, s := range e.h.Samples {
		byInstance[s.Instance] = append(byInstance[s.Instance], s)
	}
	for _, instance := range slices.Sorted(maps.Keys(byInstance)) {
		samples := byInstance[instance]
		slices.SortStableFunc(samples, func(a, b history.Sample) int { return cmp.Compare(a.At, b.At) })
		e.verifyInstance(instance, samples, over+settleTime)
	}
}

func (e *evidence) verifyInstance(instance string, samples []history.Sample, over time.Duration) {
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
	after = after[max(0, len(after)-lastSamples):]
	last := after[len(after)-1]
	withoutLoad := after[0].At > e.end
	for _, g := range gauges {
		e.count("I9", 1)
		byValue := func(a, b history.Sample) int { return cmp.Compare(g.value(a), g.value(b)) }
		was, is := g.value(slices.MaxFunc(before, byValue)), g.value(slices.MinFunc(after, byValue))
		limit := was*g.factor + g.margin
		if g.idle && withoutLoad {
			limit = maxIdle
		}
		if is > limit {
			e.violation("I9", last.At, nil, "instance %s, run %d, has %.0f %s at %s; before the first fault it had %.0f, and the limit is %.0f",
				instance, last.Run, is, g.name, clock(last.At), was, limit)
		}
	}
}
