package result

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"userinfo/internal/report"
)

// WriteReport writes report.md and its plots into a directory.
func (r *Run) WriteReport(dir string) error {
	d, err := r.report()
	if err != nil {
		return err
	}
	return d.Write(dir)
}

func (r *Run) report() (*report.Document, error) {
	all := groups(r.Samples)
	d := new(report.Document)
	d.Heading(1, "Benchmark")
	d.Paragraph("Measured on %s with:", r.Began.Format("2006-01-02"))
	d.Code(strings.ReplaceAll("go run ./bench "+strings.Join(r.Command, " "), " ; ", "\ngo run ./bench ")) // see Read
	d.Paragraph("Targets ran in turns, some seconds each. A figure is the median of the rounds; the range over the rounds is in " +
		"parentheses. CPU is the time that all processes of a kind used, divided by the number of correct answers. Latency counts from when a request was due " +
		"(open loop) or sent (closed loop). All processes share this machine, so compare figures within this report only.")
	r.goals(d)
	if err := plots(d, all); err != nil {
		return nil, err
	}
	for start := 0; start < len(all); {
		end := start + 1
		for end < len(all) && all[end].Workload == all[start].Workload {
			end++
		}
		d.Heading(2, "Workload "+all[start].Workload)
		figures(d, all[start:end])
		ratios(d, all[start:end])
		start = end
	}
	d.Heading(2, "Environment")
	t := report.NewTable(report.Left("What"), report.Left("Value"))
	for _, name := range slices.Sorted(maps.Keys(r.Environment)) {
		t.Row(name, r.Environment[name])
	}
	d.Table(t)
	return d, nil
}

// String describes the condition without the workload.
func (c Condition) String() string {
	parts := []string{"closed loop"}
	if c.Mode == Open {
		parts[0] = report.Count(int(c.Rate)) + " requests/s"
	}
	parts = append(parts, report.Count(c.Connections)+" connections")
	if c.Nodes > 0 {
		parts = append(parts, fmt.Sprintf("%d nodes", c.Nodes))
	}
	parts = append(parts, units.HumanSize(float64(c.Data))+" of data", units.HumanSize(float64(c.ValueBytes))+" values")
	return strings.Join(parts, ", ")
}

// byCondition calls do with the groups of each condition.
func byCondition(all []group, do func([]group)) {
	for start, end := 0, 0; start < len(all); start = end {
		for end = start + 1; end < len(all) && all[end].Condition == all[start].Condition; {
			end++
		}
		do(all[start:end])
	}
}

// figures adds the table of a workload.
func figures(d *report.Document, all []group) {
	t := report.NewTable(report.Left("Condition"), report.Left("Target"), report.Right("Requests/s"), report.Right("p50, ms"), report.Right("p90"),
		report.Right("p99"), report.Right("p99.9"), report.Right("Own CPU, µs"), report.Right("Cassandra CPU, µs"), report.Right("Generator CPU, µs"),
		report.Right("Memory, MB"), report.Right("Errors"))
	var notes []any
	byCondition(all, func(same []group) {
		name := any(same[0].Condition.String())
		for _, g := range same {
			merged := NewHistogram()
			var failed int64
			behind, late := 0, time.Duration(0)
			reasons := make(map[string]bool)
			for _, s := range g.samples {
				merged.Merge(s.Latency.Histogram)
				failed += s.ErrorCount()
				for reason := range s.Errors {
					reasons[reason] = true
				}
				if !s.KeepsRate() && s.ErrorCount() == 0 {
					behind++
				}
				late = max(late, s.Late.At(.99))
			}
			ms := func(q float64) float64 { return float64(merged.At(q)) / float64(time.Millisecond) }
			t.Row(name, g.target, spread(throughput.values(g.samples)), spread(p50.values(g.samples)), ms(.9), spread(p99.values(g.samples)), ms(.999),
				spread(ownCPU.values(g.samples)), spread(cassandraCPU.values(g.samples)), spread(kindCPU(KindGenerator).values(g.samples)),
				spread(memory.values(g.samples)), failed)
			name = ""
			if failed > 0 {
				notes = append(notes, fmt.Sprintf("%s, %s: errors were %s", g.target, g.Condition, strings.Join(slices.Sorted(maps.Keys(reasons)), ", ")))
			}
			if behind > 0 {
				notes = append(notes, fmt.Sprintf("%s, %s: fell behind its rate in %d of %d rounds", g.target, g.Condition, behind, len(g.samples)))
			}
			if late > 2*time.Millisecond {
				notes = append(notes, fmt.Sprintf("%s, %s: the generator itself sent 1 %% of the requests %s late or later", g.target, g.Condition, report.Duration(late)))
			}
		}
	})
	d.Table(t)
	if len(notes) > 0 {
		d.List(notes...)
	}
}

// ratios adds a table that compares targets which ran in turns: each with the first one of its condition.
func ratios(d *report.Document, all []group) {
	t := report.NewTable(report.Left("Condition"), report.Left("Ratio"), report.Right("Requests/s"), report.Right("Own CPU"),
		report.Right("Cassandra CPU"), report.Right("p50"), report.Right("p99"))
	byCondition(all, func(same []group) {
		for _, g := range same[1:] {
			first := same[0]
			t.Row(g.Condition.String(), first.target+" ÷ "+g.target, spread(throughput.ratios(first, g)), spread(ownCPU.ratios(first, g)),
				spread(cassandraCPU.ratios(first, g)), spread(p50.ratios(first, g)), spread(p99.ratios(first, g)))
		}
	})
	if t.Len() > 0 {
		d.Table(t)
	}
}

// plots adds the plots for which there are data.
func plots(d *report.Document, all []group) error {
	if err := costPlot(d, all); err != nil {
		return err
	}
	for _, dimension := range []struct {
		name, label string
		of          func(*Condition) float64
		clear       func(*Condition)
	}{
		{"rate", "requests/s", func(c *Condition) float64 { return c.Rate }, func(c *Condition) { c.Rate = 0 }},
		{"data", "MB of data", func(c *Condition) float64 { return float64(c.Data) / 1e6 }, func(c *Condition) { c.Data = 0 }},
		{"connections", "connections", func(c *Condition) float64 { return float64(c.Connections) }, func(c *Condition) { c.Connections = 0 }},
		{"nodes", "Cassandra nodes", func(c *Condition) float64 { return float64(c.Nodes) }, func(c *Condition) { c.Nodes = 0 }},
	} {
		if err := growthPlot(d, all, dimension.name, dimension.label, dimension.of, dimension.clear); err != nil {
			return err
		}
	}
	return nil
}

// costPlot shows the CPU time per request of each target, under the first condition of each workload.
func costPlot(d *report.Document, all []group) error {
	p := report.Plot{Title: "CPU per request", YLabel: "µs"}
	for i, kind := range Kinds {
		p.Bars = append(p.Bars, report.Bar{Name: kind, Color: report.Palette[i]})
	}
	for _, g := range all {
		name := g.Workload + "\n" + g.target
		if slices.Contains(p.Categories, name) || len(p.Categories) == 12 {
			continue
		}
		p.Categories = append(p.Categories, name)
		for i := range p.Bars {
			v := median(kindCPU(p.Bars[i].Name).values(g.samples))
			if math.IsNaN(v) {
				v = 0
			}
			p.Bars[i].Values = append(p.Bars[i].Values, v)
		}
	}
	unused := func(b report.Bar) bool { return len(b.Values) == 0 || slices.Max(b.Values) == 0 }
	if p.Bars = slices.DeleteFunc(p.Bars, unused); len(p.Bars) == 0 {
		return nil
	}
	return d.Plot("cost", "CPU time per request, by target and kind of process", p)
}

// growthPlot shows cost and latency against one dimension of the condition, for targets that were measured at two or more
// values of it.
func growthPlot(d *report.Document, all []group, name, label string, of func(*Condition) float64, clear func(*Condition)) error {
	type key struct {
		target string
		rest   Condition
	}
	var keys []key
	lines := make(map[key][]group)
	for _, g := range all {
		k := key{g.target, g.Condition}
		clear(&k.rest)
		if of(&g.Condition) > 0 {
			if lines[k] == nil {
				keys = append(keys, k)
			}
			lines[k] = append(lines[k], g)
		}
	}
	cost := report.Plot{Title: "By " + name, XLabel: label, YLabel: "CPU per request, µs", LogX: true}
	delay := report.Plot{XLabel: label, YLabel: "latency, ms", LogX: true, LogY: true}
	for i, k := range slices.DeleteFunc(keys, func(k key) bool { return len(lines[k]) < 2 }) {
		line := func(what string, m metric, dashed bool) report.Line {
			l := report.Line{Name: k.target + ": " + what, Color: report.Palette[i%len(report.Palette)], Points: true, Dashed: dashed}
			for _, g := range lines[k] {
				l.X, l.Y = append(l.X, of(&g.Condition)), append(l.Y, median(m.values(g.samples)))
			}
			return l
		}
		cost.Lines = append(cost.Lines, line("own", ownCPU, false), line("Cassandra", cassandraCPU, true))
		delay.Lines = append(delay.Lines, line("p50", p50, false), line("p99", p99, true))
	}
	if len(cost.Lines) == 0 {
		return nil
	}
	return d.Plot("by-"+name, "CPU time per request and latency by "+label, cost, delay)
}
