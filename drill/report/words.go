package report

import (
	_ "embed"
	"fmt"
	htmltemplate "html/template"
	"maps"
	"slices"
	"text/template"
	"time"

	"userinfo/internal/page"
)

//go:embed report.html.tmpl
var htmlSource string

//go:embed report.md.tmpl
var markdownSource string

var words = map[string]any{
	"count": page.Count, "seconds": seconds, "ms": ms, "ratio": ratio, "back": back, "plural": page.Plural, "md": page.Markdown, "style": page.Style, "clock": clock,
	"add1": func(i int) int { return i + 1 },
}

var (
	pageHTML     = htmltemplate.Must(htmltemplate.New("report.html").Funcs(words).Parse(htmlSource))
	pageMarkdown = template.Must(template.New("report.md").Funcs(words).Parse(markdownSource))
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// seconds writes a duration as a reader measures it: 0.4 s, 31 s, 5 min 20 s.
func seconds(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 9.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 119.5:
		return fmt.Sprintf("%.0f s", s)
	}
	d = d.Round(time.Second)
	m := fmt.Sprintf("%d min", d/time.Minute)
	if s := d % time.Minute / time.Second; s != 0 {
		m += fmt.Sprintf(" %d s", s)
	}
	return m
}

// clock writes a time since the begin: 0:31, 12:05, 1:00:00.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// ms writes a latency in milliseconds; 0 is that there is none.
func ms(v float64) string {
	switch {
	case v == 0:
		return "–"
	case v < 10:
		return fmt.Sprintf("%.1f ms", v)
	}
	return page.Count(int(v+0.5)) + " ms"
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f×", a/b)
}

// back writes when full speed was back.
func back(d time.Duration) string {
	switch {
	case d < 0:
		return "not seen"
	case d == 0:
		return "at once"
	}
	return seconds(d)
}
