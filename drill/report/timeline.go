package report

import (
	"fmt"
	"image/color"
	"math"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"userinfo/internal/chart"
	"userinfo/internal/page"
)

// The timeline's layout, in pixels.
const (
	timelineWidth = 1000
	leftMargin    = 62
	rightMargin   = 22
	headHeight    = 58 // title and legend
	nameHeight    = 30 // the faults' names, in two lines
	footHeight    = 34 // the time's axis
	titleHeight   = 24 // above each panel
	maxBins       = 460
)

// timeline draws a drill over time: for each datacentre right answers, errors and latency, with the faults behind.
func timeline(s *Summary) ([]byte, error) {
	panels := panels(s)
	height := vg.Length(headHeight + nameHeight + footHeight)
	for _, p := range panels {
		height += titleHeight + p.height
	}
	c, img := chart.New(timelineWidth, height)
	head(c, s)
	t := &timeAxis{end: span(s)}
	y := height - headHeight - nameHeight
	names(c, s.Faults, t, y)
	for _, p := range panels {
		c.FillText(chart.Face(12, chart.Ink, draw.XLeft), vg.Point{X: leftMargin, Y: y - titleHeight + 9}, p.title)
		y -= titleHeight + p.height
		p.draw(c, s.Faults, t, y)
	}
	t.draw(c, y)
	return chart.Encode(img, theme...)
}

// span is the time that is drawn, in seconds.
func span(s *Summary) float64 {
	end := time.Second
	for _, x := range s.Series {
		end = max(end, time.Duration(len(x.Right))*s.Step)
	}
	for _, f := range s.Faults {
		end = max(end, f.End, f.Recovered)
	}
	return min(end, max(s.Duration, time.Second)).Seconds()
}

func head(c draw.Canvas, s *Summary) {
	title, more := chart.Bold(chart.Face(15, chart.Ink, draw.XLeft)), chart.Face(12, chart.Faint, draw.XLeft)
	y := c.Max.Y - 18
	name := chart.Fit(title, s.Name, timelineWidth/2)
	c.FillText(title, vg.Point{X: leftMargin, Y: y}, name)
	about := fmt.Sprintf("seed %d, %v operations a second, %s", s.Seed, s.Rate, seconds(s.Duration))
	c.FillText(more, vg.Point{X: leftMargin + title.Width(name) + 14, Y: y}, about)
	x, y := vg.Length(leftMargin), y-22
	for _, e := range []struct {
		colour color.Color
		line   bool
		name   string
	}{
		{green, false, "right"}, {red, false, "failed"}, {purple, false, "perhaps done"}, {amber, false, "delete pending elsewhere"},
		{paleBlue, true, "median"}, {blue, true, "99th percentile"}, {grey, false, "fault"}, {paleGrey, false, "until recovered"},
	} {
		if e.line {
			chart.Fill(c, e.colour, x, y-1, x+14, y+1)
		} else {
			chart.Fill(c, e.colour, x, y-5, x+14, y+5)
		}
		c.FillText(more, vg.Point{X: x + 19, Y: y}, e.name)
		x += 19 + more.Width(e.name) + 18
	}
}

// timeAxis is the axis that all panels share, in seconds.
type timeAxis struct{ end float64 }

func (t *timeAxis) x(seconds float64) vg.Length {
	return leftMargin + chart.Pixel(vg.Length(min(seconds, t.end)/t.end)*(timelineWidth-leftMargin-rightMargin))
}

// step is the least of the usual ones that leaves room for the labels.
func (t *timeAxis) step() float64 {
	for _, s := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 4 * 3600, 12 * 3600} {
		if t.end/s <= 14 {
			return s
		}
	}
	return 24 * 3600 * math.Ceil(t.end/(14*24*3600))
}

func (t *timeAxis) draw(c draw.Canvas, y vg.Length) {
	style := chart.Face(11, chart.Faint, draw.XCenter)
	for s := 0.0; s <= t.end; s += t.step() {
		x := t.x(s)
		c.StrokeLine2(draw.LineStyle{Color: chart.Faint, Width: 1}, x, y-4, x, y)
		c.FillText(style, vg.Point{X: x, Y: y - 13}, clock(time.Duration(s*float64(time.Second))))
	}
	style.XAlign = draw.XRight
	c.FillText(style, vg.Point{X: timelineWidth - rightMargin, Y: y - 27}, "time since the begin, min:s")
}

// names writes each fault's name above it; where there are many, its number in the tables.
func names(c draw.Canvas, faults []Fault, t *timeAxis, y vg.Length) {
	style := chart.Face(12, chart.Ink, draw.XLeft)
	var ends [2]vg.Length // of what each line has
	for i, f := range faults {
		name := f.Name
		if len(faults) > 1 {
			name = strconv.Itoa(i + 1)
		}
		name = chart.Fit(style, name, timelineWidth-leftMargin-rightMargin)
		x := min(t.x(f.Begin.Seconds()), timelineWidth-rightMargin-style.Width(name))
		for line := range ends {
			if x >= ends[line] {
				c.FillText(style, vg.Point{X: x, Y: y + 6 + 14*vg.Length(line)}, name)
				ends[line] = x + style.Width(name) + 6
				break
			}
		}
	}
}

// shade draws the faults behind a panel.
func shade(c draw.Canvas, faults []Fault, t *timeAxis, y0, y1 vg.Length) {
	for _, f := range faults {
		begin, end := t.x(f.Begin.Seconds()), t.x(f.End.Seconds())
		recovered := t.x(t.end)
		if f.HasRecovered() {
			recovered = t.x(f.Recovered.Seconds())
		}
		chart.Fill(c, paleGrey, end, y0, recovered, y1)
		chart.Fill(c, grey, begin, y0, max(end, begin+1), y1)
		if len(faults) <= 8 { // more of them hide the data
			c.StrokeLine2(draw.LineStyle{Color: chart.Faint, Width: 1, Dashes: []vg.Length{3, 3}}, recovered, y0, recovered, y1)
		}
	}
}

// panel is one of a datacentre's plots.
type panel struct {
	title    string
	height   vg.Length
	plotters []plot.Plotter
	max      float64
	log      bool
}

// panels are all the datacentres', each with its kind's scale, so that the datacentres can be compared; but errors, of
// which a few are to be seen in the one though there be many in the other, have their own.
func panels(s *Summary) []panel {
	var all []panel
	var rates, latency float64
	for _, x := range s.Series {
		of := panelsOf(x.thin(s.Step))
		rates, latency = max(rates, of[0].max), max(latency, of[2].max)
		all = append(all, of[:]...)
	}
	for i := 0; i < len(all); i += 3 {
		all[i].max, all[i+2].max = rates, latency
	}
	return all
}

// errorTitle sums up what the columns below it show.
func errorTitle(dc string, t Tally) string {
	title := dc + " — errors per second: none"
	if t.Errors() > 0 {
		title = fmt.Sprintf("%s — errors per second: %s failed, %s perhaps done", dc, page.Count(t.Failed), page.Count(t.Unknown))
	}
	if t.Local > 0 {
		title += "; " + page.Plural(t.Local, "delete") + " done here and pending elsewhere"
	}
	return title
}

// panelsOf is a datacentre's rates, errors and latency, of a series that has been thinned.
func panelsOf(x thinned) [3]panel {
	rates := panel{title: x.dc + " — right answers per second", height: 92}
	errors := panel{title: errorTitle(x.dc, x.total), height: 62}
	latency := panel{title: x.dc + " — latency of right answers, ms, from when each was due", height: 118, log: true, max: 10}
	area := columnsOf{step: x.step, parts: [][]float64{x.right}, colours: []color.Color{paleLeaf}, top: green}
	bars := columnsOf{step: x.step, parts: [][]float64{x.failed, x.unknown, x.local}, colours: []color.Color{red, purple, amber}}
	rates.plotters, rates.max = []plot.Plotter{area}, area.highest()
	errors.plotters, errors.max = []plot.Plotter{bars}, bars.highest()
	for _, ms := range x.p99 {
		latency.max = max(latency.max, ms)
	}
	latency.plotters = []plot.Plotter{
		lineOf{step: x.step, ms: x.p50, style: draw.LineStyle{Color: paleBlue, Width: 1.5}},
		lineOf{step: x.step, ms: x.p99, style: draw.LineStyle{Color: blue, Width: 1.5}},
	}
	return [3]panel{rates, errors, latency}
}

// leastLatency is where the latency's axis begins, ms.
const leastLatency = 0.5

// draw draws the panel with its lower edge at y. Its data lies where the other panels' does, whatever their labels.
func (p panel) draw(c draw.Canvas, faults []Fault, t *timeAxis, y vg.Length) {
	shade(c, faults, t, y, y+p.height)
	l := plot.New()
	l.BackgroundColor = nil
	l.HideX()
	l.X.Min, l.X.Max, l.X.Padding = 0, t.end, 0
	l.Y.Min, l.Y.Max, l.Y.Padding = 0, max(1.25, p.max*1.08), 0
	l.Y.Tick.Label = chart.Face(11, chart.Faint, draw.XRight)
	l.Y.Tick.Marker, l.Y.Tick.Length = chart.Whole, 3
	l.Y.LineStyle.Color, l.Y.Tick.LineStyle.Color = chart.Faint, chart.Faint
	if p.log {
		l.Y.Min, l.Y.Max, l.Y.Scale, l.Y.Tick.Marker = leastLatency, p.max*1.3, plot.LogScale{}, chart.Decades
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width, grid.Horizontal.Color = 0, chart.Rule
	l.Add(grid)
	l.Add(p.plotters...)
	chart.Draw(c, l, vg.Rectangle{Min: vg.Point{X: leftMargin, Y: y}, Max: vg.Point{X: timelineWidth - rightMargin, Y: y + p.height}})
	c.StrokeLine2(draw.LineStyle{Color: chart.Faint, Width: 1}, leftMargin, y, timelineWidth-rightMargin, y)
}
