package top

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
)

// maxText is the largest number of characters of one text of an instance.
const maxText = 200

// table is a table of text. The first row is its head. The first column is aligned left, the others right.
type table [][]string

// lines returns the table as text. It returns no lines if the table has only a head.
func (t table) lines() []string {
	if len(t) < 2 {
		return nil
	}
	var widths []int
	for i, row := range t {
		for j, cell := range row {
			t[i][j] = clean(cell)
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], len([]rune(t[i][j])))
		}
	}
	var lines []string
	for _, row := range t {
		var b strings.Builder
		for j, cell := range row {
			padding := strings.Repeat(" ", widths[j]-len([]rune(cell)))
			if j == 0 {
				b.WriteString(cell + padding)
			} else {
				b.WriteString("  " + padding + cell)
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// clean makes a text of an instance safe for a terminal: no control characters, which could change the terminal, and at most
// maxText characters.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
	if runes := []rune(text); len(runes) > maxText {
		return string(runes[:maxText-1]) + "…"
	}
	return text
}

// unknown stands for NaN.
const unknown = "-"

// rate returns a number per second.
func rate(n float64) string {
	switch {
	case math.IsNaN(n):
		return unknown
	case n == 0:
		return "0"
	case n < 10:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}

func number(n float64) string {
	if math.IsNaN(n) {
		return unknown
	}
	return fmt.Sprintf("%.0f", n)
}

// seconds returns a short duration.
func seconds(s float64) string {
	switch {
	case math.IsNaN(s):
		return unknown
	case s < 1:
		return fmt.Sprintf("%.1fms", s*1000)
	}
	return fmt.Sprintf("%.2fs", s)
}

// age returns a long duration in its two largest units.
func age(s float64) string {
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return unknown
	}
	d := time.Duration(max(s, 0)) * time.Second
	hours, minutes := int(d.Hours()), int(d.Minutes())
	switch {
	case hours >= 24:
		return fmt.Sprintf("%dd%dh", hours/24, hours%24)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes%60)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

// size returns a number of bytes in MiB.
func size(bytes float64) string {
	if math.IsNaN(bytes) {
		return unknown
	}
	return fmt.Sprintf("%.0fMiB", bytes/(1<<20))
}

func percent(n float64) string {
	if math.IsNaN(n) {
		return unknown
	}
	return fmt.Sprintf("%.0f%%", 100*n)
}
