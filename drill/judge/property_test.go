package judge_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"userinfo/drill/history"
	"userinfo/drill/judge"
)

// scenario is what happens to a world.
type scenario struct {
	seed       uint64
	operations int
	fence      time.Duration
	cut        bool // the datacentres are apart for a while
	lossy      bool // and hints are lost meanwhile
	skew       time.Duration
	nodes      time.Duration // nodes' clocks are wrong by up to that
	deletes    int           // per cent of the requests
	short      bool          // most values expire within seconds
}

// live runs a scenario to its end, and reads everything then.
func live(s scenario, b bugs) *history.History {
	w := &world{Rand: rand.New(rand.NewPCG(s.seed, 1)), bugs: b, stamps: make(map[string]time.Duration), offsets: make(map[string]time.Duration),
		rows: map[string]map[string]*row{"dc1": {}, "dc2": {}}, cached: make(map[string]cachedRead)}
	w.h = &history.History{Fence: s.fence, TouchSlack: 0.01, Datacentres: []string{"dc1", "dc2"}}
	length := time.Duration(s.operations) * 20 * time.Millisecond
	f := history.Fault{Name: "fault", Begin: length / 4, End: length * 3 / 4, Expect: history.Outage}
	if s.cut {
		w.cut = &f
		w.back = f.End + w.upTo(30*time.Second)
		w.lossy, f.Unrepaired = s.lossy, s.lossy
	}
	if s.nodes > 0 {
		f.CassandraSkew = s.nodes
		w.nodes = &f
	}
	if s.skew > 0 {
		f.ClockSkew = s.skew
		w.clocks = &f
		for _, i := range []string{"dc1-0", "dc1-1", "dc2-0", "dc2-1"} {
			w.offsets[i] = w.upTo(s.skew)
		}
		w.offsets["dc1-0"], w.offsets["dc1-1"] = 0, s.skew
	}
	for i := range s.operations {
		w.in(time.Duration(i)*20*time.Millisecond+w.upTo(20*time.Millisecond), func() { w.request(i, s) })
	}
	w.run()
	f.Recovered = max(f.End, w.back, w.carried)
	w.h.Faults = []history.Fault{f}
	w.now += 2 * time.Minute
	w.readAll()
	w.run()
	sample := history.Sample{At: f.Begin, Instance: "dc1-0", Local: 3}
	if b.noFilter {
		sample.Remote = 1
	}
	w.h.Samples = []history.Sample{sample}
	return w.h
}

func (w *world) run() {
	for len(w.agenda) > 0 {
		next := heap.Pop(&w.agenda).(event)
		w.now = max(w.now, next.at)
		next.do()
	}
}

// request does something with one of a few hot keys, of which each has its time, with a cold one, or with one that is used in
// one datacentre alone.
func (w *world) request(i int, s scenario) {
	dc := w.h.Datacentres[w.IntN(2)]
	seconds := 3600 * (1 + w.IntN(3))
	if s.short && w.chance(80) {
		seconds = 1 + w.IntN(12)
	}
	era := i / 200
	key := fmt.Sprintf("hot-%d-%d", era, w.IntN(4))
	var flags []detail
	switch n := w.IntN(10); {
	case n == 0:
		key = fmt.Sprintf("cold-%d", w.IntN(s.operations/8+1))
	case n < 4:
		key, seconds = fmt.Sprintf("pinned-%s-%d", dc, era), 3600
		flags = append(flags, pinned)
	}
	method := history.Get
	switch n := w.IntN(100); {
	case n < 25:
		method = history.Set
	case n < 40:
		method = history.Touch
	case n < 40+s.deletes:
		method = history.Delete
	}
	w.operate(method, dc, key, seconds, flags...)
}

// readAll is the final reads, and what the replicas hold: one of three may lack it.
func (w *world) readAll() {
	seen := make(map[string]bool)
	for _, o := range w.h.Operations {
		if seen[o.Key] {
			continue
		}
		seen[o.Key] = true
		for _, dc := range w.h.Datacentres {
			mark := func(f *history.Operation) { f.Final, f.Pinned = true, o.Pinned }
			w.operate(history.Get, dc, o.Key, 0, mark)
			c, left := w.read(dc, o.Key)
			for node := range 3 {
				held := history.Cell{Node: fmt.Sprint(dc, node), DC: dc, Key: o.Key}
				if left > 0 && (node > 0 || w.chance(80)) {
					held.Version = c.version
				}
				w.h.Cells = append(w.h.Cells, held)
			}
		}
	}
}

func TestACorrectServiceIsNeverBlamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scenario{
			seed:       rapid.Uint64().Draw(t, "seed"),
			operations: rapid.SampledFrom([]int{3, 30, 300, 1500}).Draw(t, "operations"),
			fence:      rapid.SampledFrom([]time.Duration{60 * time.Second, 20 * time.Second, 0}).Draw(t, "fence"),
			cut:        rapid.Bool().Draw(t, "cut"),
			lossy:      rapid.Bool().Draw(t, "lossy"),
			deletes:    rapid.IntRange(0, 5).Draw(t, "deletes"),
			nodes:      rapid.SampledFrom([]time.Duration{0, 0, 10 * time.Second}).Draw(t, "nodes"),
			skew:       rapid.SampledFrom([]time.Duration{0, time.Second, 10 * time.Second}).Draw(t, "skew"),
			short:      rapid.Bool().Draw(t, "short"),
		}
		for _, v := range judge.Check(live(s, bugs{})) {
			for _, w := range v.Violations {
				t.Errorf("%s: %v %s", v.Invariant, w.Operations, w.What)
			}
		}
	})
}

// usual is a scenario in which most bugs show.
var usual = scenario{operations: 2500, fence: 60 * time.Second, cut: true, deletes: 3}

func TestEveryPlantedBugIsCaughtByItsInvariant(t *testing.T) {
	clocks, expiring, quiet := usual, usual, usual
	clocks.cut, clocks.skew, clocks.deletes = false, 10*time.Second, 5
	expiring.short = true
	quiet.cut = false
	for _, c := range []struct {
		name  string
		bugs  bugs
		in    scenario
		want  string // one of these must be broken
		other string // these may be too
	}{
		{"delete at LOCAL_QUORUM", bugs{localDelete: true}, usual, "I1", "I4"},
		{"touch written at now", bugs{touchAtNow: true}, quiet, "I3", "L"},
		{"no datacentre filter", bugs{noFilter: true}, usual, "I5", ""},
		{"a fresh timestamp per attempt", bugs{freshTimestamp: true}, quiet, "I3 L", ""},
		{"no fence marker", bugs{noMarker: true}, usual, "I1", "I2 L"},
		{"tombstone at now under skewed clocks", bugs{tombstoneAtNow: true}, clocks, "I1", "I2 I4"},
		{"set that ignores its TTL", bugs{noTTL: true}, expiring, "I4", "I3"},
		{"a cache of one second", bugs{cache: true}, quiet, "I1 I3", "I4 L"},
		{"204 after a failed delete", bugs{claimsDeleted: true}, quiet, "I1", "I4 L"},
		{"dropped pending deletes", bugs{dropsPending: true}, usual, "I2", "I4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const seeds = 8
			caught := 0
			for seed := range uint64(seeds) {
				c.in.seed = seed
				hit := false
				for _, name := range strings.Fields(broken(live(c.in, c.bugs))) {
					if strings.Contains(c.want, name) {
						hit = true
					} else if !strings.Contains(c.other, name) {
						t.Errorf("seed %d: %s is blamed", seed, name)
					}
				}
				if hit {
					caught++
				}
			}
			if caught <= seeds/2 {
				t.Errorf("caught in %d of %d seeds", caught, seeds)
			}
		})
	}
}
