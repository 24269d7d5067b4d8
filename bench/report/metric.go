package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"userinfo/bench/result"
	"userinfo/internal/page"
)

// metric is what one sample tells of one thing; false where it does not tell.
type metric struct {
	Name string
	Unit string
	More bool // more is better
	of   func(*result.Sample) (float64, bool)
}

// The metrics. Own is the CPU time of what is measured, without the generator and without Cassandra.
var (
	throughput = metric{"requests/s", "/s", true, func(s *result.Sample) (float64, bool) {
		return s.Throughput(), s.Seconds > 0
	}}
	failures = metric{"failed requests", "%", false, func(s *result.Sample) (float64, bool) {
		all := s.Done + s.Errored()
		return 100 * float64(s.Errored()) / float64(max(1, all)), all > 0
	}}
	p50       = latencyAt("p50", 0.5)
	p99       = latencyAt("p99", 0.99)
	ownCPU    = perRequest("own CPU per request", "µs", own, cpu)
	cassandra = perRequest("Cassandra CPU per request", "µs", func(s *result.Sample) []string { return []string{result.KindCassandra} }, cpu)
	mallocs   = perRequest("allocations per request", "", own, func(c result.Cost) float64 { return float64(c.Mallocs) })
	wire      = metric{"bytes on the wire per request", "B", false, func(s *result.Sample) (float64, bool) {
		if s.Done == 0 || s.Sent <= 0 || s.Received <= 0 {
			return 0, false
		}
		return float64(s.Sent+s.Received) / float64(s.Done), true
	}}
	resident = metric{"memory", "B", false, func(s *result.Sample) (float64, bool) {
		n := total(s, own(s), func(c result.Cost) float64 { return float64(c.RSS) })
		return n, n > 0
	}}
)

func latencyAt(name string, q float64) metric {
	return metric{name, "ms", false, func(s *result.Sample) (float64, bool) {
		if s.Latency.Histogram == nil || s.Latency.TotalCount() == 0 {
			return 0, false
		}
		return milliseconds(s.Latency.At(q)), true
	}}
}

// cpuOf is the CPU time per request of all processes of a kind.
func cpuOf(kind string) metric {
	return perRequest(kind+" CPU per request", "µs", func(*result.Sample) []string { return []string{kind} }, cpu)
}

// perRequest sums what processes of some kinds used, by answered request. A sum of 0 is not known.
func perRequest(name, unit string, kinds func(*result.Sample) []string, used func(result.Cost) float64) metric {
	return metric{name, unit, false, func(s *result.Sample) (float64, bool) {
		n := total(s, kinds(s), used)
		if s.Done == 0 || n == 0 {
			return 0, false
		}
		return n / float64(s.Done), true
	}}
}

func cpu(c result.Cost) float64 { return float64(c.CPU) / float64(time.Microsecond) }

func total(s *result.Sample, kinds []string, used func(result.Cost) float64) (sum float64) {
	for _, c := range s.Costs {
		if slices.Contains(kinds, c.Kind) {
			sum += used(c)
		}
	}
	return sum
}

// own are the kinds of process that are the sample's target itself. The bare driver is in the generator.
func own(s *result.Sample) []string {
	if s.Target == result.Driver {
		return []string{result.KindGenerator}
	}
	var kinds []string
	for _, c := range s.Costs {
		if c.Kind != result.KindGenerator && c.Kind != result.KindCassandra && !slices.Contains(kinds, c.Kind) {
			kinds = append(kinds, c.Kind)
		}
	}
	return kinds
}

// Spread is some values: their number, median, least and greatest. With N 0 there is none, and the rest is 0.
type Spread struct {
	N                int
	Median, Min, Max float64
}

func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Spread{n, (v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]}
}

// values are what a metric tells of each of the samples that tell of it.
func (s samples) values(m metric) []float64 {
	var all []float64
	for _, x := range s {
		if v, ok := m.of(x); ok {
			all = append(all, v)
		}
	}
	return all
}

func (s samples) spread(m metric) Spread { return spreadOf(s.values(m)) }

// ratio is a's value to b's; false where one is not known, or b's is 0.
func ratio(m metric, a, b *result.Sample) (float64, bool) {
	if a == nil || b == nil {
		return 0, false
	}
	x, okX := m.of(a)
	y, okY := m.of(b)
	if !okX || !okY || y == 0 {
		return 0, false
	}
	return x / y, true
}

// none is written where nothing was measured.
const none = "–"

// Words writes the median with the least and the greatest: 1.15 (1.12–1.19).
func (s Spread) Words() string {
	switch {
	case s.N == 0:
		return none
	case digits(s.Min) == digits(s.Max):
		return digits(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.Median), digits(s.Min), digits(s.Max))
}

// digits writes a figure with three digits that count; whole numbers from 100 on.
func digits(v float64) string {
	if v >= 99.95 {
		return page.Count(int(math.Round(v)))
	}
	places := 2
	switch a := math.Abs(v); {
	case a >= 9.995:
		places = 1
	case a < 0.0995 && a > 0:
		places = 3
	}
	return strconv.FormatFloat(v, 'f', places, 64)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
