package report

import (
	"image/color"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"userinfo/bench/result"
	"userinfo/internal/chart"
)

// look is how a target is drawn everywhere: by a colour and, for those who see fewer colours, by a shape.
type look struct {
	colour color.Color
	shape  draw.GlyphDrawer // nil: an area
	width  vg.Length        // of its line; 0: none
	dashed bool
}

// Okabe and Ito's colours, which are told apart whatever colours an eye sees, without the yellow, which is too pale for
// a line.
var (
	blue       = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	orange     = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	green      = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	vermillion = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	purple     = color.RGBA{0xcc, 0x79, 0xa7, 0xff}
	sky        = color.RGBA{0x56, 0xb4, 0xe9, 0xff}
	black      = color.RGBA{0x1f, 0x23, 0x28, 0xff}
	grey       = color.RGBA{0xa8, 0xb0, 0xb8, 0xff}
	brown      = color.RGBA{0x8c, 0x56, 0x3b, 0xff}

	palette = []color.Color{blue, orange, green, vermillion, purple, sky, black, grey, brown}
)

// looks are those of the targets that have a name; the others have what is left, in their order.
var looks = map[string]look{
	result.UserInfo: {colour: blue, shape: draw.CircleGlyph{}, width: 2.5},
	result.Memory:   {colour: grey, shape: draw.CircleGlyph{}, width: 2},
	result.Driver:   {colour: orange, shape: draw.BoxGlyph{}, width: 2},
	result.Redis:    {colour: vermillion, shape: draw.PyramidGlyph{}, width: 2},
	result.Handler:  {colour: green, shape: draw.SquareGlyph{}, width: 2},
	result.Loop:     {colour: purple, shape: draw.TriangleGlyph{}, width: 2},
	result.Sidecar:  {colour: sky, shape: draw.RingGlyph{}, width: 2},
}

var otherLooks = []look{
	{colour: black, shape: draw.CrossGlyph{}, width: 2},
	{colour: brown, shape: draw.PlusGlyph{}, width: 2},
}

// looksOf gives each target its look. Beyond these they repeat, dashed.
func looksOf(targets []string) map[string]look {
	all := make(map[string]look)
	n := 0
	for _, t := range targets {
		l, known := looks[t]
		if !known {
			l = otherLooks[n%len(otherLooks)]
			l.dashed = n >= len(otherLooks)
			n++
		}
		all[t] = l
	}
	return all
}

// kinds are the kinds of process in the order in which they are stacked, and their colours.
var kinds = []string{result.KindService, result.KindFloor, result.KindRedis, result.KindSidecar, result.KindCassandra, result.KindGenerator}

var kindColours = map[string]color.Color{
	result.KindService: blue, result.KindFloor: green, result.KindRedis: vermillion, result.KindSidecar: sky,
	result.KindCassandra: orange, result.KindGenerator: grey,
}

// kindsOf are the samples' kinds of process, in their order.
func kindsOf(s samples) []string {
	var all []string
	for _, x := range s {
		for _, c := range x.Costs {
			if !slices.Contains(all, c.Kind) {
				all = append(all, c.Kind)
			}
		}
	}
	slices.SortFunc(all, by(kinds))
	return all
}

func kindColour(kind string) color.Color {
	if c, ok := kindColours[kind]; ok {
		return c
	}
	return purple
}

func (l look) line() draw.LineStyle {
	s := draw.LineStyle{Color: l.colour, Width: l.width}
	if l.dashed {
		s.Dashes = []vg.Length{6, 4}
	}
	return s
}

func (l look) glyph() draw.GlyphStyle {
	return draw.GlyphStyle{Color: l.colour, Radius: 4, Shape: l.shape}
}

// sample draws the look in a legend, 28 pixels wide.
func (l look) sample(c draw.Canvas, x, y vg.Length) {
	if l.width == 0 && l.shape == nil {
		chart.Fill(c, l.colour, x, y-6, x+28, y+6)
		return
	}
	if l.width > 0 {
		c.StrokeLine2(l.line(), x, y, x+28, y)
	}
	if l.shape != nil {
		c.DrawGlyph(l.glyph(), vg.Point{X: x + 14, Y: y})
	}
}
