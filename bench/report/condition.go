package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"userinfo/bench/result"
	"userinfo/internal/page"
)

// condition is what two samples have in common where they are compared.
type condition struct {
	Workload    string
	Mode        result.Mode
	Rate        float64
	Nodes       int   // 0: what was measured has none, and is compared with any
	Data        int64 // 0: likewise
	Connections int
	ValueBytes  int
}

func conditionOf(s *result.Sample) condition {
	return condition{s.Workload, s.Mode, s.Rate, s.Nodes, s.Data, s.Connections, s.ValueBytes}
}

// fits tells whether samples under c and d may be compared.
func (c condition) fits(d condition) bool {
	if c.Nodes == 0 || d.Nodes == 0 {
		c.Nodes, d.Nodes = 0, 0
	}
	if c.Data == 0 || d.Data == 0 {
		c.Data, d.Data = 0, 0
	}
	return c == d
}

// compare orders conditions: within a workload the simplest first.
func (c condition) compare(d condition) int {
	return cmp.Or(strings.Compare(c.Workload, d.Workload), strings.Compare(string(c.Mode), string(d.Mode)), cmp.Compare(c.Rate, d.Rate),
		cmp.Compare(c.Nodes, d.Nodes), cmp.Compare(c.Data, d.Data), cmp.Compare(c.Connections, d.Connections),
		cmp.Compare(c.ValueBytes, d.ValueBytes))
}

// dimensions are a condition's parts but its workload, in words; empty where one is not known.
func (c condition) dimensions() [5]string {
	var d [5]string
	switch c.Mode {
	case result.Open:
		d[0] = page.Count(int(c.Rate)) + " requests/s"
	case result.Closed:
		d[0] = "closed loop"
	default:
		d[0] = string(c.Mode)
	}
	if c.Connections > 0 {
		d[1] = page.Plural(c.Connections, "connection")
	}
	if c.Nodes > 0 {
		d[2] = page.Plural(c.Nodes, "node")
	}
	if c.Data > 0 {
		d[3] = bytesOf(float64(c.Data)) + " of data"
	}
	if c.ValueBytes > 0 {
		d[4] = sizeOf(c.ValueBytes) + " values"
	}
	return d
}

// String is all of the condition but its workload.
func (c condition) String() string {
	d := c.dimensions()
	return strings.Join(slices.DeleteFunc(d[:], func(s string) bool { return s == "" }), ", ")
}

// common tells what all conditions have in common, and of each what it does not share, both in words.
func common(all []condition) (shared string, own []string) {
	differs := [5]bool{}
	known := [5]string{}
	for _, c := range all {
		for i, d := range c.dimensions() {
			if d != "" && known[i] == "" {
				known[i] = d
			}
			differs[i] = differs[i] || d != "" && d != known[i]
		}
	}
	var words []string
	for i, d := range known {
		if !differs[i] && d != "" {
			words = append(words, d)
		}
	}
	for _, c := range all {
		var words []string
		for i, d := range c.dimensions() {
			if differs[i] && d != "" {
				words = append(words, d)
			}
		}
		own = append(own, strings.Join(words, ", "))
	}
	return strings.Join(words, ", "), own
}

// samples are a run's, or some of them.
type samples []*result.Sample

func samplesOf(run *result.Run) samples {
	var all samples
	for i := range run.Samples {
		all = append(all, &run.Samples[i])
	}
	return all
}

// where gives those for which all holds.
func (s samples) where(holds ...func(*result.Sample) bool) samples {
	var some samples
	for _, x := range s {
		if !slices.ContainsFunc(holds, func(h func(*result.Sample) bool) bool { return !h(x) }) {
			some = append(some, x)
		}
	}
	return some
}

func of(target, workload string) func(*result.Sample) bool {
	return func(s *result.Sample) bool { return s.Target == target && s.Workload == workload }
}

func targetIs(target string) func(*result.Sample) bool {
	return func(s *result.Sample) bool { return s.Target == target }
}

func workloadIs(workload string) func(*result.Sample) bool {
	return func(s *result.Sample) bool { return s.Workload == workload }
}

func closed(s *result.Sample) bool { return s.Mode == result.Closed }

func under(c condition) func(*result.Sample) bool {
	return func(s *result.Sample) bool { return conditionOf(s).fits(c) }
}

// The orders of targets and of workloads in every table and plot. What has no place in them comes after, by its name.
var (
	targetOrder   = []string{result.UserInfo, result.Memory, result.Sidecar, result.Driver, result.Handler, result.Loop, result.Redis}
	workloadOrder = []string{result.Get, result.GetToken, result.DesignTarget, result.Latency, result.Production, result.Peak, result.Storm, result.Misses,
		result.Large, result.Set, result.FreshMTLS, result.FreshMTLSResumed, result.FreshToken, result.FreshTokenResumed, result.FreshSidecar}
)

func (s samples) targets() []string {
	return distinct(s, func(x *result.Sample) string { return x.Target }, by(targetOrder))
}

func (s samples) workloads() []string {
	return distinct(s, func(x *result.Sample) string { return x.Workload }, by(workloadOrder))
}

func by(order []string) func(a, b string) int {
	place := func(name string) int {
		if i := slices.Index(order, name); i >= 0 {
			return i
		}
		return len(order)
	}
	return func(a, b string) int { return cmp.Or(cmp.Compare(place(a), place(b)), strings.Compare(a, b)) }
}

// conditions are those of the samples. One with fewer known parts that fits another is the same.
func (s samples) conditions() []condition {
	all := distinct(s, conditionOf, condition.compare)
	var some []condition
	for _, c := range all {
		if !slices.ContainsFunc(all, func(d condition) bool { return d != c && d.fits(c) && (d.Nodes > c.Nodes || d.Data > c.Data) }) {
			some = append(some, c)
		}
	}
	return some
}

func distinct[T comparable](s samples, value func(*result.Sample) T, compare func(a, b T) int) []T {
	var all []T
	for _, x := range s {
		if v := value(x); !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, compare)
	return all
}

// partner is the sample of another target, or of another workload, that was taken in turns with x; nil where there is
// none. It may be one that tells less of its condition, as floors do, but only where it was not taken with another than
// x: of its own partners x has to be the nearest in time. Of several it is one that tells as much, then the nearest.
func (s samples) partner(x *result.Sample, target, workload string) *result.Sample {
	want := conditionOf(x)
	want.Workload = workload
	var found *result.Sample
	for _, y := range s {
		if y.Target != target || y.Round != x.Round || !conditionOf(y).fits(want) {
			continue
		}
		exact, was := conditionOf(y) == want, found != nil && conditionOf(found) == want
		if found == nil || exact && !was || exact == was && apart(x, y) < apart(x, found) {
			found = y
		}
	}
	if found == nil || s.nearer(x, found, workload) {
		return nil
	}
	return found
}

// nearer tells whether y was taken with another sample of x's target than x.
func (s samples) nearer(x, y *result.Sample, workload string) bool {
	if x.Target == y.Target && x.Workload == workload {
		return false // with other data: neither is a floor
	}
	return slices.ContainsFunc(s, func(z *result.Sample) bool {
		if z.Target != x.Target || z.Workload != x.Workload || z.Round != x.Round {
			return false
		}
		c := conditionOf(z)
		c.Workload = workload
		return c.fits(conditionOf(y)) && apart(z, y) < apart(x, y)
	})
}

func apart(x, y *result.Sample) time.Duration { return x.Began.Sub(y.Began).Abs() }

// group is all rounds of one target under one condition.
type group struct {
	target string
	is     condition
	within condition // is, or one that tells more, of what it was compared with
	samples
}

// groups are the samples', each once: condition by condition, and floors where they were compared first.
func (s samples) groups() []group {
	var all []group
	for _, within := range s.conditions() {
		some := s.where(under(within))
		for _, target := range some.targets() {
			these := some.where(targetIs(target))
			for _, is := range distinct(these, conditionOf, condition.compare) {
				if slices.ContainsFunc(all, func(g group) bool { return g.target == target && g.is == is }) {
					continue
				}
				all = append(all, group{target, is, within, these.where(func(x *result.Sample) bool { return conditionOf(x) == is })})
			}
		}
	}
	return all
}

// sizeOf writes the size of a value, small ones to the byte: 2,048 B, 100 kB.
func sizeOf(n int) string {
	if n < 10_000 {
		return page.Count(n) + " B"
	}
	return bytesOf(float64(n))
}

// bytesOf writes an amount: 950 B, 12 kB, 1.4 GB.
func bytesOf(n float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= unit.size*0.9995 {
			text := digits(n / unit.size)
			if strings.Contains(text, ".") {
				text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
			}
			return text + " " + unit.name
		}
	}
	return fmt.Sprintf("%.0f B", n)
}
