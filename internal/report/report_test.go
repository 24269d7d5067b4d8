package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDocument_Write(t *testing.T) {
	var d Document
	d.Heading(1, "A <b>")
	d.Paragraph("%s of *%s*", 1234, "x|y")
	d.List("one", Markdown("**two**"))
	d.Code("go run .\nls")
	table := NewTable(Left("Name"), Right("ms"))
	table.Row("a|b", 1.23456)
	table.Row("c")
	d.Table(table)
	for range 2 {
		if err := d.Plot("get/token", "a plot", Plot{Lines: []Line{{X: []float64{1, 2}, Y: []float64{3, 4}}}}); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "new", "report")
	if err := d.Write(dir); err != nil {
		t.Fatal(err)
	}
	const want = `# A &lt;b&gt;

1,234 of *x\|y*

- one
- **two**

    go run .
    ls

| Name | ms |
|---|--:|
| a\|b | 1.23 |
| c |  |

![a plot](get-token.png)

![a plot](get-token-2.png)
`
	got, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil || string(got) != want {
		t.Errorf("got %v\n%s", err, got)
	}
	for _, file := range []string{"get-token.png", "get-token-2.png"} {
		if png, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestCell_WritesTypes(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{1234567, "1,234,567"}, {int64(-1), "-1"}, {0.0123456, "0.0123"}, {45.678, "45.7"}, {12345.6, "12,346"}, {999.7, "1,000"}, {0.0, "0"},
		{1500 * time.Microsecond, "1.5 ms"}, {90 * time.Second, "90 s"}, {time.Duration(0), "0 ms"},
		{"<x>", "&lt;x&gt;"}, {nil, "–"}, {Markdown("**x**"), "**x**"}, {true, "true"},
	} {
		if got := Cell(c.value); got != c.want {
			t.Errorf("Cell(%#v) = %q, want %q", c.value, got, c.want)
		}
	}
}

func TestEscape_LeavesNoMarkup(t *testing.T) {
	if got, want := Escape("<b>|`*_[x]\\\n&"), "&lt;b&gt;\\|\\`\\*\\_\\[x\\]\\\\ &amp;"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFileName_IsSafe(t *testing.T) {
	for name, want := range map[string]string{
		"fresh/mtls+resumption": "fresh-mtls-resumption", "../../etc": "..-..-etc", "ä b": "-b",
		strings.Repeat("x", 99): strings.Repeat("x", 60),
	} {
		if got := FileName(name); got != want || filepath.Base(got) != got {
			t.Errorf("FileName(%q) = %q, want %q", name, got, want)
		}
	}
}
