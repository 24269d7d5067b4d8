package report

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"userinfo/internal/chart"
)

// figure is one picture: panels in columns, with a title and a legend above them.
type figure struct {
	title, about  string
	legend        []entry
	columns       int
	width, height vg.Length // of each panel's data
	panels        []panel
}

// entry is what a legend explains.
type entry struct {
	look look
	name string
}

// panel is a plot. Its x axis is labelled where its label is set.
type panel struct {
	title  string
	x, y   axis
	traces []trace
	marks  []mark
}

// axis is one of a panel's. Its unit is in its label.
type axis struct {
	label    string
	min, max float64
	log      bool
	ticks    plot.Ticker // nil: those of a logarithmic axis that it has room for
}

// trace is a line through points, with a glyph at each where it has one, and bars from low to high.
type trace struct {
	look      look
	points    []plotter.XY
	low, high []float64 // of y at each point; nil: no bars
	plain     bool      // without glyphs
}

// mark is a line from the lower to the upper edge.
type mark struct {
	look look
	x    float64
}

// The figure's layout, in pixels.
const (
	figureLeft   = 70
	figureRight  = 24
	legendHeight = 24
	figureHead   = 42
	panelTitle   = 26
	panelFoot    = 46
)

// draw makes the PNG file.
func (f figure) draw() ([]byte, error) {
	columns := max(1, min(f.columns, len(f.panels)))
	lines := (len(f.panels) + columns - 1) / columns
	w := (f.width + figureLeft + figureRight) * vg.Length(columns)
	rows := f.legendRows(w)
	head := figureHead + legendHeight*vg.Length(len(rows))
	var foot vg.Length = 12
	h := head + foot
	for line := range lines {
		h += panelTitle + f.height + f.footOf(line, columns)
	}
	c, img := chart.New(w, h)
	f.heading(c, rows)
	y := h - head
	for line := range lines {
		y -= panelTitle + f.height
		for column := range columns {
			if i := line*columns + column; i < len(f.panels) {
				x := figureLeft + (f.width+figureLeft+figureRight)*vg.Length(column)
				f.panels[i].draw(c, vg.Rectangle{Min: vg.Point{X: x, Y: y}, Max: vg.Point{X: x + f.width, Y: y + f.height}})
			}
		}
		y -= f.footOf(line, columns)
	}
	return chart.Encode(img, palette...)
}

// footOf is the height of the x axis below a line of panels.
func (f figure) footOf(line, columns int) vg.Length {
	for i := line * columns; i < min(len(f.panels), (line+1)*columns); i++ {
		if f.panels[i].x.label != "" {
			return panelFoot
		}
	}
	return 4
}

// legendRows breaks the legend into as many rows as its width needs.
func (f figure) legendRows(w vg.Length) [][]entry {
	style := chart.Face(13, chart.Faint, draw.XLeft)
	var rows [][]entry
	x := w
	for _, e := range f.legend {
		need := 34 + min(style.Width(e.name), w-figureLeft-figureRight-34) + 20
		if x+need > w-figureRight {
			rows = append(rows, nil)
			x = figureLeft
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], e)
		x += need
	}
	return rows
}

func (f figure) heading(c draw.Canvas, rows [][]entry) {
	title, more := chart.Bold(chart.Face(16, chart.Ink, draw.XLeft)), chart.Face(13, chart.Faint, draw.XLeft)
	y := c.Max.Y - 20
	width := c.Max.X - figureLeft - figureRight
	name := chart.Fit(title, f.title, width*2/3)
	c.FillText(title, vg.Point{X: figureLeft, Y: y}, name)
	rest := width - title.Width(name) - 14
	c.FillText(more, vg.Point{X: figureLeft + title.Width(name) + 14, Y: y}, chart.Fit(more, f.about, rest))
	for _, row := range rows {
		y -= legendHeight
		x := vg.Length(figureLeft)
		for _, e := range row {
			e.look.sample(c, x, y)
			name := chart.Fit(more, e.name, c.Max.X-x-34-figureRight)
			c.FillText(more, vg.Point{X: x + 34, Y: y}, name)
			x += 34 + more.Width(name) + 20
		}
	}
}

// draw draws a panel so that its data fill the rectangle.
func (p panel) draw(c draw.Canvas, data vg.Rectangle) {
	title := chart.Bold(chart.Face(13, chart.Ink, draw.XLeft))
	c.FillText(title, vg.Point{X: data.Min.X, Y: data.Max.Y + 13}, chart.Fit(title, p.title, data.Size().X))
	l := plot.New()
	l.BackgroundColor = nil
	l.X.Tick.Label, l.Y.Tick.Label = chart.Face(12, chart.Faint, draw.XCenter), chart.Face(12, chart.Faint, draw.XRight)
	l.X.Tick.Label.YAlign = draw.YTop
	p.x.set(&l.X, data.Size().X)
	p.y.set(&l.Y, data.Size().Y)
	grid := plotter.NewGrid()
	grid.Horizontal = draw.LineStyle{Color: chart.Rule, Width: 1}
	grid.Vertical = grid.Horizontal
	l.Add(grid)
	for _, m := range p.marks {
		l.Add(m)
	}
	for _, t := range p.traces {
		l.Add(t)
	}
	chart.Draw(c, l, data)
}

// tickRoom is the least distance of two labels on a logarithmic axis, in pixels.
const tickRoom = 15

func (a axis) set(to *plot.Axis, length vg.Length) {
	to.Min, to.Max, to.Padding = a.min, a.max, 0
	to.Label.Text, to.Label.Padding = a.label, 8
	to.Label.TextStyle = chart.Face(13, chart.Ink, draw.XCenter)
	if a.label == "" {
		to.Tick.Label.Color = color.Transparent
	}
	to.Label.TextStyle.YAlign = draw.YBottom
	to.Tick.Marker, to.Tick.Length = a.ticks, 3
	to.LineStyle.Color, to.Tick.LineStyle.Color = chart.Faint, chart.Faint
	if a.log {
		to.Scale = plot.LogScale{}
		if a.ticks == nil {
			to.Tick.Marker = chart.Thirds
			if vg.Length(len(chart.Thirds(a.min, a.max)))*tickRoom > length {
				to.Tick.Marker = chart.Decades
			}
		}
	}
}

// latencyAxis is logarithmic, in ms, and has room for all that the traces have.
func latencyAxis(traces []trace) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, t := range traces {
		for i, p := range t.points {
			low, high = min(low, p.Y), max(high, p.Y)
			if t.high != nil {
				low, high = min(low, t.low[i]), max(high, t.high[i])
			}
		}
	}
	if math.IsInf(low, 0) {
		low, high = 1, 10
	}
	low, high = max(low, 0.001), max(high, 0.001)
	return axis{label: "latency, ms (log)", min: below(low), max: above(high), log: true}
}

// below and above are the nearest of 1, 2 and 5 of a power of ten that leave a little room.
func below(v float64) float64 { return third(v/1.1, -1) }
func above(v float64) float64 { return third(v*1.1, 1) }

func third(v float64, direction int) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	steps := []float64{1, 2, 5, 10}
	if direction < 0 {
		for i := len(steps) - 1; i >= 0; i-- {
			if steps[i]*power <= v {
				return steps[i] * power
			}
		}
		return power
	}
	for _, s := range steps {
		if s*power >= v {
			return s * power
		}
	}
	return 10 * power
}

// Plot implements plot.Plotter.
func (t trace) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	var line []vg.Point
	for i, at := range t.points {
		if math.IsNaN(at.Y) { // a gap
			c.StrokeLines(t.look.line(), c.ClipLinesXY(line)...)
			line = nil
			continue
		}
		point := vg.Point{X: x(at.X), Y: y(max(at.Y, p.Y.Min))}
		line = append(line, point)
		if t.high != nil && t.high[i] > t.low[i] {
			bar := draw.LineStyle{Color: t.look.colour, Width: 1}
			low, high := y(max(t.low[i], p.Y.Min)), y(max(t.high[i], p.Y.Min))
			c.StrokeLines(bar, []vg.Point{{X: point.X, Y: low}, {X: point.X, Y: high}},
				[]vg.Point{{X: point.X - 4, Y: low}, {X: point.X + 4, Y: low}}, []vg.Point{{X: point.X - 4, Y: high}, {X: point.X + 4, Y: high}})
		}
		if !t.plain {
			c.DrawGlyph(t.look.glyph(), point)
		}
	}
	c.StrokeLines(t.look.line(), c.ClipLinesXY(line)...)
}

// Plot implements plot.Plotter.
func (m mark) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	at := x(m.x)
	c.StrokeLine2(draw.LineStyle{Color: m.look.colour, Width: 1.2, Dashes: []vg.Length{4, 4}}, at, c.Min.Y, at, c.Max.Y)
}
