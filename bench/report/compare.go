package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"

	"userinfo/bench/result"
	"userinfo/internal/page"
)

// alpha is how often noise alone may be taken for a change.
const alpha = 0.05

// compared are the metrics that Compare looks at.
var compared = []metric{throughput, failures, p50, p99, ownCPU, cassandra, mallocs, resident}

// verdict is what is known of a change.
type verdict string

const (
	better  verdict = "better"
	worse   verdict = "worse"
	noise   verdict = "no more than noise"
	tooFew  verdict = "too few rounds to tell"
	onlyOne verdict = "in one run only"
)

// change is what became of one metric of one target under one condition.
type change struct {
	target    string
	condition condition
	metric    metric
	old, new  Spread
	p         float64
	verdict   verdict
}

// Compare tells what has changed from one run to another, for each workload, target and metric, and whether by more than
// noise: by a Mann–Whitney U test of the rounds' values, at a level of 5 %.
//
// The runs are not in turns with each other, so that what the machine did in between is in the figures too. A floor that
// has changed shows it, and is told of.
func Compare(w io.Writer, before, after *result.Run) error {
	var b bytes.Buffer
	for _, d := range differences(before.Environment, after.Environment) {
		fmt.Fprintln(&b, d)
	}
	all := changes(samplesOf(before), samplesOf(after))
	table(&b, all)
	for _, line := range summary(all) {
		fmt.Fprintln(&b, line)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// differences are those of the environments, in words. What is the same is not told.
func differences(before, after result.Environment) []string {
	values := make(map[string][2]string)
	var names []string
	for i, e := range []result.Environment{before, after} {
		for _, f := range environment(e) {
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
			v := values[f.Name]
			v[i] = f.Value
			values[f.Name] = v
		}
	}
	var all []string
	for _, name := range names {
		if v := values[name]; v[0] != v[1] {
			all = append(all, fmt.Sprintf("%s differs: %s, then %s", name, orNone(v[0]), orNone(v[1])))
		}
	}
	return all
}

func orNone(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}

// changes are those of all that both runs have, and of what only one has by its throughput alone.
func changes(before, after samples) []change {
	var all []change
	both := slices.Concat(before, after)
	for _, w := range both.workloads() {
		for _, g := range both.where(workloadIs(w)).groups() {
			same := func(x *result.Sample) bool { return x.Target == g.target && conditionOf(x) == g.is }
			all = append(all, changesOf(g, before.where(same), after.where(same))...)
		}
	}
	return all
}

func changesOf(g group, before, after samples) []change {
	if len(before) == 0 || len(after) == 0 {
		return []change{{target: g.target, condition: g.within, metric: throughput, old: before.spread(throughput), new: after.spread(throughput), p: 1, verdict: onlyOne}}
	}
	var all []change
	for _, m := range compared {
		if x, y := before.values(m), after.values(m); len(x) > 0 && len(y) > 0 && max(slices.Max(x), slices.Max(y)) > 0 {
			all = append(all, changeOf(g.target, g.within, m, x, y))
		}
	}
	return all
}

func changeOf(target string, c condition, m metric, before, after []float64) change {
	x := change{target: target, condition: c, metric: m, old: spreadOf(before), new: spreadOf(after)}
	thresholds := benchmath.DefaultThresholds
	thresholds.CompareAlpha = alpha
	// A test that fails, because all values are the same, is one that has found nothing: its P is 1.
	x.p = benchmath.AssumeNothing.Compare(benchmath.NewSample(before, &thresholds), benchmath.NewSample(after, &thresholds)).P
	switch {
	case leastP(len(before), len(after)) > alpha:
		x.verdict = tooFew
	case x.p > alpha || x.new.Median == x.old.Median:
		x.verdict = noise
	case x.new.Median > x.old.Median == m.More:
		x.verdict = better
	default:
		x.verdict = worse
	}
	return x
}

// leastP is the smallest p that the test can give for so many values, which is when none of the one is among the other.
func leastP(n, m int) float64 {
	orders, _ := new(big.Float).SetInt(new(big.Int).Binomial(int64(n+m), int64(n))).Float64()
	return min(1, 2/orders)
}

func (c change) ratio() string {
	if c.verdict == onlyOne || c.old.Median == 0 {
		return none
	}
	return fmt.Sprintf("%+.1f %%", 100*(c.new.Median/c.old.Median-1))
}

// table writes the changes, each workload's condition above its own.
func table(b *bytes.Buffer, all []change) {
	var last condition
	var t *tabwriter.Writer
	for i, c := range all {
		if i == 0 || c.condition != last {
			if t != nil {
				_ = t.Flush() // into memory
			}
			last = c.condition
			fmt.Fprintf(b, "\n%s: %s\n", oneLine(last.Workload), last)
			t = tabwriter.NewWriter(b, 2, 8, 2, ' ', 0)
		}
		p := none
		if c.verdict != onlyOne {
			p = fmt.Sprintf("p=%.3f n=%d+%d", c.p, c.old.N, c.new.N)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t→ %s\t%s\t%s\t%s\n", oneLine(c.target), c.metric.Name, c.old.in(c.metric.Unit), c.new.in(c.metric.Unit), c.ratio(), p, c.verdict)
	}
	if t != nil {
		_ = t.Flush()
	}
	fmt.Fprintln(b)
}

// oneLine keeps what a run says from breaking the table, or the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// in is the spread in words with its unit.
func (s Spread) in(unit string) string {
	if s.N == 0 {
		return none
	}
	if unit == "B" && s.Max >= 1e5 {
		return bytesOf(s.Median)
	}
	return strings.TrimSpace(s.Words() + " " + unit)
}

// summary is the whole in a few lines.
func summary(all []change) []string {
	counts := make(map[verdict]int)
	var floors []string
	for _, c := range all {
		counts[c.verdict]++
		if isFloor(c.target) && (c.verdict == better || c.verdict == worse) {
			floors = append(floors, fmt.Sprintf("%s in %s: %s %s", oneLine(c.target), oneLine(c.condition.Workload), c.metric.Name, c.ratio()))
		}
	}
	told := counts[better] + counts[worse] + counts[noise]
	if len(all) == 0 {
		return []string{"Nothing to compare: neither run has samples."}
	}
	lines := []string{fmt.Sprintf("%d better, %d worse, %d no more than noise, %d with too few rounds to tell, %d in one run only.",
		counts[better], counts[worse], counts[noise], counts[tooFew], counts[onlyOne])}
	if told > 0 {
		lines = append(lines, fmt.Sprintf("Of %s at a level of 5 %%, about %.0f would show a change by chance alone.", page.Plural(told, "test"), math.Ceil(float64(told)*alpha)))
	}
	if counts[tooFew] > 0 {
		lines = append(lines, "To tell a change takes at least 4 rounds in each run.")
	}
	if len(floors) > 0 {
		lines = append(lines, "Floors have changed, on which the service has no influence: what changed by as much may be the machine's doing. "+strings.Join(floors, "; ")+".")
	}
	return lines
}

func isFloor(target string) bool {
	return slices.Contains([]string{result.Handler, result.Loop, result.Driver, result.Redis}, target)
}
