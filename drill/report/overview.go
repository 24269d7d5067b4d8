package report

import (
	"image/color"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"userinfo/internal/chart"
	"userinfo/internal/page"
)

// The overview's layout, in pixels.
const (
	labelWidth = 380
	cellWidth  = 56
	lastWidth  = 84 // of the columns after the invariants
	lineHeight = 22
)

// overview draws the table fault × invariant in colours.
func overview(columns []column, rows []row) ([]byte, error) {
	w := labelWidth + cellWidth*vg.Length(len(columns)) + 2*lastWidth + 12
	h := lineHeight*vg.Length(len(rows)+1) + 44
	c, img := chart.New(w, h)
	y := h - 22
	for i, col := range columns {
		c.FillText(chart.Bold(chart.Face(12, chart.Ink, draw.XCenter)), vg.Point{X: cellX(i) + cellWidth/2, Y: y}, chart.Fit(chart.Face(12, chart.Ink, draw.XCenter), col.Invariant, cellWidth))
	}
	end := cellX(len(columns))
	for i, name := range []string{"errors", "recovered"} {
		c.FillText(chart.Bold(chart.Face(12, chart.Ink, draw.XRight)), vg.Point{X: end + lastWidth*vg.Length(i+1), Y: y}, name)
	}
	for _, r := range rows {
		y -= lineHeight
		label := chart.Face(12, chart.Ink, draw.XLeft)
		c.FillText(label, vg.Point{X: 12, Y: y}, chart.Fit(label, r.Label(), labelWidth-20))
		for i, cell := range r.Cells {
			tile(c, cell, cellX(i), y)
		}
		last := chart.Face(12, chart.Ink, draw.XRight)
		c.FillText(last, vg.Point{X: end + lastWidth, Y: y}, page.Count(r.Seen.Errors()))
		c.FillText(last, vg.Point{X: end + 2*lastWidth, Y: y}, r.Recover)
	}
	legend(c)
	return chart.Encode(img, theme...)
}

func cellX(i int) vg.Length { return labelWidth + cellWidth*vg.Length(i) }

// looks are the colours of the states, and what is written in them where nothing is counted.
var looks = map[state]struct {
	ground, text color.Color
	mark         string
}{
	held:      {paleLeaf, chart.Ink, "held"},
	broken:    {red, color.White, "broken"},
	unclear:   {straw, chart.Ink, "unclear"},
	unchecked: {paleGrey, chart.Faint, "–"},
}

// tile is a cell in its colour: how many were checked, or of what broke it, how many.
func tile(c draw.Canvas, x cell, left, y vg.Length) {
	look := looks[x.State]
	chart.Fill(c, look.ground, left+1, y-lineHeight/2+1, left+cellWidth-1, y+lineHeight/2-1)
	mark := look.mark
	switch {
	case x.State == broken && x.Broken > 0:
		mark = "broken " + short(x.Broken)
	case x.State == held && x.Checked > 0:
		mark = short(x.Checked)
	}
	c.FillText(chart.Face(11, look.text, draw.XCenter), vg.Point{X: left + cellWidth/2, Y: y}, mark)
}

// short writes a number in the width of a cell.
func short(n int) string {
	switch {
	case n >= 10_000_000:
		return page.Count(n/1_000_000) + " M"
	case n >= 100_000:
		return page.Count(n/1000) + " k"
	}
	return page.Count(n)
}

func legend(c draw.Canvas) {
	style := chart.Face(12, chart.Faint, draw.XLeft)
	x := vg.Length(labelWidth)
	for _, e := range []struct {
		state state
		name  string
	}{{held, "held, on so many operations or samples"}, {broken, "broken, so often"}, {unclear, "broken, under which fault is not kept"}, {unchecked, "not checked"}} {
		chart.Fill(c, looks[e.state].ground, x, 10, x+14, 20)
		c.FillText(style, vg.Point{X: x + 19, Y: 15}, e.name)
		x += 19 + style.Width(e.name) + 18
	}
}
