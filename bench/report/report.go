// Package report shows what the benchmark has measured, to a person: a page, plots, Markdown for the repository, and
// what has changed from one run to another. All of it is made from a result.Run and nothing else.
//
// Invariants:
//
//  1. A ratio is of two samples that were taken in turns: of the same workload, data, connections, mode, rate and round.
//     A sample without its partner gives none. What is shown of ratios is their median and their least and greatest.
//  2. What was not measured is said to be so. It is never 0, never NaN and never held.
//  3. What is extrapolated is marked, with what it was made from.
//  4. The page is one file that loads nothing; nothing in it that a run says is taken for markup.
//  5. The same run gives the same report.
//
// It does not defend against a run that lies, or whose targets were not in turns though their rounds have the same number.
package report

import (
	"fmt"

	"userinfo/bench/result"
	"userinfo/internal/page"
)

// RawData is the name of the run's own file, to which the page and the Markdown point. Whoever made the run writes it.
const RawData = "run.json"

// Write makes the report of a run in the directory, which it creates: index.html, report.md and plots as PNG files.
// index.html has the plots in it, and report.md shows those of cost, of throughput against latency and of growth.
func Write(dir string, run *result.Run) error {
	c, err := contentsOf(run)
	if err != nil {
		return fmt.Errorf("drawing the plots of a report: %w", err)
	}
	files := make(map[string][]byte)
	for _, p := range c.pictures() {
		files[p.File] = p.PNG
	}
	if files["index.html"], err = page.Render(pageHTML.Execute, c); err != nil {
		return fmt.Errorf("making the page: %w", err)
	}
	if files["report.md"], err = page.Render(pageMarkdown.Execute, c); err != nil {
		return fmt.Errorf("making the Markdown: %w", err)
	}
	return page.Write(dir, files)
}
