package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"userinfo/bench/result"
	"userinfo/internal/page"
)

// State is what became of a mark.
type State string

// The states. The zero State is that a run has nothing to tell.
const (
	NotMeasured State = ""
	Missed      State = "missed"
	Held        State = "held"
	Aimed       State = "aim reached"
)

// Words are the state in a table.
func (s State) Words() string { return cmp.Or(string(s), "not measured in this run") }

// Mark is one thing that the benchmark must show, and what a run shows of it.
type Mark struct {
	Name     string
	Formula  string
	Least    string // what has to be
	Aim      string // what is hoped for
	Where    string // under what it was measured: connections, nodes, data
	Unit     string // of Measured: ×, ms, MB
	Measured Spread // over rounds
	Good     int    // rounds of Measured that are as Least says
	State    State  // of Measured.Median, as it is shown
	Note     string // what a reader has to know to believe it
}

// Value is what was measured, in words.
func (m Mark) Value() string {
	if m.Measured.N == 0 {
		return none
	}
	unit := map[bool]string{true: "×", false: " " + m.Unit}[m.Unit == "×"]
	text := digits(m.Measured.Median) + unit
	if m.Measured.N > 1 {
		text += fmt.Sprintf(" (%s–%s)", digits(m.Measured.Min), digits(m.Measured.Max))
	}
	return text
}

// Rounds tells in how many rounds Least was held.
func (m Mark) Rounds() string {
	if m.Measured.N == 0 {
		return none
	}
	return fmt.Sprintf("%d of %d", m.Good, m.Measured.N)
}

// String is the mark in a line for a terminal.
func (m Mark) String() string {
	if m.State == NotMeasured {
		return m.Name + ": " + m.State.Words()
	}
	return fmt.Sprintf("%s: %s, %s (at least %s, aim %s)", m.Name, m.Value(), m.State, m.Least, m.Aim)
}

// bound is a limit of a figure.
type bound struct {
	most  bool // the figure is to be at most the limit; otherwise at least
	limit float64
}

func atMost(limit float64) bound  { return bound{true, limit} }
func atLeast(limit float64) bound { return bound{false, limit} }

// holds judges the figure as it is shown, to the second place.
func (b bound) holds(v float64) bool {
	v = math.Round(v*100) / 100
	if b.most {
		return v <= b.limit
	}
	return v >= b.limit
}

func (b bound) words(unit string) string {
	sign := map[bool]string{true: "≤ ", false: "≥ "}[b.most]
	if unit == "×" {
		return sign + fmt.Sprint(b.limit) + "×"
	}
	return sign + page.Count(int(b.limit)) + " " + unit
}

// term is one figure of a formula: a metric of a target under a workload.
type term struct {
	target, workload string
	of               metric
}

// rule is a mark that is a ratio, by round: over to the sum of under.
type rule struct {
	name, formula string
	over          term
	holds         []func(*result.Sample) bool // what over's samples are besides
	under         []term
	partner       func(s samples, x *result.Sample, t term) *result.Sample // of x, for one of under; nil: in turns, in all alike
	least, aim    bound
}

func connections(n int) func(*result.Sample) bool {
	return func(s *result.Sample) bool { return s.Connections == n }
}

// The data sets whose costs are compared.
const (
	smallData = 20e6
	largeData = 8e9
)

func large(s *result.Sample) bool { return s.Data >= largeData }

func at3000(s *result.Sample) bool { return s.Mode == result.Open && math.Abs(s.Rate-3000) < 1 }

// small is the partner of a sample with a large data set: the same with a small one.
func small(s samples, x *result.Sample, t term) *result.Sample {
	return s.where(func(y *result.Sample) bool { return y.Data > 0 && y.Data <= smallData }).reduced().partner(reduce(x), t.target, t.workload)
}

// reduce is a copy of a sample that does not tell its data.
func reduce(x *result.Sample) *result.Sample {
	y := *x
	y.Data = 0
	return &y
}

func (s samples) reduced() samples {
	var all samples
	for _, x := range s {
		all = append(all, reduce(x))
	}
	return all
}

// perConnection is the rule of a ratio in closed loops, of over to under, at least and as is aimed at.
func perConnection(name, formula string, over, under term, least, aim float64) rule {
	return rule{name: name, formula: formula, over: over, under: []term{under},
		holds: []func(*result.Sample) bool{closed}, least: atLeast(least), aim: atLeast(aim)}
}

// rules are the marks that are ratios.
var rules = []rule{
	{
		name:    "service CPU per get",
		formula: "userinfo's service ÷ (handler + the bare driver with the generator's own loop, which is in its process), workload get, closed loop, 32 kept connections",
		over:    term{result.UserInfo, result.Get, cpuOf(result.KindService)},
		holds:   []func(*result.Sample) bool{closed, connections(32)},
		under:   []term{{result.Handler, result.Get, cpuOf(result.KindFloor)}, {result.Driver, result.Get, cpuOf(result.KindGenerator)}},
		least:   atMost(1.15), aim: atMost(1),
	},
	{
		name:    "highest reads/s",
		formula: "userinfo ÷ bare driver, workload get, closed loop, 32 kept connections against 32 callers",
		over:    term{result.UserInfo, result.Get, throughput},
		holds:   []func(*result.Sample) bool{closed, connections(32)},
		under:   []term{{result.Driver, result.Get, throughput}},
		least:   atLeast(0.5), aim: atLeast(0.7),
	},
	{
		name:    "p50 at 3,000 reads/s",
		formula: "userinfo ÷ Redis with TLS, workload latency, open loop",
		over:    term{result.UserInfo, result.Latency, p50},
		holds:   []func(*result.Sample) bool{at3000},
		under:   []term{{result.Redis, result.Latency, p50}},
		least:   atMost(4), aim: atMost(2),
	},
	perConnection("new TLS connections/s, mutual TLS", "userinfo on its memory store ÷ bare loop of accept, handshake and 2 KB, workload fresh/mtls, closed loop: what comes of TLS and HTTP alone",
		term{result.Memory, result.FreshMTLS, throughput}, term{result.Loop, result.FreshMTLS, throughput}, 0.8, 0.95),
	perConnection("new TLS connections/s, mutual TLS, Cassandra behind", "the same of userinfo, whose every get asks Cassandra on the same cores; the loop asks nobody",
		term{result.UserInfo, result.FreshMTLS, throughput}, term{result.Loop, result.FreshMTLS, throughput}, 0.8, 0.95),
	perConnection("new TLS connections/s with resumption", "userinfo on its memory store in fresh/mtls+resumption ÷ the same in fresh/mtls, closed loop",
		term{result.Memory, result.FreshMTLSResumed, throughput}, term{result.Memory, result.FreshMTLS, throughput}, 2, 4),
	perConnection("new TLS connections/s with resumption, Cassandra behind", "the same of userinfo",
		term{result.UserInfo, result.FreshMTLSResumed, throughput}, term{result.UserInfo, result.FreshMTLS, throughput}, 2, 4),
	{
		name:    "service CPU per get, 9 GB against 10 MB",
		formula: "userinfo's service with 9 GB of values ÷ the same with 10 MB, one after the other, workload get at 3,000 requests/s, as the cost depends on the rate; 1.0 within 5 %",
		over:    term{result.UserInfo, result.Get, cpuOf(result.KindService)},
		holds:   []func(*result.Sample) bool{at3000, large},
		under:   []term{{result.UserInfo, result.Get, cpuOf(result.KindService)}},
		partner: small,
		least:   atMost(1.05), aim: atMost(1.05),
	},
	{
		name:    "Cassandra CPU per get, 9 GB against 10 MB",
		formula: "all Cassandra nodes with 9 GB of values ÷ the same with 10 MB, one after the other, workload get of userinfo at 3,000 requests/s",
		over:    term{result.UserInfo, result.Get, cassandra},
		holds:   []func(*result.Sample) bool{at3000, large},
		under:   []term{{result.UserInfo, result.Get, cassandra}},
		partner: small,
		least:   atMost(2), aim: atMost(1.3),
	},
}

// Marks tells what a run shows of all that must be shown. What it has no samples of is NotMeasured; a run without
// this service has no marks but other stores'.
func Marks(run *result.Run) []Mark {
	s := samplesOf(run)
	var all []Mark
	if len(s) == 0 || slices.ContainsFunc(s.targets(), ours) {
		for _, r := range rules {
			all = append(all, r.mark(s))
		}
		all = slices.Insert(all, 3, designTarget(s, result.UserInfo))
		all = append(all, idleMemory(run.Footprints))
	}
	for _, store := range s.targets() {
		if !slices.Contains(result.Targets, store) && len(s.where(of(store, result.DesignTarget))) > 0 {
			all = append(all, designTarget(s, store))
		}
	}
	return all
}

// ours tells whether a target is this service, in whatever environment.
func ours(target string) bool {
	kind, _, _ := strings.Cut(target, ":")
	return kind == result.UserInfo || kind == result.Memory || kind == result.Sidecar
}

// unfit tells whether a round can show nothing of a ratio: what is slowest may be missing from its latencies. That a schedule
// has by chance fewer requests than another is no reason.
func unfit(x *result.Sample) bool { return x.Done == 0 || x.Errored() > 0 || queued(x) }

// mark judges a rule. Of several conditions it takes the simplest that has ratios: the fewest nodes, the least data. A
// round that has failed counts as missed, whatever the others are; one whose partner has failed gives no ratio. It fails closed.
func (r rule) mark(s samples) Mark {
	m := Mark{Name: r.name, Formula: r.formula, Unit: "×", Least: r.least.words("×"), Aim: r.aim.words("×")}
	over := s.where(append(slices.Clone(r.holds), of(r.over.target, r.over.workload))...)
	for _, c := range over.conditions() {
		these := over.where(under(c))
		var ratios []float64
		failures := 0
		for _, x := range these {
			if unfit(x) {
				failures++
			} else if v, ok := r.ratio(s, x); ok {
				ratios = append(ratios, v)
			}
		}
		if len(ratios) == 0 && failures == 0 {
			continue
		}
		m.Where, m.Note = c.String(), errorNote(these)
		m.judge(ratios, r.least, r.aim)
		if failures > 0 {
			m.State = Missed
			m.Note = strings.TrimPrefix(m.Note+"; "+page.Plural(failures, "round")+" with errors, or with a queue that grew", "; ")
		}
		return m
	}
	return m
}

// ratio is a round's; false where a partner or a figure is missing.
func (r rule) ratio(s samples, x *result.Sample) (float64, bool) {
	over, ok := r.over.of.of(x)
	if !ok {
		return 0, false
	}
	sum := 0.0
	for _, t := range r.under {
		var y *result.Sample
		if r.partner != nil {
			y = r.partner(s, x, t)
		} else {
			y = s.partner(x, t.target, t.workload)
		}
		if y == nil || unfit(y) {
			return 0, false
		}
		v, ok := t.of.of(y)
		if !ok {
			return 0, false
		}
		sum += v
	}
	return over / sum, sum > 0
}

func (m *Mark) judge(values []float64, least, aim bound) {
	m.Measured = spreadOf(values)
	for _, v := range values {
		if least.holds(v) {
			m.Good++
		}
	}
	switch {
	case m.Measured.N == 0:
	case aim.holds(m.Measured.Median) && least.holds(m.Measured.Median):
		m.State = Aimed
	case least.holds(m.Measured.Median):
		m.State = Held
	default:
		m.State = Missed
	}
}

func errorNote(s samples) string {
	var errors, all int64
	for _, x := range s {
		errors += x.Errored()
		all += x.Errored() + x.Done
	}
	if errors == 0 {
		return ""
	}
	return fmt.Sprintf("%s of %s requests failed", page.Count(int(errors)), page.Count(int(all)))
}

// sustained is the share that has to be answered where a rate is held: of what was planned, and in time.
const sustained = 0.99

// queued tells whether a queue was left when a schedule was over: what it then takes to work it off is no answer in time.
func queued(s *result.Sample) bool {
	return s.Mode == result.Open && float64(s.InTime) < sustained*float64(s.Done)
}

// behind tells whether less was answered than was planned, or too late.
func behind(s *result.Sample) bool {
	return s.Mode == result.Open && (queued(s) || float64(s.Done) < sustained*s.Rate*s.Seconds)
}

// holdsRate tells whether a sample has answered at the rate that was planned, without an error. It fails closed.
func holdsRate(s *result.Sample) bool { return s.Done > 0 && s.Errored() == 0 && !behind(s) }

// designTarget is the mark of 9,000 reads/s and 100 writes/s, which is no ratio, of the service here or of a store by its URL.
func designTarget(s samples, target string) Mark {
	name := "p99 at 9,000 reads/s and 100 writes/s"
	if target != result.UserInfo {
		name += ", " + target
	}
	m := Mark{Name: name, Unit: "ms", Least: "held without error", Aim: "≤ 10 ms",
		Formula: target + ", workload target, open loop; held is every round without an error, 99 % of its requests or more answered while it lasted"}
	these := s.where(of(target, result.DesignTarget), func(x *result.Sample) bool { return x.Mode == result.Open && x.Rate > 9099 })
	if len(these) == 0 {
		return m
	}
	c := these.conditions()[0]
	rounds := these.where(under(c))
	m.Where, m.Note, m.Measured = c.String(), errorNote(rounds), rounds.spread(p99)
	m.Good = len(rounds.where(holdsRate))
	switch {
	case m.Good < len(rounds):
		m.State = Missed
	case m.Measured.N > 0 && atMost(10).holds(m.Measured.Median):
		m.State = Aimed
	default:
		m.State = Held
	}
	return m
}

// idleConnections is how many the memory's mark is about.
const idleConnections = 10_000

// idleMemory is the mark of a service with many idle connections.
func idleMemory(all []result.Footprint) Mark {
	m := Mark{Name: "memory of the service at 10,000 idle connections", Unit: "MB", Least: "≤ 500 MB", Aim: "≤ 250 MB",
		Formula: "resident memory of userinfo's service, 10,000 kept connections with mutual TLS"}
	var values []float64
	fewest := math.MaxInt
	for _, f := range all {
		if f.Target != result.UserInfo || f.Connections < idleConnections || f.Connections > fewest || f.RSS <= 0 {
			continue
		}
		if f.Connections < fewest {
			fewest, values = f.Connections, nil
		}
		values = append(values, float64(f.RSS)/1e6)
		m.Where = fmt.Sprintf("%s; %s before them", page.Plural(f.Connections, "connection"), bytesOf(float64(f.Rest)))
	}
	m.judge(values, atMost(500), atMost(250))
	return m
}
