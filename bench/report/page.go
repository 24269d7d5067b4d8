package report

import (
	"cmp"
	_ "embed"
	"fmt"
	htmltemplate "html/template"
	"slices"
	"strings"
	"text/template"

	"userinfo/bench/result"
	"userinfo/internal/page"
)

//go:embed index.html.tmpl
var htmlSource string

//go:embed report.md.tmpl
var markdownSource string

var words = map[string]any{
	"count": page.Count, "plural": page.Plural, "md": page.Markdown, "style": page.Style, "bytes": bytesOf,
	"count64": func(n int64) string { return page.Count(int(n)) },
	"float":   func(n int64) float64 { return float64(n) },
}

var (
	pageHTML     = htmltemplate.Must(htmltemplate.New("index.html").Funcs(words).Parse(htmlSource))
	pageMarkdown = template.Must(template.New("report.md").Funcs(words).Parse(markdownSource))
)

// contents is what both templates show.
type contents struct {
	Run         *result.Run
	Command     string
	RawData     string
	Headline    string
	Marks       []Mark
	Capacity    capacity
	Workloads   []workload
	Ways        []comparison
	Costs       []page.Picture
	Curves      *page.Picture
	Growth      *page.Picture
	Environment []fact
}

type fact struct{ Name, Value string }

func contentsOf(run *result.Run) (*contents, error) {
	s := samplesOf(run)
	c := &contents{Run: run, Command: strings.Join(run.Command, " "), RawData: RawData, Marks: Marks(run), Capacity: capacityOf(s), Ways: ways(s),
		Environment: environment(run.Environment)}
	c.Headline = headline(c.Marks)
	used := make(map[string]bool)
	var main []condition
	for _, name := range s.workloads() {
		some := s.where(workloadIs(name))
		modes := distinct(some, func(x *result.Sample) result.Mode { return x.Mode }, cmp.Compare)
		for i, mode := range modes {
			title := name
			if i > 0 {
				title += ", " + string(mode) + " loop"
			}
			w := workloadOf(title, some.where(func(x *result.Sample) bool { return x.Mode == mode }))
			w.Anchor = page.Unused(used, page.FileName(title))
			used[w.Anchor] = true
			main = append(main, w.Main)
			c.Workloads = append(c.Workloads, w)
		}
	}
	return c, c.draw(run, s, main)
}

// draw makes the plots.
func (c *contents) draw(run *result.Run, s samples, main []condition) error {
	for i := range c.Workloads {
		w := &c.Workloads[i]
		some := s.where(under(w.Main))
		for _, p := range []struct {
			to     *page.Picture
			file   string
			figure figure
		}{{&w.Percentiles, "percentiles-", percentiles(w.Main, some)}, {&w.OverTime, "time-", overTime(w.Main, some)}} {
			png, err := p.figure.draw()
			if err != nil {
				return fmt.Errorf("%s of %q: %w", p.file, w.Name, err)
			}
			*p.to = page.Picture{File: p.file + w.Anchor + ".png", PNG: png}
		}
	}
	dear := func(c condition) bool { return strings.HasPrefix(c.Workload, "fresh/") || c.Workload == result.Large }
	for _, p := range []struct {
		file, of string
		without  func(condition) bool
	}{{"cost.png", "kept connections", dear}, {"cost-fresh.png", "new connections and large values", func(c condition) bool { return !dear(c) }}} {
		png, err := costs(s, p.of, slices.DeleteFunc(slices.Clone(main), p.without))
		if err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
		if png != nil {
			c.Costs = append(c.Costs, page.Picture{File: p.file, PNG: png})
		}
	}
	for _, p := range []struct {
		to   **page.Picture
		file string
		make func() (figure, bool)
	}{{&c.Curves, "curve.png", func() (figure, bool) { return curves(s) }}, {&c.Growth, "growth.png", func() (figure, bool) { return growth(run) }}} {
		f, ok := p.make()
		if !ok {
			continue
		}
		png, err := f.draw()
		if err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
		*p.to = &page.Picture{File: p.file, PNG: png}
	}
	return nil
}

// pictures are all that there are.
func (c *contents) pictures() []page.Picture {
	all := slices.Clone(c.Costs)
	for _, w := range c.Workloads {
		all = append(all, w.Percentiles, w.OverTime)
	}
	for _, p := range []*page.Picture{c.Curves, c.Growth} {
		if p != nil {
			all = append(all, *p)
		}
	}
	return all
}

// headline is what must be shown, in a sentence.
func headline(marks []Mark) string {
	if len(marks) == 0 {
		return "This service was not asked in this run: it shows nothing of what must be shown."
	}
	counts := make(map[State]int)
	for _, m := range marks {
		counts[m.State]++
	}
	return fmt.Sprintf("Of %d figures that must be shown, %d reach their aim, %d are held, %d are missed and %d are not measured in this run.",
		len(marks), counts[Aimed], counts[Held], counts[Missed], counts[NotMeasured])
}

// Class is the mark's style.
func (m Mark) Class() string {
	return map[State]string{NotMeasured: "unchecked", Missed: "broken", Held: "held", Aimed: "held"}[m.State]
}

// Ours tells whether a row is the service's, which a reader looks for.
func (r row) Ours() bool { return r.Target == result.UserInfo }

func environment(e result.Environment) []fact {
	all := []fact{{"Commit", e.Commit}, {"Go", e.Go}, {"Kernel", e.Kernel}, {"CPU", e.CPU}, {"Cores", ""}, {"Memory", ""}, {"Cassandra", e.Cassandra}, {"Redis", e.Redis}}
	if e.Cores > 0 {
		all[4].Value = page.Count(e.Cores)
	}
	if e.MemoryKB > 0 {
		all[5].Value = bytesOf(float64(e.MemoryKB) * 1024)
	}
	for _, name := range sortedKeys(e.Settings) {
		all = append(all, fact{name, e.Settings[name]})
	}
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

// Class is the headline's style: good where all is shown and held.
func (c *contents) Class() string {
	in := func(s State) bool { return slices.ContainsFunc(c.Marks, func(m Mark) bool { return m.State == s }) }
	switch {
	case in(Missed):
		return "bad"
	case in(NotMeasured):
		return "some"
	}
	return "good"
}
