package report

import (
	"fmt"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"

	"userinfo/bench/result"
	"userinfo/internal/chart"
	"userinfo/internal/page"
)

// nines is where a quantile stands on an axis on which each further nine takes as much room as the one before.
func nines(q float64) float64 { return -math.Log10(1 - q) }

// shown are the quantiles that tables and axes have.
var shown = []struct {
	q    float64
	name string
}{{0.5, "50"}, {0.9, "90"}, {0.99, "99"}, {0.999, "99.9"}, {0.9999, "99.99"}}

// beyond is how many values have to lie beyond a quantile, for it to be more than an accident.
const beyond = 5

// merged takes together the latencies of several rounds.
func (s samples) merged() result.Histogram {
	all := result.NewHistogram()
	for _, x := range s {
		if x.Latency.Histogram != nil {
			all.Merge(x.Latency.Histogram)
		}
	}
	return all
}

// percentiles draws the latency of all targets under one condition: all rounds together, and at each whole nine the
// least and the greatest of the rounds.
func percentiles(c condition, s samples) figure {
	targets := s.targets()
	looks := looksOf(targets)
	f := figure{title: c.Workload + ": latency by percentile", about: c.String() + "; bars: from round to round", columns: 1, width: 900, height: 340}
	var p panel
	for _, target := range targets {
		some := s.where(targetIs(target))
		bars, curve := quantiles(some, looks[target])
		if len(bars.points) == 0 {
			continue
		}
		p.traces = append(p.traces, curve, bars)
		f.legend = append(f.legend, entry{looks[target], target})
	}
	var ticks []plot.Tick
	for _, q := range shown {
		ticks = append(ticks, plot.Tick{Value: nines(q.q), Label: q.name})
	}
	p.x = axis{label: "percentile of requests", min: 0, max: nines(0.9999) + 0.15, ticks: plot.ConstantTicks(ticks)}
	p.y = latencyAxis(p.traces)
	f.panels = []panel{p}
	return f
}

// quantiles are a target's rounds as a trace with bars at whole nines, and as a smooth curve.
func quantiles(s samples, l look) (bars, curve trace) {
	all := s.merged()
	bars = trace{look: l}
	bars.look.width = 0
	curve = trace{look: l, plain: true}
	enough := func(q float64) bool { return float64(all.TotalCount())*(1-q) >= beyond-1e-6 }
	for x := nines(0.01); x <= nines(0.9999)+0.01; x += 0.02 {
		if q := 1 - math.Pow(10, -x); enough(q) {
			curve.points = append(curve.points, plotter.XY{X: x, Y: milliseconds(all.At(q))})
		}
	}
	for _, q := range shown {
		if !enough(q.q) {
			break
		}
		spread := s.spread(latencyAt("", q.q))
		at := milliseconds(all.At(q.q))
		bars.points = append(bars.points, plotter.XY{X: nines(q.q), Y: at})
		bars.low, bars.high = append(bars.low, min(at, spread.Min)), append(bars.high, max(at, spread.Max))
	}
	return bars, curve
}

// overTime draws p50 and p99 of each second, a panel for each target; its rounds stand side by side, without the time
// between them, which was the other targets'.
func overTime(c condition, s samples) figure {
	targets := s.targets()
	f := figure{title: c.Workload + ": latency over time", about: c.String(), columns: 1, width: 900, height: 104,
		legend: []entry{{medianLook, "p50 of each second"}, {tailLook, "p99 of each second"}, {roundLook, "next round"}, {errorLook, "a second with errors"}}}
	var all []trace
	end := 1.0
	for _, target := range targets {
		p := timePanel(target, s.where(targetIs(target)))
		end = max(end, p.x.max)
		all = append(all, p.traces[:2]...)
		f.panels = append(f.panels, p)
	}
	y := latencyAxis(known(all))
	y.label = "ms (log)"
	for i := range f.panels {
		p := &f.panels[i]
		p.x.max, p.x.ticks, p.y = end, chart.Whole, y
		for j := range p.traces[2].points {
			p.traces[2].points[j].Y = y.max
		}
	}
	if n := len(f.panels); n > 0 {
		f.panels[n-1].x.label = "seconds that were counted, rounds side by side"
	}
	return f
}

// The looks of a panel over time.
var (
	medianLook = look{colour: sky, width: 2}
	tailLook   = look{colour: blue, width: 2}
	roundLook  = look{colour: grey, width: 1.2, dashed: true}
	errorLook  = look{colour: vermillion, shape: draw.PyramidGlyph{}}
)

func timePanel(target string, s samples) panel {
	p := panel{title: target}
	median, tail, errors := trace{look: medianLook, plain: true}, trace{look: tailLook, plain: true}, trace{look: errorLook}
	at, failed := 0.0, int64(0)
	for i, x := range s.byRound() {
		if i > 0 {
			p.marks = append(p.marks, mark{look: roundLook, x: at})
			gap := plotter.XY{X: at, Y: math.NaN()}
			median.points, tail.points = append(median.points, gap), append(tail.points, gap)
		}
		for _, second := range x.Series {
			median.points = append(median.points, step(at, second.P50)...)
			tail.points = append(tail.points, step(at, second.P99)...)
			if second.Errors > 0 {
				errors.points = append(errors.points, plotter.XY{X: at + 0.5})
				failed += second.Errors
			}
			at++
		}
	}
	if failed > 0 {
		p.title += fmt.Sprintf(" — %s", page.Plural(int(failed), "error"))
	}
	p.x.max = at
	p.traces = []trace{median, tail, errors}
	return p
}

// step is one second of a line; a gap where nothing was answered.
func step(at float64, d time.Duration) []plotter.XY {
	v := milliseconds(d)
	if d <= 0 {
		v = math.NaN()
	}
	return []plotter.XY{{X: at, Y: v}, {X: at + 1, Y: v}}
}

// known leaves gaps out.
func known(all []trace) []trace {
	var some []trace
	for _, t := range all {
		var k trace
		for _, p := range t.points {
			if !math.IsNaN(p.Y) {
				k.points = append(k.points, p)
			}
		}
		some = append(some, k)
	}
	return some
}
