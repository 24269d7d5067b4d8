package judge

import (
	"cmp"
	"slices"
	"time"

	"userinfo/drill/history"
)

// evidence is a history, indexed so that each operation is judged in logarithmic time.
type evidence struct {
	h        *history.History
	faults   []fault
	clocks   []fault // those with a ClockSkew
	nodes    []fault // those with a CassandraSkew
	end      time.Duration
	keys     []*key
	byName   map[string]*key
	versions map[int64]*write
	verdicts map[string]*Verdict
}

// write is a set or a touch that may have had its effect.
type write struct {
	*history.Operation
	outcome history.Outcome
	// arrives is when it has surely arrived: forever where nobody knows.
	arrives time.Duration
	// seen is when the first get that read a set was answered; forever where none was.
	seen time.Duration
	// expires is the earliest that the value expires if the write is current, less rounding; lasts is the latest.
	expires, lasts time.Duration
}

// key is what was done with one key. Its slices are in the order of Invoke.
type key struct {
	name    string
	all     []*history.Operation
	sets    []*write
	touches []*write             // without those that found nothing
	deletes []*history.Operation // that may have had their effect
	gets    []*history.Operation // that were answered
	probes  []*history.Operation // touches that were answered

	gone      time.Duration          // Invoke of the first delete, or forever
	arrived   leaders[*write]        // of the sets begun by a time, the one that arrives last
	outlasts  leaders[*write]        // of the sets and touches begun by a time, the one that lasts longest
	unbounded leaders[*write]        // of the touches without an answer, the one with the earliest expiry
	lasting   lows                   // of answered touches by Complete, the latest expiry, negated
	slowest   time.Duration          // of answered touches
	views     map[string]*view       // by datacentre
	everyone  leaders[*write]        // acknowledged sets of all datacentres, the last invoked
	ever      leaders[*hidingDelete] // promising deletes by Complete, the one that hides most
}

// view is a key as one datacentre must have it.
type view struct {
	sets    leaders[*write] // acknowledged here, by Complete: the last invoked
	touches leaders[*write] // acknowledged here, by Complete: the last invoked
	// The earliest expiries of what may be current: sets acknowledged here and touches answered here, by Complete; other
	// sets by when they have arrived, and other touches by Complete.
	ownSets, otherSets, ownTouches, otherTouches lows
	// deletes by when they count here, the one that hides most.
	deletes leaders[*hidingDelete]
}

func newEvidence(h *history.History) *evidence {
	e := &evidence{h: h, faults: orderFaults(h), byName: make(map[string]*key), versions: make(map[int64]*write), verdicts: make(map[string]*Verdict)}
	for _, f := range e.faults {
		if f.ClockSkew > 0 {
			e.clocks = append(e.clocks, f)
		}
		if f.CassandraSkew > 0 {
			e.nodes = append(e.nodes, f)
		}
	}
	sorted := make([]*history.Operation, 0, len(h.Operations))
	for i := range h.Operations {
		o := &h.Operations[i]
		e.end = max(e.end, o.Complete)
		sorted = append(sorted, o)
	}
	slices.SortStableFunc(sorted, func(a, b *history.Operation) int {
		return cmp.Or(cmp.Compare(a.Invoke, b.Invoke), cmp.Compare(a.ID, b.ID))
	})
	for _, o := range sorted {
		e.file(o)
	}
	for _, k := range e.keys {
		e.date(k)
		e.index(k)
	}
	return e
}

// file puts an operation with its key.
func (e *evidence) file(o *history.Operation) {
	k := e.byName[o.Key]
	if k == nil {
		k = &key{name: o.Key, gone: forever, views: make(map[string]*view)}
		e.byName[o.Key] = k
		e.keys = append(e.keys, k)
	}
	k.all = append(k.all, o)
	outcome := o.Outcome()
	switch o.Method {
	case history.Get:
		if outcome == history.OK {
			k.gets = append(k.gets, o)
		}
	case history.Touch:
		if outcome == history.OK {
			k.probes = append(k.probes, o)
		}
		if outcome != history.Failed && !o.Absent() {
			k.touches = append(k.touches, &write{Operation: o, outcome: outcome})
		}
	case history.Set:
		w := &write{Operation: o, outcome: outcome}
		e.versions[o.ID] = w
		if outcome != history.Failed {
			k.sets = append(k.sets, w)
		}
	case history.Delete:
		if outcome != history.Failed {
			k.deletes = append(k.deletes, o)
			k.gone = min(k.gone, o.Invoke)
		}
	}
}

// date finds when each write arrives and expires.
func (e *evidence) date(k *key) {
	for _, w := range slices.Concat(k.sets, k.touches) {
		w.arrives, w.seen, w.lasts = forever, forever, forever
		w.expires = w.Invoke // where it is not known what TTL it had
		if w.TTL > 0 {
			w.expires += seconds(w.TTL)
		}
		if w.Answered() {
			w.arrives = w.Complete
			if w.TTL > 0 {
				w.lasts = min(e.carriedOut(w)+seconds(w.TTL), forever)
			}
		}
	}
	for _, g := range k.gets {
		if s := e.versions[g.Version]; s != nil && g.Version > 0 && s.Key == k.name {
			s.seen = min(s.seen, g.Complete)
			s.arrives = min(s.arrives, s.seen)
		}
	}
}

// carriedOut is the latest time at which an answered write was executed. One that was acknowledged was so by its answer. One
// that ended in an error may be under way at a coordinator until the faults that it met are over.
func (e *evidence) carriedOut(w *write) time.Duration {
	latest := w.Complete
	if w.outcome == history.Unknown {
		for _, f := range e.faults {
			if f.Begin <= w.Complete && f.back >= w.Invoke {
				latest = max(latest, f.back)
			}
		}
	}
	return latest
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// Orders of writes.
func invoked(w *write) time.Duration   { return w.Invoke }
func completed(w *write) time.Duration { return w.Complete }
func arrives(w *write) time.Duration   { return w.arrives }
func expires(w *write) time.Duration   { return w.expires }
func soonest(w *write) time.Duration   { return -w.expires }
func longest(w *write) time.Duration   { return w.lasts }
func shortest(w *write) time.Duration  { return -w.lasts }

func (e *evidence) index(k *key) {
	answered := only(k.touches, func(w *write) bool { return w.Answered() })
	for _, w := range answered {
		k.slowest = max(k.slowest, w.Complete-w.Invoke)
	}
	k.arrived = newLeaders(k.sets, invoked, arrives)
	k.outlasts = newLeaders(slices.Concat(k.sets, k.touches), invoked, longest)
	k.unbounded = newLeaders(only(k.touches, func(w *write) bool { return !w.Answered() }), invoked, soonest)
	k.lasting = newLows(answered, completed, shortest)
	k.everyone = newLeaders(only(k.sets, acknowledged), completed, invoked)
	k.ever = e.hiding(k, func(d *history.Operation) time.Duration { return d.Complete })
}

func acknowledged(w *write) bool { return w.outcome == history.OK }

// in makes or gives the view of a datacentre.
func (e *evidence) in(dc string, k *key) *view {
	if v := k.views[dc]; v != nil {
		return v
	}
	mine := func(w *write) bool { return w.DC == dc && w.outcome == history.OK }
	near := func(w *write) bool { return w.DC == dc && w.Answered() }
	far := func(w *write) bool { return w.DC != dc && w.Answered() }
	own := only(k.sets, mine)
	v := &view{
		sets:         newLeaders(own, completed, invoked),
		touches:      newLeaders(only(k.touches, mine), completed, invoked),
		ownSets:      newLows(own, completed, expires),
		otherSets:    newLows(only(k.sets, func(w *write) bool { return !mine(w) }), arrives, expires),
		ownTouches:   newLows(only(k.touches, near), completed, expires),
		otherTouches: newLows(only(k.touches, far), completed, expires),
		deletes:      e.hiding(k, func(d *history.Operation) time.Duration { return e.countsFrom(d, dc) }),
	}
	k.views[dc] = v
	return v
}

func only(all []*write, which func(*write) bool) []*write {
	var some []*write
	for _, w := range all {
		if which(w) {
			some = append(some, w)
		}
	}
	return some
}
