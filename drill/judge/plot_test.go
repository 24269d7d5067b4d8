package judge_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// plot is a history being written by hand. Its times are in seconds.
type plot struct{ history.History }

func newPlot() *plot {
	return &plot{history.History{Fence: 60 * time.Second, TouchSlack: 0.01, Datacentres: []string{"dc1", "dc2"}}}
}

func sec(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// detail changes an operation from what is usual.
type detail func(*history.Operation)

// add adds an operation, on key "k" through the datacentre's first instance, successful, with a TTL of an hour.
func (p *plot) add(m history.Method, dc string, from, to float64, details []detail) int64 {
	o := history.Operation{ID: int64(len(p.Operations) + 1), Due: sec(from), Invoke: sec(from), Complete: sec(to), DC: dc, Instance: dc + "-a", Method: m, Key: "k", Status: 204}
	switch m {
	case history.Get:
		o.Status = 404
	case history.Set:
		o.Version = o.ID
		o.TTL = 3600
	case history.Touch:
		o.TTL = 3600
	}
	for _, change := range details {
		change(&o)
	}
	p.Operations = append(p.Operations, o)
	return o.ID
}

func (p *plot) set(dc string, from, to float64, details ...detail) int64 {
	return p.add(history.Set, dc, from, to, details)
}
func (p *plot) get(dc string, from, to float64, details ...detail) int64 {
	return p.add(history.Get, dc, from, to, details)
}
func (p *plot) touch(dc string, from, to float64, details ...detail) int64 {
	return p.add(history.Touch, dc, from, to, details)
}
func (p *plot) delete(dc string, from, to float64, details ...detail) int64 {
	return p.add(history.Delete, dc, from, to, details)
}

func (p *plot) fault(f history.Fault) { p.Faults = append(p.Faults, f) }

// reads has a get return a version of key "k", with more than an hour left.
func reads(version int64) detail {
	return func(o *history.Operation) { o.Status, o.Version, o.OfKey, o.TTL = 200, version, "k", 4000 }
}

func ttl(s int) detail            { return func(o *history.Operation) { o.TTL = s } }
func of(key string) detail        { return func(o *history.Operation) { o.Key = key } }
func ofKey(key string) detail     { return func(o *history.Operation) { o.OfKey = key } }
func through(i string) detail     { return func(o *history.Operation) { o.Instance = i } }
func status(n int) detail         { return func(o *history.Operation) { o.Status = n } }
func final(o *history.Operation)  { o.Final = true }
func pinned(o *history.Operation) { o.Pinned = true }
func silent(o *history.Operation) { o.Status, o.Error = 0, "time-out" }

func problem(n int, name string) detail {
	return func(o *history.Operation) { o.Status, o.Problem = n, name }
}

var (
	here    = problem(503, "not-everywhere")
	doubted = problem(503, "unavailable")
	fenced  = problem(409, "deleted")
	absent  = status(404)
)

// broken names the invariants that a history breaks.
func broken(h *history.History) string {
	var names []string
	for _, v := range judge.Check(h) {
		if v.Broken > 0 {
			names = append(names, v.Invariant)
		}
	}
	return strings.Join(names, " ")
}

// planted is a history in which something is wrong, or just not.
type planted struct {
	name  string
	plant func(*plot)
	want  string // the invariants broken
}

func run(t *testing.T, all []planted) {
	t.Helper()
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			p := newPlot()
			c.plant(p)
			before := slices.Clone(p.Operations)
			if got := broken(&p.History); got != c.want {
				t.Errorf("broken: %q, want %q", got, c.want)
				for _, v := range judge.Check(&p.History) {
					for _, w := range v.Violations {
						t.Logf("%s: %v %s", v.Invariant, w.Operations, w.What)
					}
				}
			}
			if !slices.Equal(before, p.Operations) {
				t.Error("the judge has changed the history")
			}
		})
	}
}
