package load

import (
	"maps"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"userinfo/bench/result"
)

// Part is one generator's share of a sample. It keeps a histogram of each second, so that shares can be merged without
// loss.
type Part struct {
	Sample  result.Sample // without Series
	Seconds []tick
}

// tick is one second: latencies of what was done, exact to two digits.
type tick struct {
	Errors  int64
	Latency result.Histogram
}

// tally counts a round. It is safe for concurrent use.
type tally struct {
	mu   sync.Mutex
	part *Part
}

func newTally(mode result.Mode, seconds float64) *tally {
	p := &Part{Sample: result.Sample{Mode: mode, Seconds: seconds, Errors: map[string]int64{},
		Late: result.NewHistogram(), Latency: result.NewHistogram()}}
	return &tally{part: p}
}

// add counts a request. at is when in the round it was due (open) or answered (closed); late is how late it was sent,
// less than nothing where that is not known; reason is empty where it was done.
func (t *tally) add(at, late, latency time.Duration, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.part.Sample
	if late >= 0 {
		s.Late.Add(late)
	}
	second := t.part.second(int(at / time.Second))
	if reason != "" {
		s.Errors[reason]++
		second.Errors++
		return
	}
	s.Done++
	if s.Mode == result.Open && (at+latency-result.Grace).Seconds() <= s.Seconds {
		s.InTime++
	}
	s.Latency.Add(latency)
	second.Latency.Add(latency)
}

func (p *Part) second(i int) *tick {
	for len(p.Seconds) <= i {
		coarse := hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 2)
		p.Seconds = append(p.Seconds, tick{Latency: result.Histogram{Histogram: coarse}})
	}
	return &p.Seconds[i]
}

// Merge makes a sample of the shares of all generators in one round. Target, Workload, Data, ValueBytes, Nodes and Costs
// are the caller's to fill. Without parts it is empty.
func Merge(parts ...*Part) result.Sample {
	if len(parts) == 0 {
		return result.Sample{}
	}
	first := parts[0].Sample
	all := newTally(first.Mode, first.Seconds).part
	s := &all.Sample
	s.Round, s.Began = first.Round, first.Began
	for _, p := range parts {
		s.Rate += p.Sample.Rate
		s.Connections += p.Sample.Connections
		if p.Sample.Began.Before(s.Began) {
			s.Began = p.Sample.Began
		}
		s.Done += p.Sample.Done
		s.InTime += p.Sample.InTime
		for reason, n := range maps.All(p.Sample.Errors) {
			s.Errors[reason] += n
		}
		s.Late.Merge(p.Sample.Late.Histogram)
		s.Latency.Merge(p.Sample.Latency.Histogram)
		s.Sent, s.Received = known(s.Sent, p.Sample.Sent), known(s.Received, p.Sample.Received)
		for i := range p.Seconds {
			second := all.second(i)
			second.Errors += p.Seconds[i].Errors
			second.Latency.Merge(p.Seconds[i].Latency.Histogram)
		}
	}
	for _, t := range all.Seconds {
		s.Series = append(s.Series, result.Second{Done: t.Latency.TotalCount(), Errors: t.Errors,
			P50: t.Latency.At(0.5), P99: t.Latency.At(0.99), Max: time.Duration(t.Latency.Max()) * time.Microsecond})
	}
	return all.Sample
}

// known adds bytes on the wire; what has a part that is not known is not known.
func known(a, b int64) int64 {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}
