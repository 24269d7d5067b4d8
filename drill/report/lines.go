package report

import (
	"image/color"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"userinfo/internal/chart"
)

// thinned is a series in as many points as a plot can show, a second's worth each.
type thinned struct {
	dc                            string
	step                          float64 // seconds
	right, failed, unknown, local []float64
	p50, p99                      []float64
	total                         Tally
}

// thin takes several points together: the mean of what is right and of the medians, and the worst of the rest, so that
// one bad second among many is seen.
func (s Series) thin(step time.Duration) thinned {
	n := max(1, (len(s.Right)+maxBins-1)/maxBins)
	x := thinned{dc: s.DC, step: step.Seconds() * float64(n)}
	per := step.Seconds()
	for lo := 0; lo < len(s.Right); lo += n {
		hi := min(lo+n, len(s.Right))
		sum := 0
		for _, v := range s.Right[lo:hi] {
			sum += v
		}
		x.right = append(x.right, float64(sum)/float64(hi-lo)/per)
		x.failed = append(x.failed, float64(slices.Max(s.Failed[lo:hi]))/per)
		x.unknown = append(x.unknown, float64(slices.Max(s.Unknown[lo:hi]))/per)
		x.local = append(x.local, float64(slices.Max(s.Local[lo:hi]))/per)
		x.p50 = append(x.p50, meanOfSome(s.P50[lo:hi]))
		x.p99 = append(x.p99, slices.Max(s.P99[lo:hi]))
	}
	for i := range s.Right {
		x.total.add(Tally{Right: s.Right[i], Failed: s.Failed[i], Unknown: s.Unknown[i], Local: s.Local[i]})
	}
	return x
}

// meanOfSome leaves out the zeros, which stand for nothing measured.
func meanOfSome(values []float64) float64 {
	sum, n := 0.0, 0
	for _, v := range values {
		if v > 0 {
			sum, n = sum+v, n+1
		}
	}
	return sum / float64(max(1, n))
}

// columnsOf draws a column for each point, its parts on top of each other; top is the colour of the outline above, if
// any.
type columnsOf struct {
	step    float64
	parts   [][]float64
	colours []color.Color
	top     color.Color
}

func (b columnsOf) highest() (high float64) {
	for i := range b.parts[0] {
		sum := 0.0
		for _, part := range b.parts {
			sum += part[i]
		}
		high = max(high, sum)
	}
	return high
}

// Plot implements plot.Plotter.
func (b columnsOf) Plot(c draw.Canvas, p *plot.Plot) {
	exact, y := p.Transforms(&c)
	x := func(seconds float64) vg.Length { return chart.Pixel(exact(seconds)) }
	var outline []vg.Point
	for i := range b.parts[0] {
		from := float64(i) * b.step
		until := min(from+b.step, p.X.Max)
		if from >= until {
			break
		}
		sum := 0.0
		for j, part := range b.parts {
			if part[i] > 0 {
				// At least two pixels wide and high: one error in an hour is seen.
				chart.Fill(c, b.colours[j], x(from), y(sum), max(x(until), x(from)+2), max(y(sum+part[i]), y(sum)+2))
			}
			sum += part[i]
		}
		outline = append(outline, vg.Point{X: x(from), Y: y(sum)}, vg.Point{X: x(until), Y: y(sum)})
	}
	if b.top != nil {
		c.StrokeLines(draw.LineStyle{Color: b.top, Width: 1}, outline)
	}
}

// lineOf draws latencies, with a gap where there is none.
type lineOf struct {
	step  float64
	ms    []float64
	style draw.LineStyle
}

// Plot implements plot.Plotter.
func (l lineOf) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	var line []vg.Point
	for i, ms := range l.ms {
		from := float64(i) * l.step
		if ms == 0 || from >= p.X.Max {
			c.StrokeLines(l.style, line)
			line = nil
			continue
		}
		// A step, so that a second alone is seen.
		at := y(max(ms, p.Y.Min))
		line = append(line, vg.Point{X: x(from), Y: at}, vg.Point{X: x(min(from+l.step, p.X.Max)), Y: at})
	}
	c.StrokeLines(l.style, line)
}
