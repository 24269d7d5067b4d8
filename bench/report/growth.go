package report

import (
	"cmp"
	"fmt"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"userinfo/bench/result"
	"userinfo/internal/chart"
	"userinfo/internal/page"
)

// curveRates is how many rates make a curve.
const curveRates = 3

// curves draws throughput against latency, up to saturation, for each workload that was sent at several rates: p50 and
// p99 in a panel each. The highest rate that a closed loop has found is a dashed line.
func curves(s samples) (figure, bool) {
	f := figure{title: "Throughput against latency", about: "open loop; a point is a planned rate, over all rounds; dashed: the highest rate, in a closed loop", columns: 1, width: 900, height: 260}
	targets := s.targets()
	looks := looksOf(targets)
	names := make(map[string]string)
	for _, c := range s.curveConditions() {
		open := s.where(c.butRate)
		some := s.where(c.butMode, func(x *result.Sample) bool { return len(open.where(targetIs(x.Target))) > 0 })
		for _, m := range []metric{p50, p99} {
			p := curvePanel(some, m, looks)
			p.title = fmt.Sprintf("%s: %s — %s", c.Workload, m.Name, c.rateless())
			f.panels = append(f.panels, p)
		}
		for _, t := range some.targets() {
			names[t] = t
			if highest := some.where(targetIs(t), closed).spread(throughput); highest.N > 0 {
				names[t] += ", in a closed loop " + digits(highest.Median) + "/s"
			}
		}
	}
	for _, t := range targets {
		if name, ok := names[t]; ok {
			f.legend = append(f.legend, entry{looks[t], name})
		}
	}
	return f, len(f.panels) > 0
}

// rateless is the condition in words, without its mode and rate.
func (c condition) rateless() string {
	c.Mode, c.Rate = "", 0
	return c.String()
}

// curveConditions are those under which one target was sent several rates, their own rate left out.
func (s samples) curveConditions() []condition {
	var all []condition
	for _, c := range s.where(func(x *result.Sample) bool { return x.Mode == result.Open }).conditions() {
		c.Rate = 0
		if !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return slices.DeleteFunc(all, func(c condition) bool {
		for _, t := range s.targets() {
			if len(distinct(s.where(of(t, c.Workload), c.butRate), rateOf, cmp.Compare)) >= curveRates {
				return false
			}
		}
		return true
	})
}

func rateOf(x *result.Sample) float64 { return x.Rate }

// butRate tells whether a sample was in an open loop and under c, whatever its rate.
func (c condition) butRate(x *result.Sample) bool {
	c.Rate = x.Rate
	return x.Mode == result.Open && conditionOf(x).fits(c)
}

// butMode tells whether a sample was under c, whatever its mode and rate.
func (c condition) butMode(x *result.Sample) bool {
	c.Mode, c.Rate = x.Mode, x.Rate
	return conditionOf(x).fits(c)
}

func curvePanel(s samples, m metric, looks map[string]look) panel {
	p := panel{}
	end := 1.0
	for _, target := range s.targets() {
		t := trace{look: looks[target]}
		open := s.where(targetIs(target), func(x *result.Sample) bool { return x.Mode == result.Open })
		for _, rate := range distinct(open, rateOf, cmp.Compare) {
			some := open.where(func(x *result.Sample) bool { return x.Rate == rate })
			latency, answered := some.spread(m), some.spread(throughput)
			if latency.N > 0 {
				t.points = append(t.points, plotter.XY{X: answered.Median, Y: latency.Median})
				t.low, t.high = append(t.low, latency.Min), append(t.high, latency.Max)
				end = max(end, answered.Median)
			}
		}
		p.traces = append(p.traces, t)
	}
	end *= 1.15
	for _, target := range s.targets() {
		// One that is far beyond what was sent would leave no room for it.
		if highest := s.where(targetIs(target), closed).spread(throughput); highest.N > 0 && highest.Median < end {
			p.marks = append(p.marks, mark{look: looks[target], x: highest.Median})
		}
	}
	p.x = axis{label: "requests answered per second", max: end, ticks: chart.Whole}
	p.y = latencyAxis(p.traces)
	return p
}

// growth draws how cost grows with data, connections and nodes, and memory with connections: a panel for each that a
// run has at least two of.
func growth(run *result.Run) (figure, bool) {
	s := samplesOf(run).where(workloadIs(result.Get))
	f := figure{title: "How cost grows", about: "workload get; bars: from round to round", columns: 2, width: 400, height: 230}
	dimensions := []struct {
		title, label string
		of           func(*result.Sample) float64
		words        func(float64) string
		strip        func(*condition)
	}{
		{"with data", "bytes of values (log)", func(x *result.Sample) float64 { return float64(x.Data) }, bytesOf, func(c *condition) { c.Data = 0 }},
		{"with clients", "kept connections (log)", func(x *result.Sample) float64 { return float64(x.Connections) }, whole, func(c *condition) { c.Connections = 0 }},
		{"with nodes", "Cassandra nodes (log)", func(x *result.Sample) float64 { return float64(x.Nodes) }, whole, func(c *condition) { c.Nodes = 0 }},
	}
	names := make(map[string]look)
	for _, d := range dimensions {
		p := panel{y: axis{label: "CPU per request, µs", ticks: chart.Whole}}
		var rest condition
		for _, target := range []string{result.UserInfo, result.Driver, result.Redis} {
			for _, line := range growthLines(s.where(targetIs(target)), d.of, d.strip) {
				p.traces = append(p.traces, line.trace)
				names[line.name], rest = line.trace.look, line.rest
			}
		}
		if len(p.traces) > 0 {
			rest.Mode = ""
			d.strip(&rest)
			p.title = fmt.Sprintf("%s — %s", d.title, rest)
			p.scale(d.label, d.words)
			f.panels = append(f.panels, p)
		}
	}
	if p, ok := memoryPanel(run.Footprints, names); ok {
		f.panels = append(f.panels, p)
	}
	for _, name := range growthOrder {
		if l, ok := names[name]; ok {
			f.legend = append(f.legend, entry{l, name})
		}
	}
	return f, len(f.panels) > 0
}

func whole(v float64) string { return page.Count(int(v)) }

// growthLine is a named trace, and the condition that all its points share.
type growthLine struct {
	name  string
	trace trace
	rest  condition
}

// growthOrder is the lines' order in the legend.
var growthOrder = []string{"userinfo: service", "userinfo: Cassandra, all nodes", "driver: generator", "driver: Cassandra, all nodes", "redis: redis", "userinfo: memory"}

// growthLines are a target's costs against one dimension, all others alike: those of the condition with most values of
// it. There are none where it has only one value.
func growthLines(s samples, of func(*result.Sample) float64, strip func(*condition)) []growthLine {
	var best samples
	var rest condition
	most := 1
	for _, c := range s.conditions() {
		strip(&c)
		same := s.where(func(x *result.Sample) bool {
			d := conditionOf(x)
			strip(&d)
			return d.fits(c) && of(x) > 0
		})
		if n := len(distinct(same, of, cmp.Compare)); n > most {
			best, rest, most = same, c, n
		}
	}
	if best == nil {
		return nil
	}
	target := best[0].Target
	l := looks[target]
	lines := []growthLine{{name: target + ": " + slices.Concat(own(best[0]), []string{"?"})[0], trace: costTrace(best, of, ownCPU, l), rest: rest}}
	if target == result.UserInfo {
		l = look{colour: vermillion, shape: looks[result.Redis].shape, width: 2}
	}
	l.dashed = true
	return append(lines, growthLine{name: target + ": Cassandra, all nodes", trace: costTrace(best, of, cassandra, l), rest: rest})
}

func costTrace(s samples, of func(*result.Sample) float64, m metric, l look) trace {
	t := trace{look: l}
	for _, v := range distinct(s, of, cmp.Compare) {
		if cost := s.where(func(x *result.Sample) bool { return of(x) == v }).spread(m); cost.N > 0 {
			t.points = append(t.points, plotter.XY{X: v, Y: cost.Median})
			t.low, t.high = append(t.low, cost.Min), append(t.high, cost.Max)
		}
	}
	return t
}

// scale gives the panel axes: x with a tick at each value that was measured, y from 0.
func (p *panel) scale(label string, words func(float64) string) {
	var at []float64
	high := 0.0
	for _, t := range p.traces {
		for i, point := range t.points {
			at = append(at, point.X)
			high = max(high, point.Y, t.high[i])
		}
	}
	if len(at) == 0 {
		at = []float64{1}
	}
	slices.Sort(at)
	at = slices.Compact(at)
	p.x = axis{label: label, min: at[0] / 1.5, max: at[len(at)-1] * 1.5, log: true}
	var ticks []plot.Tick
	for _, v := range at {
		ticks = append(ticks, plot.Tick{Value: v, Label: words(v)})
	}
	p.x.ticks = plot.ConstantTicks(ticks)
	p.y.max = max(1, high*1.1)
}

// memoryPanel is the service's memory by idle connections.
func memoryPanel(all []result.Footprint, names map[string]look) (panel, bool) {
	byCount := make(map[int][]float64)
	for _, f := range all {
		if f.Target == result.UserInfo && f.Connections > 0 && f.RSS > 0 {
			byCount[f.Connections] = append(byCount[f.Connections], float64(f.RSS)/1e6)
		}
	}
	if len(byCount) < 2 {
		return panel{}, false
	}
	t := trace{look: looks[result.UserInfo]}
	t.look.colour = green
	for _, n := range sortedKeys(byCount) {
		s := spreadOf(byCount[n])
		t.points = append(t.points, plotter.XY{X: float64(n), Y: s.Median})
		t.low, t.high = append(t.low, s.Min), append(t.high, s.Max)
	}
	names["userinfo: memory"] = t.look
	p := panel{title: "memory with idle connections", y: axis{label: "resident memory, MB", ticks: chart.Whole}, traces: []trace{t}}
	p.scale("kept connections (log)", whole)
	return p, true
}
