// Package report shows what drills have found, to a person: a page, a plot of each drill over time, an overview, and
// Markdown for the repository. What it is given are summaries, small enough to be kept, so that drills that were run
// apart are shown together.
//
// Invariants:
//
//  1. An invariant of which nothing was checked is never shown as held, and a drill without verdicts is not shown at all.
//  2. What is shown of a promise is what the judge has said; counts and latencies beside it are for orientation.
//  3. The page is one file that loads nothing; nothing in it that a drill has said is taken for markup.
//  4. The same summaries give the same report.
//
// It does not judge, and does not defend against a summary that lies.
package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"userinfo/internal/page"
)

// ErrUnusable is wrapped by the errors for summaries of which no report can be made.
var ErrUnusable = errors.New("no report can be made")

// MutantResult is what became of a bug that was planted to see whether the drills find it.
type MutantResult struct {
	Mutant   string   `json:"mutant"`
	Bug      string   `json:"bug"`              // what was planted, in words
	Must     string   `json:"must"`             // the invariant that has to catch it
	CaughtBy []string `json:"caught_by"`        // all the invariants that were broken
	Evidence string   `json:"evidence"`         // the first violation of Must
	Drill    string   `json:"drill,omitempty"`  // where it was caught
	Seed     uint64   `json:"seed,omitempty"`   // that repeats it
	Checked  int      `json:"checked_for_must"` // what could have broken Must
}

// OfMutant tells what became of the mutant that a drill was run with.
func OfMutant(s Summary, bug, must string) MutantResult {
	m := MutantResult{Mutant: s.Mutant, Bug: bug, Must: must, Drill: s.Name, Seed: s.Seed}
	for _, v := range s.Verdicts {
		if violated(v) {
			m.CaughtBy = append(m.CaughtBy, v.Invariant)
		}
		if v.Invariant == must {
			m.Checked = v.Checked
			if len(v.Violations) > 0 {
				m.Evidence = v.Violations[0].What
			}
		}
	}
	return m
}

// Caught tells whether the invariant that has to catch the bug has caught it. That another one has is no comfort: the
// named one would miss the bug where the other does not look.
func (m MutantResult) Caught() bool { return slices.Contains(m.CaughtBy, m.Must) }

// Result is m in a word.
func (m MutantResult) Result() string {
	switch {
	case m.Caught():
		return "caught by " + strings.Join(m.CaughtBy, ", ")
	case len(m.CaughtBy) > 0:
		return "SURVIVED " + m.Must + ", though " + strings.Join(m.CaughtBy, ", ") + " saw something"
	}
	return "SURVIVED"
}

// Write makes the report of the drills and the mutants, in their order, in the directory, which it creates: report.html,
// report.md, overview.png, and a timeline-NAME.png for each drill. report.html needs no other file; report.md shows
// overview.png and the most telling timelines.
func Write(dir string, summaries []Summary, mutants []MutantResult) error {
	if err := usable(summaries); err != nil {
		return err
	}
	p := contentsOf(summaries, mutants)
	files := make(map[string][]byte)
	var err error
	if p.Overview.PNG, err = overview(p.Columns, p.Rows); err != nil {
		return fmt.Errorf("drawing the overview: %w", err)
	}
	files[p.Overview.File] = p.Overview.PNG
	for i := range p.Drills {
		d := &p.Drills[i]
		if d.Timeline.PNG, err = timeline(&d.Summary); err != nil {
			return fmt.Errorf("drawing the timeline of drill %q: %w", d.Name, err)
		}
		files[d.Timeline.File] = d.Timeline.PNG
	}
	if files["report.html"], err = page.Render(pageHTML.Execute, p); err != nil {
		return fmt.Errorf("making the page: %w", err)
	}
	if files["report.md"], err = page.Render(pageMarkdown.Execute, p); err != nil {
		return fmt.Errorf("making the Markdown: %w", err)
	}
	return page.Write(dir, files)
}

// usable refuses what would make a report that says less than it seems to. It fails closed.
func usable(summaries []Summary) error {
	if len(summaries) == 0 {
		return fmt.Errorf("%w of no drills: give the summary of one at least", ErrUnusable)
	}
	for i, s := range summaries {
		err := s.check()
		switch {
		case err != nil:
		case len(s.Verdicts) == 0:
			err = errors.New("it has no verdicts; judge its history, and summarize that again")
		case s.Mutant != "":
			err = fmt.Errorf("it is of mutant %q, whose failures are not the service's; give it as a result of a mutant", s.Mutant)
		}
		if err != nil {
			return fmt.Errorf("%w of summary %d, drill %q: %w", ErrUnusable, i+1, s.Name, err)
		}
	}
	return nil
}
