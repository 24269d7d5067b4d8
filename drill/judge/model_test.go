package judge_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"userinfo/drill/history"
)

// bugs are the mistakes that the model of the service can make. The zero value is a correct service.
type bugs struct {
	localDelete    bool // a delete writes at LOCAL_QUORUM and is answered 204
	touchAtNow     bool // a touch uses the current time as its timestamp
	noFilter       bool // an instance connects to nodes of the other datacentre
	freshTimestamp bool // each attempt of a set has a new timestamp
	noMarker       bool // a set does not check the fence marker
	tombstoneAtNow bool // a tombstone uses the current time as its timestamp
	noTTL          bool // a set never expires
	cache          bool // a get may return a value that is one second old
	claimsDeleted  bool // a delete that failed is answered 204
	dropsPending   bool // a pending delete is never replayed
}

// world is a model of two datacentres with two instances each, in virtual time. A datacentre holds one copy of each key: the
// value that its quorums agree on. Sets and touches reach the other datacentre later, or when a partition ends.
type world struct {
	*rand.Rand
	bugs       bugs
	h          *history.History
	now        time.Duration
	events     eventQueue
	rows       map[string]map[string]*row // by datacentre and key
	timestamps map[string]time.Duration   // last timestamp of each instance
	offsets    map[string]time.Duration   // clock errors of the instances during the fault
	cut        *history.Fault             // partition between the datacentres
	lossy      bool                       // writes during the partition never reach the other datacentre
	clocks     *history.Fault             // period in which the clocks of instances are wrong
	nodes      *history.Fault             // period in which the clocks of nodes are wrong
	back       time.Duration              // when the partition really ends, some time after the End of the fault
	replayed   time.Duration              // when the last pending delete was replayed
	cached     map[string]cachedRead
}

type cachedRead struct {
	at   time.Duration
	read cell
	left time.Duration
}

// cell is a value, or a tombstone if the version is 0. It expires at a whole second.
type cell struct {
	version   int64
	timestamp time.Duration
	expiry    time.Duration
}

type row struct {
	cell
	goneUntil time.Duration // expiry of the fence marker
}

// put merges a cell by Cassandra's rules: the larger timestamp wins, then the tombstone, then the later expiry.
func (r *row) put(c cell) {
	newer := c.timestamp > r.timestamp
	if c.timestamp == r.timestamp && r.version != 0 {
		newer = c.version == 0 || c.expiry > r.expiry
	}
	if newer {
		r.cell = c
	}
}

type event struct {
	at time.Duration
	n  int
	do func()
}

type eventQueue []event

func (a eventQueue) Len() int { return len(a) }
func (a eventQueue) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].n < a[j].n
}
func (a eventQueue) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *eventQueue) Push(x any)   { *a = append(*a, x.(event)) }
func (a *eventQueue) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func (w *world) in(d time.Duration, do func()) {
	heap.Push(&w.events, event{w.now + d, len(w.events)<<20 + w.IntN(1<<20), do})
}

// upTo returns a random duration below most.
func (w *world) upTo(most time.Duration) time.Duration { return time.Duration(w.Int64N(int64(most))) }

func (w *world) chance(percent int) bool { return w.IntN(100) < percent }

func (w *world) at(dc, key string) *row {
	r := w.rows[dc][key]
	if r == nil {
		r = &row{cell: cell{timestamp: -time.Hour}}
		w.rows[dc][key] = r
	}
	return r
}

// timestamp returns a new timestamp of an instance: the time of its clock, larger than all before.
func (w *world) timestamp(instance string) time.Duration {
	t := w.now
	if f := w.clocks; f != nil && t >= f.Begin && t <= f.End {
		t += w.offsets[instance]
	}
	t = max(t, w.timestamps[instance]+64*time.Microsecond)
	w.timestamps[instance] = t
	return t
}

// second returns the time of a node in whole seconds.
func (w *world) second() time.Duration {
	t := w.now
	if f := w.nodes; f != nil && t >= f.Begin && t <= f.End {
		t += 2*w.upTo(f.CassandraSkew) - f.CassandraSkew
	}
	return t.Truncate(time.Second)
}

// expiry returns when a value expires that a node writes now.
func (w *world) expiry(seconds int) time.Duration {
	return w.second() + time.Duration(seconds)*time.Second
}

func (w *world) partitioned() bool { return w.cut != nil && w.now >= w.cut.Begin && w.now < w.back }

// other returns the other datacentre.
func other(dc string) string {
	if dc == "dc1" {
		return "dc2"
	}
	return "dc1"
}

// replicate sends a cell from dc to the other datacentre.
func (w *world) replicate(dc, key string, c cell) {
	wait := w.upTo(300 * time.Millisecond)
	if w.partitioned() {
		if w.lossy {
			return
		}
		wait += w.back - w.now
	}
	w.in(wait, func() { w.at(other(dc), key).put(c) })
}

// operate starts an operation. Scheduled events complete it.
func (w *world) operate(m history.Method, dc, key string, seconds int, flags ...detail) {
	w.h.Operations = append(w.h.Operations, history.Operation{ID: int64(len(w.h.Operations) + 1), Due: w.now, Invoke: w.now, Method: m, DC: dc,
		Instance: fmt.Sprintf("%s-%d", dc, w.IntN(2)), Key: key, TTL: seconds})
	i := len(w.h.Operations) - 1
	o := w.h.Operations[i] // a copy, because the slice may move before the operation completes
	for _, f := range flags {
		f(&o)
	}
	end := func() { o.Complete = w.now; w.h.Operations[i] = o }
	w.in(w.upTo(5*time.Millisecond), func() {
		switch m {
		case history.Get:
			w.get(&o, end)
		case history.Set:
			w.set(&o, end)
		case history.Touch:
			w.touch(&o, end)
		case history.Delete:
			w.delete(&o, end)
		}
	})
}

// step returns how long one step of an operation takes.
func (w *world) step() time.Duration {
	if w.chance(3) {
		return w.upTo(800 * time.Millisecond)
	}
	return w.upTo(20 * time.Millisecond)
}

// read returns the current cell and its remaining life, which is 0 if there is no value.
func (w *world) read(dc, key string) (cell, time.Duration) {
	r := w.at(dc, key)
	if r.version == 0 || w.now < r.goneUntil {
		return r.cell, 0
	}
	return r.cell, max(0, r.expiry-w.second())
}

func (w *world) get(o *history.Operation, end func()) {
	w.in(w.step(), func() {
		c, left := w.read(o.DC, o.Key)
		id := o.Instance + o.Key
		if hit, ok := w.cached[id]; w.bugs.cache && ok && w.now-hit.at < time.Second {
			c, left = hit.read, hit.left
		} else if left > 0 {
			w.cached[id] = cachedRead{w.now, c, left}
		}
		o.Status, o.TTL = 404, 0
		if left > 0 {
			o.Status, o.Version, o.OfKey, o.TTL = 200, c.version, o.Key, int(left/time.Second)
		}
		w.in(w.step(), end)
	})
}

// fails ends some operations with an error or without an answer. Their effect then happens later, or never.
func (w *world) fails(o *history.Operation, end, do func()) bool {
	if o.Final || !w.chance(4) {
		return false
	}
	o.Status, o.Problem = 503, "unavailable"
	if w.chance(50) {
		o.Status, o.Problem, o.Error = 0, "", "time-out"
	}
	if w.chance(60) {
		w.in(w.upTo(10*time.Second), do)
	}
	w.in(w.upTo(3*time.Second), end)
	return true
}

func (w *world) set(o *history.Operation, end func()) {
	o.Version = o.ID
	timestamp := w.timestamp(o.Instance)
	w.in(w.step(), func() {
		if w.now < w.at(o.DC, o.Key).goneUntil && !w.bugs.noMarker {
			o.Status, o.Problem = 409, "deleted"
			w.in(w.step(), end)
			return
		}
		// The expiry is fixed here, even if the set fails: no coordinator executes it later.
		c := cell{o.ID, timestamp, w.expiry(o.TTL)}
		if w.bugs.noTTL {
			c.expiry += 1000 * time.Hour
		}
		write := func() { w.at(o.DC, o.Key).put(c); w.replicate(o.DC, o.Key, c) }
		if w.fails(o, end, write) {
			return
		}
		w.in(w.step(), func() {
			write()
			o.Status = 204
			if w.bugs.freshTimestamp {
				w.in(w.upTo(time.Second), func() { c.timestamp = w.timestamp(o.Instance); write(); end() })
				return
			}
			w.in(w.step(), end)
		})
	})
}

func (w *world) touch(o *history.Operation, end func()) {
	w.in(w.step(), func() {
		c, left := w.read(o.DC, o.Key)
		if left == 0 {
			o.Status, o.Problem = 404, "not-found"
			w.in(w.step(), end)
			return
		}
		o.Status = 204
		if asked := time.Duration(o.TTL) * time.Second; left <= asked && float64(left) >= float64(asked)*(1-w.h.TouchSlack) {
			w.in(w.step(), end)
			return
		}
		c.timestamp, c.expiry = c.timestamp+time.Microsecond, w.expiry(o.TTL)
		write := func() {
			if w.bugs.touchAtNow {
				c.timestamp = w.now
			}
			w.at(o.DC, o.Key).put(c)
			w.replicate(o.DC, o.Key, c)
		}
		if w.fails(o, end, write) {
			return
		}
		w.in(w.step(), func() { write(); w.in(w.step(), end) })
	})
}

func (w *world) delete(o *history.Operation, end func()) {
	now := w.timestamp(o.Instance)
	seen := w.at(o.DC, o.Key).timestamp
	tombstone := cell{timestamp: max(now+w.h.Fence+3*time.Second, seen+time.Microsecond)}
	markerExpiry := w.now + w.h.Fence*3/2 + 5*time.Second
	if w.bugs.tombstoneAtNow {
		tombstone.timestamp = now
	}
	remove := func(dc string) func() {
		return func() {
			r := w.at(dc, o.Key)
			r.put(tombstone)
			r.goneUntil = max(r.goneUntil, markerExpiry)
		}
	}
	far := other(o.DC)
	if w.bugs.claimsDeleted && w.chance(20) {
		o.Status = 204
		w.in(w.step(), end)
		return
	}
	if w.fails(o, end, func() {
		remove(o.DC)()
		if w.chance(50) {
			w.in(w.upTo(20*time.Second), remove(far))
		}
	}) {
		return
	}
	w.in(w.step(), func() {
		remove(o.DC)()
		o.Status = 204
		switch {
		case w.bugs.localDelete:
			w.in(w.back-min(w.back, w.now)+w.upTo(300*time.Millisecond), remove(far))
		case w.partitioned():
			o.Status, o.Problem = 503, "not-everywhere"
			w.addPending(remove(far))
		default:
			w.in(w.step(), func() { remove(far)(); w.in(w.step(), end) })
			return
		}
		w.in(w.step(), end)
	})
}

// addPending replays a delete within a minute after the end of the partition.
func (w *world) addPending(remove func()) {
	if w.bugs.dropsPending {
		return
	}
	w.in(w.back-w.now+w.upTo(55*time.Second), func() { remove(); w.replayed = w.now })
}

// scenario describes one run of a world.
type scenario struct {
	seed       uint64
	operations int
	fence      time.Duration
	cut        bool          // there is a partition between the datacentres
	lossy      bool          // hints are lost during the partition
	skew       time.Duration // clock difference of the instances
	nodes      time.Duration // largest clock error of the nodes
	deletes    int           // percentage of the requests
	short      bool          // most values expire within seconds
}

// simulate runs a scenario and the final reads, and returns the history.
func simulate(s scenario, b bugs) *history.History {
	w := &world{Rand: rand.New(rand.NewPCG(s.seed, 1)), bugs: b, timestamps: make(map[string]time.Duration), offsets: make(map[string]time.Duration),
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
	f.Recovered = max(f.End, w.back, w.replayed)
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
	for len(w.events) > 0 {
		next := heap.Pop(&w.events).(event)
		w.now = max(w.now, next.at)
		next.do()
	}
}

// request starts a random operation on a hot key of the current era, on a cold key, or on a key that is used in one
// datacentre only.
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

// readAll starts the final reads and records what the replicas hold. One of three replicas may lack a value.
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
