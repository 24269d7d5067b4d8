package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"userinfo/bench/result"
	"userinfo/internal/page"
)

// workload is what a run has measured under one of its workloads.
type workload struct {
	Name   string
	Anchor string
	Shared string // what all its samples have in common
	Kinds  []string
	Rows   []row
	Ratios []comparison
	Notes  []string
	// Percentiles and OverTime are of one condition, Main.
	Main                  condition
	Percentiles, OverTime page.Picture
}

// row is one target under one condition, all rounds.
type row struct {
	Target, Where string
	Rounds        int
	Throughput    Spread
	Latency       []string // at each quantile that is shown in tables, and the greatest
	Errors        int64
	CPU           []string // µs per request of each of the workload's kinds
	Own           Spread
	Mallocs       Spread
	Resident      Spread // bytes
	Wire          Spread
	Failing       bool
}

// comparison is the ratio of one target to another, by rounds.
type comparison struct {
	Over, Under, Where        string
	Throughput, P50, P99, Own Spread
}

// quantilesShown are those of the tables.
var quantilesShown = []float64{0.5, 0.9, 0.99, 0.999}

func (s samples) byRound() samples {
	all := slices.Clone(s)
	slices.SortStableFunc(all, func(a, b *result.Sample) int {
		return cmp.Or(cmp.Compare(a.Round, b.Round), a.Began.Compare(b.Began))
	})
	return all
}

func workloadOf(name string, s samples) workload {
	w := workload{Name: name, Kinds: kindsOf(s), Main: s.main()}
	groups := s.groups()
	var conditions []condition
	for _, g := range groups {
		conditions = append(conditions, g.is)
	}
	var own []string
	w.Shared, own = common(conditions)
	for i, g := range groups {
		w.Rows = append(w.Rows, rowOf(g.target, own[i], w.Kinds, g.samples))
		for _, target := range s.where(under(g.within)).targets() {
			// The first of a condition, which is the service where it was measured, is compared with all others.
			if first := i == 0 || groups[i-1].within != g.within; first && target != g.target {
				if c := comparisonOf(own[i], g.samples, s, target, g.is.Workload); c.Throughput.N > 0 {
					w.Ratios = append(w.Ratios, c)
				}
			}
		}
	}
	w.Notes = notes(s)
	return w
}

// main is the condition that a workload's plots are of: with the most targets, then the most samples, then the
// simplest.
func (s samples) main() condition {
	return slices.MinFunc(s.conditions(), func(a, b condition) int {
		x, y := s.where(under(a)), s.where(under(b))
		return cmp.Or(len(y.targets())-len(x.targets()), len(y)-len(x), a.compare(b))
	})
}

func rowOf(target, where string, kinds []string, s samples) row {
	r := row{Target: target, Where: where, Rounds: len(s), Throughput: s.spread(throughput), Own: s.spread(ownCPU), Mallocs: s.spread(mallocs),
		Resident: s.spread(resident), Wire: s.spread(wire)}
	latency := s.merged()
	for _, q := range quantilesShown {
		r.Latency = append(r.Latency, ms(latency, latency.At(q)))
	}
	r.Latency = append(r.Latency, ms(latency, time.Duration(latency.Max())*time.Microsecond))
	for _, kind := range kinds {
		r.CPU = append(r.CPU, s.spread(cpuOf(kind)).Words())
	}
	for _, x := range s {
		r.Errors += x.Errored()
		r.Failing = r.Failing || behind(x)
	}
	return r
}

// ms writes a latency in milliseconds.
func ms(of result.Histogram, d time.Duration) string {
	if of.TotalCount() == 0 {
		return none
	}
	return digits(milliseconds(d))
}

// Memory is the row's resident memory in words.
func (r row) Memory() string {
	if r.Resident.N == 0 {
		return none
	}
	return bytesOf(r.Resident.Median)
}

// comparisonOf compares some samples with their partners.
func comparisonOf(where string, over, all samples, target, workload string) comparison {
	c := comparison{Over: over[0].Target, Under: target, Where: where}
	if over[0].Workload != workload {
		c.Under += " in " + workload
	}
	of := func(m metric) Spread {
		var ratios []float64
		for _, x := range over {
			if v, ok := ratio(m, x, all.partner(x, target, workload)); ok {
				ratios = append(ratios, v)
			}
		}
		return spreadOf(ratios)
	}
	c.Throughput, c.P50, c.P99, c.Own = of(throughput), of(p50), of(p99), of(ownCPU)
	return c
}

// lateness is how late a generator may send one request in a hundred before a reader is told.
const lateness = time.Millisecond

// notes are what a reader has to know to believe a workload's figures.
func notes(s samples) []string {
	var all []string
	for _, target := range s.targets() {
		some := s.where(targetIs(target))
		reasons := make(map[string]int64)
		var late time.Duration
		for _, x := range some {
			for reason, n := range x.Errors {
				reasons[reason] += n
			}
			late = max(late, x.Late.At(0.99))
		}
		var words []string
		for _, reason := range sortedKeys(reasons) {
			words = append(words, page.Count(int(reasons[reason]))+" × "+reason)
		}
		if len(words) > 0 {
			all = append(all, target+" failed: "+strings.Join(words, ", "))
		}
		if busy := busiest(some); busy > busyGenerator {
			all = append(all, fmt.Sprintf("a generator was busy for %.0f %% of the time with %s: more could perhaps be asked of it, with more -generators", 100*busy, target))
		}
		if late > lateness {
			all = append(all, fmt.Sprintf("the generator itself sent one request in a hundred %s ms late or later to %s, in its worst round: latencies have that in them",
				digits(milliseconds(late)), target))
		}
	}
	return all
}

// busyGenerator is the share of its one core from which on a generator may be what bounds a closed loop.
const busyGenerator = 0.85

// busiest is the greatest share of a core that a generator has had in a closed loop.
func busiest(s samples) (share float64) {
	for _, x := range s.where(closed) {
		for _, c := range x.Costs {
			if c.Kind == result.KindGenerator {
				share = max(share, c.CPU.Seconds()/x.Seconds)
			}
		}
	}
	return share
}

// fresh are the workloads with a new connection for each request.
var fresh = []string{result.FreshMTLS, result.FreshMTLSResumed, result.FreshToken, result.FreshTokenResumed, result.FreshSidecar}

// ways compares the ways in which a client that keeps no connection can ask, each with the first: by rounds.
func ways(s samples) []comparison {
	var all []comparison
	for _, w := range fresh {
		target := result.UserInfo
		if w == result.FreshSidecar {
			target = result.Sidecar
		}
		over := s.where(of(target, w))
		if w == fresh[0] || len(over) == 0 {
			continue
		}
		c := comparisonOf("", over, s, result.UserInfo, fresh[0])
		c.Over += " in " + w
		all = append(all, c)
	}
	return all
}
