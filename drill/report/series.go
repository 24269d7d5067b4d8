package report

import (
	"slices"
	"strconv"
	"time"

	"userinfo/drill/history"
)

// Series is what the clients of one datacentre saw, step by step from the drill's begin. An operation belongs to the
// step in which it was due, so that a fault's errors stand where the fault stands, and its latency counts from then:
// with an open loop the wait for a slow service is the service's. P50 and P99 are of the right answers, by nearest rank;
// 0 where there was none. The last reads of all keys, after everything has settled, are left out.
type Series struct {
	DC      string    `json:"dc"`
	Right   []int     `json:"right"`
	Failed  []int     `json:"failed"`
	Unknown []int     `json:"unknown"`
	Local   []int     `json:"local"`
	P50     []float64 `json:"p50_ms"`
	P99     []float64 `json:"p99_ms"`
}

// series is of all datacentres, in steps of the fewest seconds that keep it small.
func series(h *history.History) (step time.Duration, all []Series) {
	var last time.Duration
	for i := range h.Operations {
		if o := &h.Operations[i]; !o.Final {
			last = max(last, o.Due)
		}
	}
	seconds := int(last/time.Second) + 1
	most := maxPoints / max(1, len(h.Datacentres))
	step = time.Duration((seconds+most-1)/most) * time.Second
	n := int(last/step) + 1
	for _, dc := range h.Datacentres {
		all = append(all, seriesOf(h, dc, step, n))
	}
	return step, all
}

func seriesOf(h *history.History, dc string, step time.Duration, n int) Series {
	s := Series{DC: dc, Right: make([]int, n), Failed: make([]int, n), Unknown: make([]int, n), Local: make([]int, n),
		P50: make([]float64, n), P99: make([]float64, n)}
	latencies := make([][]time.Duration, n)
	for i := range h.Operations {
		o := &h.Operations[i]
		if o.Final || o.DC != dc || o.Due < 0 {
			continue
		}
		at, t := int(o.Due/step), of(o)
		s.Right[at] += t.Right
		s.Failed[at] += t.Failed
		s.Unknown[at] += t.Unknown
		s.Local[at] += t.Local
		if t.Right > 0 {
			latencies[at] = append(latencies[at], o.Complete-o.Due)
		}
	}
	for i, l := range latencies {
		s.P50[i], s.P99[i] = percentiles(l)
	}
	return s
}

// percentiles gives the median and the 99th percentile in milliseconds, by nearest rank; 0 of nothing. It sorts l.
func percentiles(l []time.Duration) (p50, p99 float64) {
	if len(l) == 0 {
		return 0, 0
	}
	slices.Sort(l)
	rank := func(percent int) float64 { return milliseconds(l[(len(l)*percent+99)/100-1]) }
	return rank(50), rank(99)
}

// milliseconds has three digits that count, which is what a plot shows and a file should hold.
func milliseconds(d time.Duration) float64 {
	ms := max(0, float64(d)/float64(time.Millisecond))
	short, err := strconv.ParseFloat(strconv.FormatFloat(ms, 'g', 3, 64), 64)
	if err != nil {
		return ms
	}
	return short
}
