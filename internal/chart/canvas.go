// Package chart draws what reports show: text, areas and axes in pixels, and small PNG files. The same drawing gives the
// same file.
package chart

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"math"
	"slices"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// dotsPerInch makes a point of package vg one pixel.
const dotsPerInch = 72

// The colours that every chart has.
var (
	Ink   = color.RGBA{0x1f, 0x23, 0x28, 0xff}
	Faint = color.RGBA{0x57, 0x60, 0x6a, 0xff}
	Rule  = color.RGBA{0xe4, 0xe8, 0xec, 0xff}
)

// New is a white image of w × h pixels, its origin at the bottom left.
func New(w, h vg.Length) (draw.Canvas, *vgimg.Canvas) {
	img := vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(dotsPerInch))
	return draw.New(img), img
}

// Face is how text is written: size in pixels, ends at or begins at its point, and is centred on its height.
func Face(size vg.Length, c color.Color, x draw.XAlignment) text.Style {
	return text.Style{Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}, Color: c, XAlign: x, YAlign: -0.35,
		Handler: plot.DefaultTextHandler}
}

// Bold is s in bold.
func Bold(s text.Style) text.Style {
	s.Font.Weight = xfont.WeightBold
	return s
}

// Pixel is the nearest whole one: areas that meet there leave no seam.
func Pixel(x vg.Length) vg.Length { return vg.Length(math.Round(float64(x))) }

// Fill fills the rectangle between two corners.
func Fill(c draw.Canvas, colour color.Color, x0, y0, x1, y1 vg.Length) {
	c.FillPolygon(colour, []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
}

// Fit ends a text where it would be wider than it may be.
func Fit(s text.Style, txt string, width vg.Length) string {
	if s.Width(txt) <= width {
		return txt
	}
	runes := []rune(txt)
	for len(runes) > 0 && s.Width(string(runes)+"…") > width {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

// like tells whether two colours look the same.
func like(a, b color.RGBA) bool {
	near := func(x, y uint8) bool { return max(x, y)-min(x, y) <= 10 }
	return near(a.R, b.R) && near(a.G, b.G) && near(a.B, b.B)
}

// maxColours is how many the format's palette has. A plot has few; what smooths their edges is rounded to the nearest,
// which no eye sees and makes the file a third as large.
const maxColours = 64

// Encode makes a small PNG file: with a palette of white, ink, the theme, and the colours that the image has most of.
func Encode(img *vgimg.Canvas, theme ...color.Color) ([]byte, error) {
	full, ok := img.Image().(*image.RGBA)
	if !ok {
		return nil, fmt.Errorf("the image is a %T", img.Image())
	}
	b := full.Bounds()
	counts := make(map[color.RGBA]int)
	runs(full, func(c color.RGBA, from, until int) { counts[c] += until - from })
	colours := sortedByCount(counts)
	palette := append(color.Palette{color.RGBA{0xff, 0xff, 0xff, 0xff}, Ink, Faint, Rule}, theme...)
	for _, c := range colours {
		if len(palette) < maxColours && !like(c, palette.Convert(c).(color.RGBA)) {
			palette = append(palette, c)
		}
	}
	nearest := make(map[color.RGBA]uint8)
	for _, c := range colours {
		nearest[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(b, palette)
	runs(full, func(c color.RGBA, from, until int) {
		for i, n := from, nearest[c]; i < until; i++ {
			small.Pix[i] = n
		}
	})
	file := new(bytes.Buffer)
	err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(file, small)
	return file.Bytes(), err
}

// runs gives the stretches of pixels of the same colour; a plot has few. It numbers the pixels from the first line's
// first to the last line's last, as image.Paletted has them.
func runs(img *image.RGBA, each func(c color.RGBA, from, until int)) {
	pixels := len(img.Pix) / 4
	for from, until := 0, 1; from < pixels; from, until = until, until+1 {
		for until < pixels && [4]uint8(img.Pix[4*until:]) == [4]uint8(img.Pix[4*from:]) {
			until++
		}
		p := img.Pix[4*from:]
		each(color.RGBA{p[0], p[1], p[2], p[3]}, from, until)
	}
}

// sortedByCount gives the most frequent first, and of as frequent ones always the same, so that the same image gives the
// same file.
func sortedByCount(counts map[color.RGBA]int) []color.RGBA {
	return slices.SortedFunc(maps.Keys(counts), func(x, y color.RGBA) int {
		return cmp.Or(counts[y]-counts[x], bytes.Compare([]byte{x.R, x.G, x.B}, []byte{y.R, y.G, y.B}))
	})
}
