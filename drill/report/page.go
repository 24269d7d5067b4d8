package report

import (
	"fmt"
	"slices"
	"strings"

	"userinfo/drill/history"
	"userinfo/drill/judge"
	"userinfo/internal/page"
)

// shownTimelines is how many of them the Markdown shows, lest the repository grow by all.
const shownTimelines = 6

// contents is what both templates show.
type contents struct {
	Good     bool
	Headline string
	Columns  []column
	Rows     []row
	Overview page.Picture
	Drills   []drill
	Evidence []evidence
	Figures  []figure
	// Environment is what the drills ran in. Where that differs, it says for which.
	Environment []fact
	Mutants     []MutantResult
}

// column is an invariant.
type column struct {
	Invariant, Promise string
	Checked            int // in all drills
}

// promises are the invariants in a reader's words.
var promises = []column{
	{Invariant: "I1", Promise: "After a delete that was acknowledged, no later read in any datacentre returns what it deleted, nor anything older."},
	{Invariant: "I2", Promise: "A delete that was answered 503 is done in its own datacentre at once and everywhere within 60 s of recovery, and what was set before a delete is not read after it."},
	{Invariant: "I3", Promise: "What was set and acknowledged is read back whole, under its own key, until it is overwritten, deleted or expired."},
	{Invariant: "I4", Promise: "Nothing is read later than a second after its expiry, and a touch neither shortens a life nor revives what is gone."},
	{Invariant: "I5", Promise: "No request is served by a Cassandra node of another datacentre."},
	{Invariant: "I6", Promise: "404 is never said where the truth is unknown."},
	{Invariant: "I7", Promise: "With the other datacentre gone, get, set and touch have no errors and a p99 within twice that of before."},
	{Invariant: "I8", Promise: "With one local node gone there are no errors after the first second, and full speed again within 5 s of its return."},
	{Invariant: "I9", Promise: "Memory, goroutines, descriptors and streams return to where they were."},
	{Invariant: "I10", Promise: "The clients, the metrics and the log count the same statuses."},
	{Invariant: "L", Promise: "Within one datacentre, the operations on a key are linearizable."},
}

// drill is one of the summaries.
type drill struct {
	Summary
	Label    string // no other drill's
	Anchor   string
	Timeline page.Picture
	Shown    bool // in the Markdown
	Broken   bool
}

// evidence is an invariant that a drill has broken.
type evidence struct {
	Drill   *drill
	Promise string
	judge.Verdict
}

// Unshown counts the violations that the summary does not tell.
func (e evidence) Unshown() int { return max(0, e.Broken-len(e.Violations)) }

// figure is what the clients of one datacentre saw of one kind of fault. Where the drill did it several times, counts
// are sums, and the latencies are those of the time when the fault made them longest by ratio.
type figure struct {
	Drill  *drill
	Fault  string
	Expect history.Expectation
	Times  int
	Side
}

// Label is the figure's first cell.
func (f figure) Label() string {
	return row{Drill: f.Drill, Fault: f.Fault, Times: f.Times}.Label()
}

// figures are a drill's.
func figures(d *drill) []figure {
	var all []figure
	for _, f := range d.Faults {
		for _, s := range f.Sides {
			i := slices.IndexFunc(all, func(g figure) bool { return g.Fault == f.Name && g.Expect == f.Expect && g.DC == s.DC })
			if i < 0 {
				all = append(all, figure{Drill: d, Fault: f.Name, Expect: f.Expect, Times: 1, Side: s})
				continue
			}
			g := &all[i]
			g.Times++
			sum, first, slowest := g.During.Tally, g.FirstSecond+s.FirstSecond, max(g.Back, s.Back)
			sum.add(s.During.Tally)
			if g.Back < 0 || s.Back < 0 {
				slowest = -1
			}
			if s.During.P99*g.Before.P99 > g.During.P99*s.Before.P99 {
				g.Side = s
			}
			g.During.Tally, g.FirstSecond, g.Back = sum, first, slowest
		}
	}
	return all
}

// Later counts the errors after the fault's first second.
func (f figure) Later() int { return f.During.Errors() - f.FirstSecond }

// Judged tells whether I7 or I8 speaks of the fault.
func (f figure) Judged() bool {
	return f.Expect == history.OneNode || f.Expect == history.OtherDatacentre
}

type fact struct{ Name, Value string }

func contentsOf(summaries []Summary, mutants []MutantResult) *contents {
	p := &contents{Columns: columns(summaries), Mutants: mutants, Overview: page.Picture{File: "overview.png"}}
	p.Drills = drills(summaries)
	p.Environment = environment(p.Drills)
	for i := range p.Drills {
		d := &p.Drills[i]
		p.Rows = append(p.Rows, rows(p.Columns, d)...)
		for _, v := range d.Verdicts {
			if violated(v) {
				c := p.Columns[slices.IndexFunc(p.Columns, func(c column) bool { return c.Invariant == v.Invariant })]
				p.Evidence = append(p.Evidence, evidence{Drill: d, Promise: c.Promise, Verdict: v})
			}
		}
		p.Figures = append(p.Figures, figures(d)...)
	}
	p.Good = len(p.Evidence) == 0
	p.Headline = headline(p)
	return p
}

func columns(summaries []Summary) []column {
	all := slices.Clone(promises)
	for _, s := range summaries {
		for _, v := range s.Verdicts {
			i := slices.IndexFunc(all, func(c column) bool { return c.Invariant == v.Invariant })
			if i < 0 {
				i = len(all)
				all = append(all, column{Invariant: v.Invariant})
			}
			all[i].Checked += v.Checked
		}
	}
	return all
}

// headline is the whole in a sentence or three.
func headline(p *contents) string {
	var operations, faults int
	for _, d := range p.Drills {
		operations += d.Operations.Total()
		faults += len(d.Faults) + d.Omitted
	}
	text := page.Plural(len(p.Drills), "drill") + " with " + page.Plural(faults, "fault") + " and " + page.Plural(operations, "operation") + ": "
	if p.Good {
		text += "nothing that was promised was broken."
	} else {
		var broken []string
		violations := 0
		for _, e := range p.Evidence {
			broken = append(broken, e.Invariant)
			violations += e.Broken
		}
		slices.Sort(broken)
		text += page.Plural(violations, "violation") + ", of " + strings.Join(slices.Compact(broken), ", ") + "."
	}
	var unchecked []string
	for _, c := range p.Columns {
		if c.Checked == 0 {
			unchecked = append(unchecked, c.Invariant)
		}
	}
	if len(unchecked) > 0 {
		text += " Not checked by any drill: " + strings.Join(unchecked, ", ") + "."
	}
	return text
}

// drills names the drills and their files, each by a name of its own, and chooses those of whom the Markdown shows the
// timeline: those that have broken something, then those with the most errors.
func drills(summaries []Summary) []drill {
	all := make([]drill, len(summaries))
	labels, anchors := make(map[string]bool), make(map[string]bool)
	for i, s := range summaries {
		d := drill{Summary: s, Label: s.Name}
		if labels[d.Label] {
			d.Label = page.Unused(labels, fmt.Sprintf("%s, seed %d", s.Name, s.Seed))
		}
		labels[d.Label] = true
		d.Anchor = page.Unused(anchors, page.FileName(d.Label))
		anchors[d.Anchor] = true
		d.Timeline.File = "timeline-" + d.Anchor + ".png"
		d.Broken = slices.ContainsFunc(s.Verdicts, violated)
		all[i] = d
	}
	order := make([]*drill, len(all))
	for i := range all {
		order[i] = &all[i]
	}
	slices.SortStableFunc(order, func(a, b *drill) int {
		if a.Broken != b.Broken {
			return map[bool]int{true: -1, false: 1}[a.Broken]
		}
		return b.Operations.Errors() - a.Operations.Errors()
	})
	for _, d := range order[:min(len(order), shownTimelines)] {
		d.Shown = true
	}
	return all
}

// environment merges what the drills say of where they ran, in the order of its names.
func environment(drills []drill) []fact {
	values := make(map[string]map[string][]string) // name, value, drills
	for _, d := range drills {
		for name, value := range d.Environment {
			if values[name] == nil {
				values[name] = make(map[string][]string)
			}
			values[name][value] = append(values[name][value], d.Label)
		}
	}
	var all []fact
	for _, name := range sortedKeys(values) {
		for _, value := range sortedKeys(values[name]) {
			of := values[name][value]
			shown := value
			if len(of) < len(drills) {
				shown += " (" + strings.Join(of, ", ") + ")"
			}
			all = append(all, fact{Name: name, Value: shown})
		}
	}
	return all
}
