package report

import (
	"cmp"
	"image/color"
	"maps"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"userinfo/bench/result"
	"userinfo/internal/chart"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// bar is what a request to one target costs.
type bar struct {
	target string
	parts  []float64 // µs, one for each kind
	group  string    // the workload, where the bar is its first
}

// The layout of costs, in pixels.
const (
	barHeight  = 20
	barGap     = 6
	groupGap   = 26
	barsWidth  = 680
	barsLeft   = 170
	barsRight  = 90
	barsBottom = 46
)

// costs draws CPU time per request by kind of process, stacked: a group of bars for each condition, of which each
// workload gives its own. It is nil where nothing is known of them.
func costs(s samples, of string, conditions []condition) ([]byte, error) {
	kinds := kindsOf(s.where(func(x *result.Sample) bool {
		return slices.ContainsFunc(conditions, func(c condition) bool { return conditionOf(x).fits(c) })
	}))
	var bars []bar
	longest := 0.0
	for _, c := range conditions {
		some := s.where(under(c))
		group := c.Workload + "  —  " + c.String()
		for _, target := range some.targets() {
			b := bar{target: target, group: group}
			sum := 0.0
			for _, kind := range kinds {
				part := some.where(targetIs(target)).spread(cpuOf(kind)).Median
				b.parts = append(b.parts, part)
				sum += part
			}
			if sum > 0 {
				bars = append(bars, b)
				longest, group = max(longest, sum), ""
			}
		}
	}
	if len(bars) == 0 {
		return nil, nil
	}
	f := figure{title: "CPU time per request: " + of, about: "median of rounds; all Cassandra nodes together; the driver runs in its generator"}
	for _, kind := range kinds {
		f.legend = append(f.legend, entry{look{colour: kindColour(kind)}, kind})
	}
	return f.bars(bars, longest)
}

func (f figure) bars(bars []bar, longest float64) ([]byte, error) {
	var w, h vg.Length = barsLeft + barsWidth + barsRight, barsBottom
	rows := f.legendRows(w)
	h += figureHead + legendHeight*vg.Length(len(rows))
	for _, b := range bars {
		h += barHeight + barGap
		if b.group != "" {
			h += groupGap
		}
	}
	c, img := chart.New(w, h)
	f.heading(c, rows)
	y := h - figureHead - legendHeight*vg.Length(len(rows))
	ticks := chart.Whole(0, max(1, longest))
	x := func(v float64) vg.Length {
		return barsLeft + chart.Pixel(vg.Length(v/max(1, longest)*barsWidth))
	}
	small := chart.Face(12, chart.Faint, draw.XCenter)
	for _, t := range ticks {
		c.StrokeLine2(draw.LineStyle{Color: chart.Rule, Width: 1}, x(t.Value), barsBottom-8, x(t.Value), y)
		c.FillText(small, vg.Point{X: x(t.Value), Y: barsBottom - 18}, t.Label)
	}
	c.FillText(chart.Face(13, chart.Ink, draw.XCenter), vg.Point{X: barsLeft + barsWidth/2, Y: 12}, "CPU time per answered request, µs")
	for _, b := range bars {
		if b.group != "" {
			y -= groupGap
			head := chart.Bold(chart.Face(13, chart.Ink, draw.XLeft))
			c.FillText(head, vg.Point{X: 12, Y: y + 8}, chart.Fit(head, b.group, w-24))
		}
		y -= barHeight + barGap
		f.bar(c, b, x, y)
	}
	return chart.Encode(img, palette...)
}

// bar draws one, its lower edge at y.
func (f figure) bar(c draw.Canvas, b bar, x func(float64) vg.Length, y vg.Length) {
	name := chart.Face(13, chart.Ink, draw.XRight)
	c.FillText(name, vg.Point{X: barsLeft - 8, Y: y + barHeight/2}, chart.Fit(name, b.target, barsLeft-20))
	sum := 0.0
	for i, part := range b.parts {
		from, until := x(sum), x(sum+part)
		if until > from {
			chart.Fill(c, f.legend[i].look.colour, from, y, until, y+barHeight)
			inside := chart.Face(11, chart.Ink, draw.XCenter)
			if f.legend[i].look.colour == blue {
				inside.Color = color.White
			}
			if text := digits(part); inside.Width(text) < until-from-6 {
				c.FillText(inside, vg.Point{X: (from + until) / 2, Y: y + barHeight/2}, text)
			}
		}
		sum += part
	}
	c.FillText(chart.Bold(chart.Face(12, chart.Ink, draw.XLeft)), vg.Point{X: x(sum) + 6, Y: y + barHeight/2}, digits(sum))
}
