package result

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"userinfo/internal/report"
)

// Workloads that the goals name.
const (
	Get              = "get"
	DesignTarget     = "target"
	Latency          = "latency"
	FreshMTLS        = "fresh/mtls"
	FreshMTLSResumed = "fresh/mtls+resumption"
)

// operand names what a goal's figure is made of: a metric of a target under a workload.
type operand struct {
	target, workload string
	metric           metric
}

// goal is a ratio that the service is to reach: figure ÷ the sum of baseline.
type goal struct {
	name     string
	figure   operand
	baseline []operand
	atMost   bool    // the ratio is to be at most required, else at least
	required float64 // what has to be
	aim      float64 // what is hoped for
}

// goals are the ratios of samples that ran in turns.
var goals = []goal{
	{"service CPU per get ÷ (handler + driver with generator)", operand{UserInfo, Get, ownCPU},
		[]operand{{Handler, Get, ownCPU}, {Driver, Get, ownCPU}}, true, 1.15, 1},
	{"reads/s ÷ the bare driver's", operand{UserInfo, Get, throughput}, []operand{{Driver, Get, throughput}}, false, 0.5, 0.7},
	{"p50 at 3,000 reads/s ÷ Redis's", operand{UserInfo, Latency, p50}, []operand{{Redis, Latency, p50}}, true, 4, 2},
	{"new TLS connections/s (memory store) ÷ a bare loop's", operand{Memory, FreshMTLS, throughput}, []operand{{Loop, FreshMTLS, throughput}}, false, 0.8, 0.95},
	{"resumed ÷ full TLS connections/s (memory store)", operand{Memory, FreshMTLSResumed, throughput}, []operand{{Memory, FreshMTLS, throughput}}, false, 2, 4},
}

// Outcome is what a run shows of a goal.
type Outcome struct {
	Goal          string
	Required, Aim string
	Measured      report.Markdown
	Result        string // missed, reached, aim reached
}

// Outcomes returns the goals for which the run has samples. A goal with errors in a round is missed.
func (r *Run) Outcomes() (all []Outcome) {
	for _, g := range goals {
		if values := g.values(r.Samples); len(values) > 0 {
			sign := map[bool]string{true: "≤ ", false: "≥ "}[g.atMost]
			all = append(all, Outcome{g.name, fmt.Sprint(sign, g.required), fmt.Sprint(sign, g.aim), spread(values), g.result(values)})
		}
	}
	all = append(all, designTarget(r.Samples)...)
	return append(all, memoryGoal(r.Samples)...)
}

// byRound returns an operand's figures under the first condition that has samples of it. The figure of a round with errors
// is NaN.
func (o operand) byRound(samples []Sample) map[int]float64 {
	rounds := make(map[int]float64)
	all := groups(samples)
	if i := slices.IndexFunc(all, func(g group) bool { return g.target == o.target && g.Workload == o.workload }); i >= 0 {
		for _, s := range all[i].samples {
			v, ok := o.metric.of(s)
			if !ok || s.ErrorCount() > 0 {
				v = math.NaN()
			}
			rounds[s.Round] = v
		}
	}
	return rounds
}

// values returns the goal's ratio in each round. It returns none if an operand was not measured.
func (g goal) values(samples []Sample) (ratios []float64) {
	figure, sum := g.figure.byRound(samples), make(map[int]float64)
	for _, o := range g.baseline {
		rounds := o.byRound(samples)
		for round := range figure {
			v, measured := rounds[round]
			if !measured {
				return nil
			}
			sum[round] += v
		}
	}
	for round, v := range figure {
		ratios = append(ratios, v/sum[round])
	}
	return ratios
}

// result fails closed: without values, or if one is NaN, the goal is missed.
func (g goal) result(values []float64) string {
	v := math.Round(median(values)*100) / 100 // as the report shows it
	reaches := func(limit float64) bool { return g.atMost && v <= limit || !g.atMost && v >= limit }
	switch {
	case slices.ContainsFunc(values, math.IsNaN) || !reaches(g.required): // NaN reaches nothing
		return "missed"
	case reaches(g.aim):
		return "aim reached"
	}
	return "reached"
}

// designTarget returns the outcome of 9,000 reads/s and 100 writes/s for the service and for stores by URL.
func designTarget(samples []Sample) (all []Outcome) {
	for _, g := range groups(samples) {
		baseline := slices.Contains(Targets, g.target) && g.target != UserInfo
		if g.Workload != DesignTarget || baseline {
			continue
		}
		o := Outcome{Goal: "p99 at 9,000 reads/s and 100 writes/s, ms: " + g.target, Required: "rate kept, no error", Aim: "≤ 10",
			Measured: spread(p99.values(g.samples)), Result: "missed"}
		if !slices.ContainsFunc(g.samples, func(s *Sample) bool { return !s.KeepsRate() }) {
			o.Result = "reached"
			if median(p99.values(g.samples)) <= 10 {
				o.Result = "aim reached"
			}
		}
		all = append(all, o)
	}
	return all
}

// manyConnections is the number of connections for which the memory has a goal. Nearly all of them are idle at any time.
const manyConnections = 10_000

func memoryGoal(samples []Sample) (all []Outcome) {
	for _, g := range groups(samples) {
		kind, _, _ := strings.Cut(g.target, ":")
		if kind == UserInfo && g.Connections == manyConnections {
			mb := memory.values(g.samples)
			limits := goal{atMost: true, required: 500, aim: 250}
			all = append(all, Outcome{"memory with 10,000 connections, MB: " + g.target, "≤ 500", "≤ 250", spread(mb), limits.result(mb)})
		}
	}
	return all
}

// goals adds the table of goals.
func (r *Run) goals(d *report.Document) {
	t := report.NewTable(report.Left("Goal"), report.Left("Required"), report.Left("Aim"), report.Right("Measured"), report.Left("Result"))
	for _, o := range r.Outcomes() {
		t.Row(o.Goal, o.Required, o.Aim, o.Measured, o.Result)
	}
	if t.Len() > 0 {
		d.Heading(2, "Goals")
		d.Table(t)
	}
}
