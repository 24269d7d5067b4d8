// Package report writes a report: a Markdown file with tables, and PNG plots beside it.
//
// Invariants:
//
//  1. Text given as a string is escaped: no name, error or key can add Markdown or HTML to a report. Only the type Markdown is
//     written as it is.
//  2. A file name made by FileName has no directory in it.
//  3. The same content gives the same files.
package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Markdown is text that is written without escaping.
type Markdown string

// Document is a report under construction. The zero value is an empty one.
type Document struct {
	text  strings.Builder
	plots map[string][]byte // PNG by file name
}

// Heading adds a heading. Level 1 is the document's title.
func (d *Document) Heading(level int, text string) {
	d.block(strings.Repeat("#", level) + " " + Escape(text))
}

// Paragraph adds a paragraph. Its arguments are formatted as table cells are, so strings among them are escaped; the format
// itself is Markdown. All verbs must be %s.
func (d *Document) Paragraph(format string, args ...any) { d.block(text(format, args)) }

// List adds a bulleted list. Its items are formatted as table cells are.
func (d *Document) List(items ...any) {
	lines := make([]string, len(items))
	for i, item := range items {
		lines[i] = "- " + Cell(item)
	}
	d.block(strings.Join(lines, "\n"))
}

// Code adds a block of code: a command, for example.
func (d *Document) Code(code string) { d.block("    " + strings.ReplaceAll(code, "\n", "\n    ")) }

// Plot adds an image of plots, one below another, with a common width. The file is named name.png, with a number if that name
// is taken. alt describes the image in words.
func (d *Document) Plot(name, alt string, plots ...Plot) error {
	png, err := PNG(plots...)
	if err != nil {
		return fmt.Errorf("drawing %s: %w", name, err)
	}
	if d.plots == nil {
		d.plots = make(map[string][]byte)
	}
	base := FileName(name)
	file := base + ".png"
	for i := 2; d.plots[file] != nil; i++ {
		file = fmt.Sprintf("%s-%d.png", base, i)
	}
	d.plots[file] = png
	d.block("![" + Escape(alt) + "](" + file + ")")
	return nil
}

// String returns the Markdown text.
func (d *Document) String() string { return d.text.String() }

// Write writes report.md and the plots into dir. It creates dir if necessary.
func (d *Document) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	for file, png := range d.plots {
		if err := os.WriteFile(filepath.Join(dir, file), png, 0o644); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "report.md"), []byte(d.String()), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// block adds a block and separates it from the previous one by an empty line.
func (d *Document) block(text string) {
	if d.text.Len() > 0 {
		d.text.WriteByte('\n')
	}
	d.text.WriteString(text)
	d.text.WriteByte('\n')
}

// text formats args into a format that is Markdown.
func text(format string, args []any) string {
	cells := make([]any, len(args))
	for i, a := range args {
		cells[i] = Cell(a)
	}
	return fmt.Sprintf(format, cells...)
}

// Table is a Markdown table.
type Table struct {
	columns []Column
	rows    [][]any
}

// Column is the heading of a column of a table, and how its cells are aligned.
type Column struct {
	Name  string
	right bool
}

// Left returns a column that is aligned to the left: words.
func Left(name string) Column { return Column{Name: name} }

// Right returns a column that is aligned to the right: numbers.
func Right(name string) Column { return Column{Name: name, right: true} }

// NewTable returns a table without rows.
func NewTable(columns ...Column) *Table { return &Table{columns: columns} }

// Row adds a row. Missing cells are empty; Cell tells how values are written.
func (t *Table) Row(cells ...any) { t.rows = append(t.rows, cells) }

// Len returns the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Table adds a table.
func (d *Document) Table(t *Table) {
	var b strings.Builder
	for _, c := range t.columns {
		b.WriteString("| " + Escape(c.Name) + " ")
	}
	b.WriteString("|\n")
	for _, c := range t.columns {
		if c.right {
			b.WriteString("|--:")
		} else {
			b.WriteString("|---")
		}
	}
	b.WriteString("|")
	for _, row := range t.rows {
		b.WriteByte('\n')
		for i := range t.columns {
			cell := ""
			if i < len(row) {
				cell = Cell(row[i])
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|")
	}
	d.block(b.String())
}

// None is the cell of a value that is not known.
const None = Markdown("–")

// Cell writes a value as Markdown: integers with thousands separators, floating-point numbers with three significant digits,
// durations in seconds or milliseconds, strings and everything else escaped.
func Cell(value any) string {
	switch v := value.(type) {
	case nil:
		return string(None)
	case Markdown:
		return string(v)
	case int:
		return Count(v)
	case int64:
		return Count(int(v))
	case float64:
		return Number(v)
	case time.Duration:
		return Duration(v)
	}
	return Escape(fmt.Sprint(value))
}

// Count writes an integer with thousands separators: 1,234,567.
func Count(n int) string { return message.NewPrinter(language.English).Sprint(n) }

// Number writes a number with three significant digits, and integers from 1000 on with thousands separators: 0.0123, 45.6,
// 12,346.
func Number(v float64) string {
	if v >= 999.5 || v <= -999.5 {
		return message.NewPrinter(language.English).Sprintf("%.0f", v)
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil { // not a number
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// Duration writes a duration with three significant digits, in milliseconds below a second, else in seconds.
func Duration(d time.Duration) string {
	if d > -time.Second && d < time.Second {
		return Number(float64(d)/float64(time.Millisecond)) + " ms"
	}
	return Number(d.Seconds()) + " s"
}

// Escape returns text as Markdown that shows it unchanged, in a table cell too.
func Escape(text string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]",
		"<", "&lt;", ">", "&gt;", "&", "&amp;", "\r", " ", "\n", " ").Replace(text)
}

// FileName returns name with everything replaced that is not safe in a file name or URL, at most 60 bytes long.
func FileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_':
			return r
		}
		return '-'
	}, name)
	for strings.Contains(safe, "--") {
		safe = strings.ReplaceAll(safe, "--", "-")
	}
	return safe[:min(len(safe), 60)]
}
