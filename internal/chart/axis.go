package chart

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"userinfo/internal/page"
)

// Draw draws a plot whose data fill a rectangle exactly, whatever its labels take beside it, so that the data of several
// plots lie in line.
func Draw(c draw.Canvas, p *plot.Plot, data vg.Rectangle) {
	at := draw.Canvas{Canvas: c.Canvas, Rectangle: data}
	for range 4 { // what a label at the edge takes depends a little on the size
		is := p.DataCanvas(at)
		at.Min.X += data.Min.X - is.Min.X
		at.Min.Y += data.Min.Y - is.Min.Y
		at.Max.X += data.Max.X - is.Max.X
		at.Max.Y += data.Max.Y - is.Max.Y
	}
	p.Draw(at)
}

// The tickers. Whole has at most six whole numbers, of an axis that begins at 0; Decades the powers of ten; Thirds 1, 2
// and 5 of each power of ten, for a logarithmic axis of few decades.
var (
	Whole   = plot.TickerFunc(whole)
	Decades = plot.TickerFunc(func(min, max float64) []plot.Tick { return logarithmic(min, max, 1) })
	Thirds  = plot.TickerFunc(func(min, max float64) []plot.Tick { return logarithmic(min, max, 1, 2, 5) })
)

func whole(_, max float64) []plot.Tick {
	step := 1.0
	for i := 0; max/step > 5; i++ {
		step *= []float64{2, 2.5, 2}[i%3]
	}
	var ticks []plot.Tick
	for v := 0.0; v <= max; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: page.Count(int(v))})
	}
	return ticks
}

func logarithmic(min, max float64, digits ...float64) []plot.Tick {
	var ticks []plot.Tick
	for exponent := math.Floor(math.Log10(min)); ; exponent++ {
		for _, digit := range digits {
			switch v := digit * math.Pow(10, exponent); {
			case v > max:
				return ticks
			case v >= 1 && v >= min:
				ticks = append(ticks, plot.Tick{Value: v, Label: page.Count(int(math.Round(v)))})
			case v >= min:
				ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 1, 64)})
			}
		}
	}
}
