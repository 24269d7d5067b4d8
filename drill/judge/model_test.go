package judge_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"userinfo/drill/history"
)

// bugs are what may be wrong with the modelled service. The zero value is a correct one.
type bugs struct {
	localDelete    bool // delete at LOCAL_QUORUM, answered 204
	touchAtNow     bool // touch writes the time of its write
	noFilter       bool // it speaks to nodes of the other datacentre
	freshTimestamp bool // each attempt of a set has its own
	noMarker       bool // a set does not look for a delete
	tombstoneAtNow bool // without the fence's lead
	noTTL          bool // a set lives for ever
	cache          bool // a get may be a second old
	claimsDeleted  bool // 204 after a delete that failed
	dropsPending   bool // a delete that was refused is not carried
}

// world is a model of two datacentres with two instances each, in virtual time. A datacentre is one copy of each key, as what
// quorums agree on is; the other hears of its sets and touches later, and of all at once when a partition is over.
type world struct {
	*rand.Rand
	bugs    bugs
	h       *history.History
	now     time.Duration
	agenda  agenda
	rows    map[string]map[string]*row // by datacentre and key
	stamps  map[string]time.Duration   // last timestamp, by instance
	offsets map[string]time.Duration   // of instances' clocks while they are wrong
	cut     *history.Fault             // where the datacentres cannot reach each other
	lossy   bool                       // what is written meanwhile never reaches the other
	clocks  *history.Fault             // where instances' are wrong
	nodes   *history.Fault             // where Cassandra's are
	back    time.Duration              // when the link is back, a while after the fault's End
	carried time.Duration              // when the last pending delete was done
	cached  map[string]cachedRead
}

type cachedRead struct {
	at   time.Duration
	read cell
	left time.Duration
}

// cell is a value, or with version 0 a tombstone. It ends at a whole second.
type cell struct {
	version int64
	stamp   time.Duration
	ends    time.Duration
}

type row struct {
	cell
	goneUntil time.Duration // of the fence's marker
}

// put is Cassandra's rule: the larger timestamp, then the tombstone, then the longer life.
func (r *row) put(c cell) {
	newer := c.stamp > r.stamp
	if c.stamp == r.stamp && r.version != 0 {
		newer = c.version == 0 || c.ends > r.ends
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

type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].n < a[j].n
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func (w *world) in(d time.Duration, do func()) {
	heap.Push(&w.agenda, event{w.now + d, len(w.agenda)<<20 + w.IntN(1<<20), do})
}

// after is up to most.
func (w *world) upTo(most time.Duration) time.Duration { return time.Duration(w.Int64N(int64(most))) }

func (w *world) chance(percent int) bool { return w.IntN(100) < percent }

func (w *world) at(dc, key string) *row {
	r := w.rows[dc][key]
	if r == nil {
		r = &row{cell: cell{stamp: -time.Hour}}
		w.rows[dc][key] = r
	}
	return r
}

// stamp is an instance's timestamp: its clock's time, and never again the same.
func (w *world) stamp(instance string) time.Duration {
	t := w.now
	if f := w.clocks; f != nil && t >= f.Begin && t <= f.End {
		t += w.offsets[instance]
	}
	t = max(t, w.stamps[instance]+64*time.Microsecond)
	w.stamps[instance] = t
	return t
}

// second is the whole second that a node has.
func (w *world) second() time.Duration {
	t := w.now
	if f := w.nodes; f != nil && t >= f.Begin && t <= f.End {
		t += 2*w.upTo(f.CassandraSkew) - f.CassandraSkew
	}
	return t.Truncate(time.Second)
}

// ends is when a value expires that a node writes now.
func (w *world) ends(seconds int) time.Duration {
	return w.second() + time.Duration(seconds)*time.Second
}

func (w *world) apart() bool { return w.cut != nil && w.now >= w.cut.Begin && w.now < w.back }

// other is the other datacentre.
func other(dc string) string {
	if dc == "dc1" {
		return "dc2"
	}
	return "dc1"
}

// spread takes what was written in dc to the other datacentre.
func (w *world) spread(dc, key string, c cell) {
	wait := w.upTo(300 * time.Millisecond)
	if w.apart() {
		if w.lossy {
			return
		}
		wait += w.back - w.now
	}
	w.in(wait, func() { w.at(other(dc), key).put(c) })
}

// operate begins an operation, which ends by itself.
func (w *world) operate(m history.Method, dc, key string, seconds int, flags ...detail) {
	w.h.Operations = append(w.h.Operations, history.Operation{ID: int64(len(w.h.Operations) + 1), Due: w.now, Invoke: w.now, Method: m, DC: dc,
		Instance: fmt.Sprintf("%s-%d", dc, w.IntN(2)), Key: key, TTL: seconds})
	i := len(w.h.Operations) - 1
	o := w.h.Operations[i] // a copy, until it has ended: the slice moves
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

// step is how long a part of an operation takes.
func (w *world) step() time.Duration {
	if w.chance(3) {
		return w.upTo(800 * time.Millisecond)
	}
	return w.upTo(20 * time.Millisecond)
}

// read is what is there, and how long it lives; 0 where there is nothing.
func (w *world) read(dc, key string) (cell, time.Duration) {
	r := w.at(dc, key)
	if r.version == 0 || w.now < r.goneUntil {
		return r.cell, 0
	}
	return r.cell, max(0, r.ends-w.second())
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

// fails ends some operations without a true answer; then what they do may be done at any time, or never.
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
	stamp := w.stamp(o.Instance)
	w.in(w.step(), func() {
		if w.now < w.at(o.DC, o.Key).goneUntil && !w.bugs.noMarker {
			o.Status, o.Problem = 409, "deleted"
			w.in(w.step(), end)
			return
		}
		// What fails has its life by its answer: no node is held up here.
		c := cell{o.ID, stamp, w.ends(o.TTL)}
		if w.bugs.noTTL {
			c.ends += 1000 * time.Hour
		}
		write := func() { w.at(o.DC, o.Key).put(c); w.spread(o.DC, o.Key, c) }
		if w.fails(o, end, write) {
			return
		}
		w.in(w.step(), func() {
			write()
			o.Status = 204
			if w.bugs.freshTimestamp {
				w.in(w.upTo(time.Second), func() { c.stamp = w.stamp(o.Instance); write(); end() })
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
		c.stamp, c.ends = c.stamp+time.Microsecond, w.ends(o.TTL)
		write := func() {
			if w.bugs.touchAtNow {
				c.stamp = w.now
			}
			w.at(o.DC, o.Key).put(c)
			w.spread(o.DC, o.Key, c)
		}
		if w.fails(o, end, write) {
			return
		}
		w.in(w.step(), func() { write(); w.in(w.step(), end) })
	})
}

func (w *world) delete(o *history.Operation, end func()) {
	now := w.stamp(o.Instance)
	seen := w.at(o.DC, o.Key).stamp
	tombstone := cell{stamp: max(now+w.h.Fence+3*time.Second, seen+time.Microsecond)}
	marked := w.now + w.h.Fence*3/2 + 5*time.Second
	if w.bugs.tombstoneAtNow {
		tombstone.stamp = now
	}
	remove := func(dc string) func() {
		return func() {
			r := w.at(dc, o.Key)
			r.put(tombstone)
			r.goneUntil = max(r.goneUntil, marked)
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
		case w.apart():
			o.Status, o.Problem = 503, "not-everywhere"
			w.pend(remove(far))
		default:
			w.in(w.step(), func() { remove(far)(); w.in(w.step(), end) })
			return
		}
		w.in(w.step(), end)
	})
}

// pend has a delete done within a minute of the link's return.
func (w *world) pend(remove func()) {
	if w.bugs.dropsPending {
		return
	}
	w.in(w.back-w.now+w.upTo(55*time.Second), func() { remove(); w.carried = w.now })
}
