package result

import (
	"fmt"
	"math"
	"slices"
	"time"

	"userinfo/internal/report"
)

// metric is a figure that one sample shows. of returns false if the sample does not show it.
type metric struct {
	name       string
	unit       string
	moreIsGood bool
	of         func(*Sample) (float64, bool)
}

var (
	throughput   = metric{"requests/s", "/s", true, func(s *Sample) (float64, bool) { return s.Throughput(), s.Seconds > 0 }}
	p50          = latency("p50", 0.5)
	p99          = latency("p99", 0.99)
	ownCPU       = cpu("own CPU per request", (*Sample).OwnCPU)
	cassandraCPU = cpu("Cassandra CPU per request", func(s *Sample) time.Duration { return s.CPU(KindCassandra) })
	errorShare   = metric{"failed requests", "%", false, func(s *Sample) (float64, bool) {
		all := s.Done + s.ErrorCount()
		return 100 * float64(s.ErrorCount()) / float64(max(1, all)), all > 0
	}}
	memory = metric{"memory", "MB", false, func(s *Sample) (float64, bool) {
		var sum int64
		for _, c := range s.Costs {
			if c.Kind != KindCassandra && c.Kind != KindGenerator {
				sum += c.RSS
			}
		}
		return float64(sum) / 1e6, sum > 0
	}}
)

func latency(name string, quantile float64) metric {
	return metric{name, "ms", false, func(s *Sample) (float64, bool) {
		return float64(s.Latency.At(quantile)) / float64(time.Millisecond), s.Done > 0
	}}
}

func cpu(name string, of func(*Sample) time.Duration) metric {
	return metric{name, "µs", false, func(s *Sample) (float64, bool) {
		used := of(s)
		return float64(used) / float64(time.Microsecond), used > 0
	}}
}

// kindCPU returns the metric of the CPU time of one kind of process.
func kindCPU(kind string) metric {
	return cpu(kind+" CPU", func(s *Sample) time.Duration { return s.CPU(kind) })
}

// values returns the metric of all samples that show it.
func (m metric) values(samples []*Sample) (all []float64) {
	for _, s := range samples {
		if v, ok := m.of(s); ok {
			all = append(all, v)
		}
	}
	return all
}

// ratios returns, per round, the metric of a's sample divided by b's.
func (m metric) ratios(a, b group) (all []float64) {
	for _, x := range a.samples {
		i := slices.IndexFunc(b.samples, func(y *Sample) bool { return y.Round == x.Round })
		if i < 0 {
			continue
		}
		over, ok := m.of(x)
		under, also := m.of(b.samples[i])
		if ok && also && under > 0 {
			all = append(all, over/under)
		}
	}
	return all
}

// median returns the median, or NaN if there are no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// spread writes the median of values and their range.
func spread(values []float64) report.Markdown {
	if len(values) == 0 {
		return report.None
	}
	text := report.Number(median(values))
	low, high := report.Number(slices.Min(values)), report.Number(slices.Max(values))
	if low != high {
		text += fmt.Sprintf(" (%s–%s)", low, high)
	}
	return report.Markdown(text)
}
