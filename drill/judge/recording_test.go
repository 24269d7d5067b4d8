package judge_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// recording is a history that a test writes by hand, with times in seconds.
type recording struct{ history.History }

func newRecording() *recording {
	return &recording{history.History{Fence: 60 * time.Second, TouchSlack: 0.01, Datacentres: []string{"dc1", "dc2"}}}
}

func sec(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// detail changes an operation from the default.
type detail func(*history.Operation)

// add records a successful operation on key "k", sent to the first instance of a datacentre, with a TTL of one hour.
func (r *recording) add(m history.Method, dc string, from, to float64, details []detail) int64 {
	o := history.Operation{ID: int64(len(r.Operations) + 1), Due: sec(from), Invoke: sec(from), Complete: sec(to), DC: dc, Instance: dc + "-a", Method: m, Key: "k", Status: 204}
	switch m {
	case history.Get:
		o.Status = 404
	case history.Set:
		o.Version = o.ID
		o.TTL = 3600
	case history.Touch:
		o.TTL = 3600
	case history.Create, history.Change, history.Redeem:
		o.Version = o.ID
	}
	for _, change := range details {
		change(&o)
	}
	r.Operations = append(r.Operations, o)
	return o.ID
}

func (r *recording) set(dc string, from, to float64, details ...detail) int64 {
	return r.add(history.Set, dc, from, to, details)
}
func (r *recording) get(dc string, from, to float64, details ...detail) int64 {
	return r.add(history.Get, dc, from, to, details)
}
func (r *recording) touch(dc string, from, to float64, details ...detail) int64 {
	return r.add(history.Touch, dc, from, to, details)
}
func (r *recording) delete(dc string, from, to float64, details ...detail) int64 {
	return r.add(history.Delete, dc, from, to, details)
}

func (r *recording) create(dc string, from, to float64, details ...detail) int64 {
	return r.add(history.Create, dc, from, to, append([]detail{status(201)}, details...))
}
func (r *recording) change(dc string, from, to float64, details ...detail) int64 {
	return r.add(history.Change, dc, from, to, details)
}
func (r *recording) verify(dc string, from, to float64, details ...detail) int64 {
	return r.add(history.Verify, dc, from, to, details)
}
func (r *recording) token(dc string, from, to float64, details ...detail) int64 {
	return r.add(history.Token, dc, from, to, append([]detail{status(201)}, details...))
}
func (r *recording) redeem(dc string, from, to float64, details ...detail) int64 {
	return r.add(history.Redeem, dc, from, to, details)
}

func (r *recording) fault(f history.Fault) { r.Faults = append(r.Faults, f) }

// reads makes a get return a version of key "k" with more than one hour left.
func reads(version int64) detail {
	return func(o *history.Operation) { o.Status, o.Version, o.OfKey, o.TTL = 200, version, "k", 4000 }
}

func guess(version int64) detail      { return func(o *history.Operation) { o.Guess = version } }
func from(address string) detail      { return func(o *history.Operation) { o.Address = address } }
func by(client string) detail         { return func(o *history.Operation) { o.Client = client } }
func ttl(s int) detail                { return func(o *history.Operation) { o.TTL = s } }
func of(key string) detail            { return func(o *history.Operation) { o.Key = key } }
func ofKey(key string) detail         { return func(o *history.Operation) { o.OfKey = key } }
func through(i string) detail         { return func(o *history.Operation) { o.Instance = i } }
func status(n int) detail             { return func(o *history.Operation) { o.Status = n } }
func final(o *history.Operation)      { o.Final = true }
func pinned(o *history.Operation)     { o.Pinned = true }
func unanswered(o *history.Operation) { o.Status, o.Error = 0, "time-out" }

func problem(n int, name string) detail {
	return func(o *history.Operation) { o.Status, o.Problem = n, name }
}

var (
	notEverywhere = problem(503, "not-everywhere")
	unavailable   = problem(503, "unavailable")
	fenced        = problem(409, "deleted")
	absent        = status(404)
	wrong         = problem(403, "wrong-password")
	limited       = problem(429, "too-many-guesses")
	exists        = problem(412, "user-exists")
)

// violated returns the names of the invariants that a history breaks.
func violated(h *history.History) string {
	var names []string
	for _, v := range judge.Evaluate(h) {
		if v.Violated() {
			names = append(names, v.Invariant)
		}
	}
	return strings.Join(names, " ")
}

// testCase is a history with a planted mistake, or one that looks wrong but is correct.
type testCase struct {
	name  string
	plant func(*recording)
	want  string // the invariants that are broken
}

func runCases(t *testing.T, all []testCase) {
	t.Helper()
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			r := newRecording()
			c.plant(r)
			before := slices.Clone(r.Operations)
			if got := violated(&r.History); got != c.want {
				t.Errorf("broken: %q, want %q", got, c.want)
				for _, v := range judge.Evaluate(&r.History) {
					for _, w := range v.Violations {
						t.Logf("%s: %v %s", v.Invariant, w.Operations, w.What)
					}
				}
			}
			if !slices.Equal(before, r.Operations) {
				t.Error("the judge changed the history")
			}
		})
	}
}
