package result

import (
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"

	"userinfo/internal/report"
)

// alpha is the probability at which noise is taken for a change.
const alpha = 0.05

// compared are the metrics that Compare shows.
var compared = []metric{throughput, errorShare, p50, p99, ownCPU, cassandraCPU, memory}

// Compare writes what changed from one run to another, for each condition, target and metric, and whether a Mann–Whitney U
// test at a level of 5 % takes it for more than noise.
//
// The two runs did not run in turns, so a change of the machine looks like a change of the service. A changed baseline
// (handler, loop, driver, redis) shows this. To compare two builds in turns, run both in one run: userinfo:BINARY=FILE.
func Compare(w io.Writer, before, after *Run) error {
	for _, name := range slices.Sorted(maps.Keys(after.Environment)) {
		if old, now := before.Environment[name], after.Environment[name]; old != now {
			fmt.Fprintf(w, "%s: %q, then %q\n", oneLine(name), old, now)
		}
	}
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	counts := make(map[string]int)
	old := groups(before.Samples)
	var last Condition
	for _, g := range groups(after.Samples) {
		i := slices.IndexFunc(old, func(o group) bool { return o.target == g.target && o.Condition == g.Condition })
		if i < 0 {
			counts["in the new run only"]++
			continue
		}
		if g.Condition != last {
			last = g.Condition
			fmt.Fprintf(t, "\n%s: %s\n", oneLine(g.Workload), g.Condition)
		}
		for _, m := range compared {
			x, y := m.values(old[i].samples), m.values(g.samples)
			if len(x) == 0 || len(y) == 0 || slices.Max(x) == 0 && slices.Max(y) == 0 {
				continue
			}
			verdict, p := m.change(x, y)
			counts[verdict]++
			fmt.Fprintf(t, "  %s\t%s\t%s\t→ %s %s\t%+.1f %%\tp=%.3f n=%d+%d\t%s\n", oneLine(g.target), m.name, spread(x), spread(y), m.unit,
				100*(median(y)/median(x)-1), p, len(x), len(y), verdict)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var summary []string
	for _, verdict := range slices.Sorted(maps.Keys(counts)) {
		summary = append(summary, fmt.Sprintf("%s %s", report.Count(counts[verdict]), verdict))
	}
	if len(summary) == 0 {
		summary = []string{"the new run has no samples"}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(summary, ", "))
	return err
}

// change returns whether a metric became better or worse, and the probability of such a difference by chance.
func (m metric) change(before, after []float64) (verdict string, p float64) {
	thresholds := benchmath.DefaultThresholds
	thresholds.CompareAlpha = alpha
	p = benchmath.AssumeNothing.Compare(benchmath.NewSample(before, &thresholds), benchmath.NewSample(after, &thresholds)).P
	// The smallest p that the test can return for so many values is 2 ÷ the number of ways to arrange them.
	orders, _ := new(big.Float).SetInt(new(big.Int).Binomial(int64(len(before)+len(after)), int64(len(before)))).Float64()
	switch old, now := median(before), median(after); {
	case 2/orders > alpha:
		return "too few rounds to tell (4 or more in each run)", p
	case p > alpha || old == now:
		return "no more than noise", p
	case now > old == m.moreIsGood:
		return "better", p
	default:
		return "worse", p
	}
}

// oneLine replaces control characters in a name read from a file, which could confuse the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
