package report

import (
	"cmp"
	"slices"
	"time"

	"userinfo/drill/history"
)

// Fault is a fault and what clients saw of it.
type Fault struct {
	history.Fault
	// Seen counts the operations that were under way at any time from Begin to Recovered.
	Seen  Tally  `json:"seen"`
	Sides []Side `json:"sides"` // one for each datacentre
}

// Side is what the clients of one datacentre saw of a fault: of get, set and touch alone, since a delete asks every
// datacentre. An operation belongs to the time at which it was due.
type Side struct {
	DC     string `json:"dc"`
	Before Phase  `json:"before"` // from the recovery from the fault before, or the drill's begin
	During Phase  `json:"during"` // from Begin to End
	After  Phase  `json:"after"`  // from Recovered to the next fault, or the drill's end
	// FirstSecond counts During's errors in the fault's first second.
	FirstSecond int `json:"first_second_errors"`
	// Back is the time from End to the begin of the first second in which all answers were right and their median was
	// within twice that of before; negative: there was none before the next fault.
	Back time.Duration `json:"back"`
}

// Phase sums up the operations of a time.
type Phase struct {
	Tally
	P50 float64 `json:"p50_ms"` // of the right answers, from when each was due; 0: there is none
	P99 float64 `json:"p99_ms"`
}

// HasRecovered tells whether everything was seen to be well again.
func (f Fault) HasRecovered() bool { return f.Recovered > 0 && f.Recovered >= f.End }

// Recovery is the time from End until everything was well again, 0 where it was not.
func (f Fault) Recovery() time.Duration {
	if !f.HasRecovered() {
		return 0
	}
	return f.Recovered - f.End
}

func faults(h *history.History) []Fault {
	var all []Fault
	var end time.Duration
	for i := range h.Operations {
		end = max(end, h.Operations[i].Due+1)
	}
	clients := clientsOf(h)
	for _, f := range h.Faults {
		one := Fault{Fault: f}
		from, until := time.Duration(0), end
		for _, g := range h.Faults {
			if g.Recovered <= f.Begin {
				from = max(from, g.Recovered)
			}
			if g.Begin > f.Begin {
				until = min(until, g.Begin)
			}
		}
		recovered := until // of what never recovered, all that follows is its doing
		if one.HasRecovered() {
			recovered = f.Recovered
		}
		for i := range h.Operations {
			if o := &h.Operations[i]; !o.Final && o.Invoke <= recovered && o.Complete >= f.Begin {
				one.Seen.add(of(o))
			}
		}
		for _, dc := range h.Datacentres {
			one.Sides = append(one.Sides, side(clients, dc, f, from, recovered, until))
		}
		all = append(all, one)
	}
	return all
}

func side(c clients, dc string, f history.Fault, from, recovered, until time.Duration) Side {
	in := func(from, until time.Duration) Phase { return c.phase(dc, from, until) }
	s := Side{DC: dc, Before: in(from, f.Begin), During: in(f.Begin, f.End), After: in(recovered, until)}
	s.FirstSecond = in(f.Begin, min(f.End, f.Begin+time.Second)).Errors()
	s.Back = -1
	for at := f.End; at < until; at += time.Second {
		second := in(at, min(until, at+time.Second))
		if second.Right > 0 && second.Errors() == 0 && (s.Before.P50 == 0 || second.P50 <= 2*s.Before.P50) {
			s.Back = at - f.End
			break
		}
	}
	return s
}

// clients are what a fault's figures are of, by the datacentre of the client, in the order in which they were due: get,
// set and touch, without the last reads.
type clients map[string][]*history.Operation

func clientsOf(h *history.History) clients {
	c := make(clients)
	for i := range h.Operations {
		if o := &h.Operations[i]; !o.Final && o.Method != history.Delete {
			c[o.DC] = append(c[o.DC], o)
		}
	}
	for _, operations := range c {
		slices.SortStableFunc(operations, func(a, b *history.Operation) int { return cmp.Compare(a.Due, b.Due) })
	}
	return c
}

// phase is of what was due in a time, its begin included and its end not.
func (c clients) phase(dc string, from, until time.Duration) Phase {
	var p Phase
	var latencies []time.Duration
	all := c[dc]
	first, _ := slices.BinarySearchFunc(all, from, func(o *history.Operation, at time.Duration) int { return cmp.Compare(o.Due, at) })
	for _, o := range all[first:] {
		if o.Due >= until {
			break
		}
		t := of(o)
		p.add(t)
		if t.Right > 0 {
			latencies = append(latencies, o.Complete-o.Due)
		}
	}
	p.P50, p.P99 = percentiles(latencies)
	return p
}
