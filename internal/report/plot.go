package report

import (
	"bytes"
	"cmp"
	"errors"
	"image/color"
	"image/png"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// The size of images: a width, and a height for each plot, in points. 96 dots per inch make 1 point 4/3 pixels.
const (
	plotWidth   = 660
	plotHeight  = 210
	dotsPerInch = 96
)

// Plot is one coordinate system with lines or bars.
type Plot struct {
	Title        string
	XLabel       string // with the unit
	YLabel       string
	LogX, LogY   bool // logarithmic axes: values must be positive
	Lines        []Line
	Bars         []Bar // stand on each other in each category
	Categories   []string
	Spans        []Span  // shaded behind the data
	HeightFactor float64 // of the usual height; 0 means 1
}

// Line is a curve through points. A NaN in Y interrupts it.
type Line struct {
	Name   string // for the legend; empty: none
	X, Y   []float64
	Color  color.Color // nil: the next of the palette
	Points bool        // mark each point
	Dashed bool
}

// Bar is the values of one kind, one for each category of the plot.
type Bar struct {
	Name   string
	Values []float64
	Color  color.Color // nil: the next of the palette
}

// Span is an interval of the X axis.
type Span struct {
	From, To float64
	Label    string      // at its upper left; may be empty
	Color    color.Color // nil: pale grey
}

// Palette has colours that are told apart by most colour-blind people, too.
var Palette = []color.Color{
	color.RGBA{0x1f, 0x6f, 0xb4, 0xff}, // blue
	color.RGBA{0xd9, 0x5f, 0x02, 0xff}, // orange
	color.RGBA{0x1b, 0x9e, 0x77, 0xff}, // green
	color.RGBA{0xb0, 0x2a, 0x63, 0xff}, // red
	color.RGBA{0x75, 0x70, 0xb3, 0xff}, // purple
	color.RGBA{0xa6, 0x8a, 0x1d, 0xff}, // ochre
	color.RGBA{0x57, 0x60, 0x6a, 0xff}, // grey
}

var (
	paleGrey = color.RGBA{0xe4, 0xe8, 0xec, 0xff}
	gridGrey = color.RGBA{0xe8, 0xe8, 0xe8, 0xff}
)

// PNG draws plots one below another. Their data areas have the same left and right edge.
func PNG(plots ...Plot) ([]byte, error) {
	if len(plots) == 0 {
		return nil, errors.New("no plot to draw")
	}
	total := 0.0
	for _, p := range plots {
		total += p.height()
	}
	image := vgimg.NewWith(vgimg.UseWH(plotWidth, vg.Length(total)), vgimg.UseDPI(dotsPerInch))
	whole := draw.New(image)
	drawn := make([]*plot.Plot, len(plots))
	areas := make([]draw.Canvas, len(plots))
	top := whole.Max.Y
	left, right := vg.Length(0), vg.Length(0) // the widest margins beside the data
	for i, p := range plots {
		var err error
		if drawn[i], err = p.plot(); err != nil {
			return nil, err
		}
		height := vg.Length(p.height())
		areas[i] = draw.Canvas{Canvas: whole.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: whole.Min.X + 6, Y: top - height + 6}, Max: vg.Point{X: whole.Max.X - 10, Y: top - 4}}}
		top -= height
		data := drawn[i].DataCanvas(areas[i])
		left, right = max(left, data.Min.X-areas[i].Min.X), max(right, areas[i].Max.X-data.Max.X)
	}
	for i, p := range drawn {
		data := p.DataCanvas(areas[i])
		areas[i].Min.X += left - (data.Min.X - areas[i].Min.X)
		areas[i].Max.X -= right - (areas[i].Max.X - data.Max.X)
		p.Draw(areas[i])
	}
	var file bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&file, image.Image())
	return file.Bytes(), err
}

func (p Plot) height() float64 { return plotHeight * cmp.Or(p.HeightFactor, 1) }

// plot builds gonum's plot.
func (p Plot) plot() (*plot.Plot, error) {
	g := plot.New()
	g.Title.Text, g.X.Label.Text, g.Y.Label.Text = p.Title, p.XLabel, p.YLabel
	g.Title.TextStyle.Font.Size, g.Title.Padding = 10, 4
	g.Legend.Top, g.Legend.Padding = true, 2
	g.Legend.TextStyle.Font.Size = 9
	for _, axis := range []*plot.Axis{&g.X, &g.Y} {
		axis.Label.TextStyle.Font.Size, axis.Tick.Label.Font.Size = 9, 8
		axis.Padding = 0
	}
	for _, s := range p.Spans {
		g.Add(shade{s})
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = gridGrey, gridGrey
	g.Add(grid)
	if err := errors.Join(p.addLines(g), p.addBars(g)); err != nil {
		return nil, err
	}
	p.scale(g)
	return g, nil
}

// scale sets limits and ticks of the axes.
func (p Plot) scale(g *plot.Plot) {
	for _, s := range p.Spans {
		g.X.Min, g.X.Max = min(g.X.Min, s.From), max(g.X.Max, s.To)
	}
	if p.LogY {
		g.Y.Max *= 1.3
	} else {
		g.Y.Min, g.Y.Max = min(0, g.Y.Min), g.Y.Max*1.1
	}
	for _, a := range []struct {
		axis        *plot.Axis
		logarithmic bool
	}{{&g.X, p.LogX && len(p.Bars) == 0}, {&g.Y, p.LogY}} {
		if math.IsInf(a.axis.Min, 0) || math.IsInf(a.axis.Max, 0) || a.axis.Min >= a.axis.Max { // no data, or one value
			if math.IsInf(a.axis.Min, 0) {
				a.axis.Min = 1
			}
			a.axis.Max = a.axis.Min + 1
		}
		if a.logarithmic {
			a.axis.Scale, a.axis.Tick.Marker = plot.LogScale{}, plot.TickerFunc(logTicks)
		}
	}
}

func (p Plot) addLines(g *plot.Plot) error {
	for i, l := range p.Lines {
		colour := colourOf(l.Color, i)
		named := false
		for _, points := range l.segments() {
			line, err := plotter.NewLine(points)
			if err != nil {
				return err
			}
			line.Color, line.Width = colour, 1.3
			if l.Dashed {
				line.Dashes = []vg.Length{3, 3}
			}
			g.Add(line)
			if !named && l.Name != "" {
				g.Legend.Add(l.Name, line)
				named = true
			}
			if !l.Points && len(points) > 1 {
				continue
			}
			marks, err := plotter.NewScatter(points)
			if err != nil {
				return err
			}
			marks.Color, marks.Shape, marks.Radius = colour, draw.CircleGlyph{}, 2
			g.Add(marks)
		}
	}
	return nil
}

// segments splits the line where it has no value.
func (l Line) segments() (all []plotter.XYs) {
	var current plotter.XYs
	for i := range min(len(l.X), len(l.Y)) {
		if math.IsNaN(l.Y[i]) {
			if len(current) > 0 {
				all = append(all, current)
			}
			current = nil
			continue
		}
		current = append(current, plotter.XY{X: l.X[i], Y: l.Y[i]})
	}
	if len(current) > 0 {
		all = append(all, current)
	}
	return all
}

func (p Plot) addBars(g *plot.Plot) error {
	if len(p.Bars) == 0 {
		return nil
	}
	width := min(40, vg.Length(340)/vg.Length(max(1, len(p.Categories))))
	var below *plotter.BarChart
	for i, b := range p.Bars {
		bars, err := plotter.NewBarChart(plotter.Values(b.Values), width)
		if err != nil {
			return err
		}
		bars.Color, bars.LineStyle.Width = colourOf(b.Color, i), 0
		if below != nil {
			bars.StackOn(below)
		}
		below = bars
		g.Add(bars)
		if b.Name != "" {
			g.Legend.Add(b.Name, bars)
		}
	}
	g.NominalX(p.Categories...)
	g.X.Min, g.X.Max = -0.5, float64(len(p.Categories))-0.5
	return nil
}

func colourOf(c color.Color, i int) color.Color {
	if c != nil {
		return c
	}
	return Palette[i%len(Palette)]
}

// shade draws a Span.
type shade struct{ Span }

// Plot implements plot.Plotter.
func (s shade) Plot(c draw.Canvas, g *plot.Plot) {
	x, _ := g.Transforms(&c)
	from, to := max(x(s.From), c.Min.X), min(x(s.To), c.Max.X)
	if from >= c.Max.X || to <= c.Min.X {
		return
	}
	to = max(to, from+1)
	colour := s.Color
	if colour == nil {
		colour = paleGrey
	}
	c.FillPolygon(colour, []vg.Point{{X: from, Y: c.Min.Y}, {X: to, Y: c.Min.Y}, {X: to, Y: c.Max.Y}, {X: from, Y: c.Max.Y}})
	if s.Label != "" {
		style := g.X.Tick.Label
		style.XAlign, style.YAlign = draw.XLeft, draw.YTop
		c.FillText(style, vg.Point{X: from + 2, Y: c.Max.Y - 1}, s.Label)
	}
}

// logTicks returns ticks at 1, 2 and 5 times the powers of ten; on a long axis, at the powers of ten alone.
func logTicks(low, high float64) (ticks []plot.Tick) {
	digits := []float64{1, 2, 5}
	if high/low > 3000 {
		digits = digits[:1]
	}
	for power := math.Floor(math.Log10(low)); math.Pow(10, power) <= high; power++ {
		for _, digit := range digits {
			if v := digit * math.Pow(10, power); v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: Number(v)})
			}
		}
	}
	return ticks
}
