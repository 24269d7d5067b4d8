package report

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"testing"
)

func decode(t *testing.T, plots ...Plot) image.Image {
	t.Helper()
	file, err := PNG(plots...)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// count returns how many pixels have the colour of Palette[i].
func count(img image.Image, i int) (n int) {
	r, g, b, _ := Palette[i].RGBA()
	for y := range img.Bounds().Max.Y {
		for x := range img.Bounds().Max.X {
			if r2, g2, b2, _ := img.At(x, y).RGBA(); r == r2 && g == g2 && b == b2 {
				n++
			}
		}
	}
	return n
}

func TestPNG_ShowsData(t *testing.T) {
	nan := math.NaN()
	for name, p := range map[string]Plot{
		"lines": {Title: "t", XLabel: "x", YLabel: "y", Lines: []Line{
			{Name: "a", X: []float64{1, 2, 3}, Y: []float64{10, 1e4, 100}}, {Name: "b", X: []float64{1, 2}, Y: []float64{1, 2}, Points: true}}},
		"logarithmic": {LogX: true, LogY: true, Lines: []Line{{X: []float64{1, 1000}, Y: []float64{.5, 20}}, {X: []float64{1, 1000}, Y: []float64{5, 30}}}},
		"gaps":        {Lines: []Line{{X: []float64{1, 2, 3, 4}, Y: []float64{nan, 1, nan, 2}}, {X: []float64{1, 2}, Y: []float64{1, 1}}}},
		"bars":        {Categories: []string{"x", "y"}, Bars: []Bar{{Name: "a", Values: []float64{1, 2}}, {Name: "b", Values: []float64{2, 3}}}},
		"spans":       {Spans: []Span{{From: 1, To: 2, Label: "fault"}}, Lines: []Line{{X: []float64{0, 5}, Y: []float64{1, 2}}, {X: []float64{0, 5}, Y: []float64{2, 1}}}},
		"one value":   {Lines: []Line{{X: []float64{1}, Y: []float64{1}}, {X: []float64{1}, Y: []float64{1.5}}}},
	} {
		t.Run(name, func(t *testing.T) {
			img := decode(t, p)
			for i := range 2 {
				if count(img, i) == 0 {
					t.Errorf("no pixel has the colour of data %d", i)
				}
			}
		})
	}
}

func TestPNG_IsReproducible(t *testing.T) {
	plots := []Plot{
		{Title: "t", XLabel: "x", YLabel: "y", LogX: true, LogY: true, Lines: []Line{
			{Name: "a", X: []float64{1, 2}, Y: []float64{10, 1e4}}, {Name: "b", X: []float64{1, 2}, Y: []float64{1, 2}, Points: true}}, Spans: []Span{{From: 1, To: 2, Label: "fault"}}},
		{Categories: []string{"x", "y"}, Bars: []Bar{{Name: "a", Values: []float64{1, 2}}, {Name: "b", Values: []float64{2, 3}}}},
	}
	first, err := PNG(plots...)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := PNG(plots...); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the same plots give two files (%v)", err)
	}
}

func TestPNG_StacksPlots(t *testing.T) {
	p := Plot{Lines: []Line{{X: []float64{1, 2}, Y: []float64{1, 2}}}}
	one, two := decode(t, p).Bounds(), decode(t, p, p).Bounds()
	if two.Dx() != one.Dx() || two.Dy() != 2*one.Dy() {
		t.Errorf("one plot has %v, two have %v", one, two)
	}
}

func TestPNG_DrawsPlotWithoutData(t *testing.T) {
	for name, p := range map[string]Plot{
		"no lines":      {},
		"no values":     {LogY: true, Lines: []Line{{Name: "a", X: []float64{1}, Y: []float64{math.NaN()}}}},
		"only zeros":    {Lines: []Line{{X: []float64{0, 1}, Y: []float64{0, 0}}}},
		"no categories": {LogX: true},
	} {
		t.Run(name, func(t *testing.T) { decode(t, p) })
	}
	if _, err := PNG(); err == nil {
		t.Error("an image of no plot")
	}
}
