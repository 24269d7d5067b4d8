package judge

import (
	"cmp"
	"slices"
	"time"

	"userinfo/drill/history"
)

// evidence is a history, indexed by key, and the verdicts so far.
//
// The queries scan all operations of a key. Keys have few operations, because the load never uses a key again after its
// delete.
type evidence struct {
	h        *history.History
	faults   []fault       // ordered by Begin
	end      time.Duration // when the last operation completed
	stalls   stalls
	keys     []*key
	byName   map[string]*key
	versions map[int64]*write // all sets, by the version that they wrote
	verdicts map[string]*Verdict
}

// key is one key and its operations. All slices are in the order of Invoke.
type key struct {
	name         string
	operations   []*history.Operation
	gets         []*history.Operation // answered with a value or 404
	touchAnswers []*history.Operation // touches that were answered 204 or 404
	sets         []*write             // all sets except those that failed
	touches      []*write             // all touches except those that failed or found nothing
	deletes      []*deletion          // all deletes except those that failed
	firstDelete  time.Duration        // when the first of deletes was invoked, or forever
	slowestTouch time.Duration        // longest duration of an answered touch
}

// write is a set or touch that may have had an effect.
type write struct {
	*history.Operation
	outcome        history.Outcome
	arrivedBy      time.Duration // when the service had certainly given it a timestamp, or forever
	firstRead      time.Duration // when the first get that returned this set was answered, or forever
	earliestExpiry time.Duration // earliest expiry of the value if this write is current, without rounding
	latestExpiry   time.Duration // latest expiry of the value if this write is current, or forever
}

// acknowledged reports whether the client was told that the write succeeded.
func (w *write) acknowledged() bool { return w.outcome == history.OK }

// deletion is a delete that may have had an effect.
type deletion struct {
	*history.Operation
	outcome   history.Outcome
	shadowEnd time.Duration // sets that arrived until then are shadowed
}

func newEvidence(h *history.History) *evidence {
	e := &evidence{
		h: h, faults: orderFaults(h), stalls: findStalls(h.Operations),
		byName: make(map[string]*key), versions: make(map[int64]*write), verdicts: make(map[string]*Verdict),
	}
	for _, name := range slices.Concat(Invariants, PasswordInvariants) {
		e.verdicts[name] = &Verdict{Invariant: name}
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
		e.add(o)
	}
	for _, k := range e.keys {
		e.setTimes(k)
	}
	return e
}

// add files an operation under its key.
func (e *evidence) add(o *history.Operation) {
	k := e.byName[o.Key]
	if k == nil {
		k = &key{name: o.Key, firstDelete: forever}
		e.byName[o.Key] = k
		e.keys = append(e.keys, k)
	}
	k.operations = append(k.operations, o)
	outcome := o.Outcome()
	switch o.Method {
	case history.Get:
		if outcome == history.OK {
			k.gets = append(k.gets, o)
		}
	case history.Touch:
		if outcome == history.OK {
			k.touchAnswers = append(k.touchAnswers, o)
		}
		if outcome != history.Failed && !o.Absent() {
			k.touches = append(k.touches, &write{Operation: o, outcome: outcome})
			if o.Answered() {
				k.slowestTouch = max(k.slowestTouch, o.Complete-o.Invoke)
			}
		}
	case history.Set:
		w := &write{Operation: o, outcome: outcome}
		e.versions[o.ID] = w
		if outcome != history.Failed {
			k.sets = append(k.sets, w)
		}
	case history.Delete:
		if outcome != history.Failed {
			k.deletes = append(k.deletes, &deletion{o, outcome, e.shadowEnd(o)})
			k.firstDelete = min(k.firstDelete, o.Invoke)
		}
	}
}

// setTimes sets the arrival and the expiry times of the writes of a key.
func (e *evidence) setTimes(k *key) {
	for _, w := range slices.Concat(k.sets, k.touches) {
		w.arrivedBy, w.firstRead, w.latestExpiry = forever, forever, forever
		w.earliestExpiry = w.Invoke + seconds(w.TTL)
		if w.Answered() {
			w.arrivedBy = w.Complete
			if w.TTL > 0 {
				w.latestExpiry = min(e.executedBy(w)+seconds(w.TTL), forever)
			}
		}
	}
	for _, g := range k.gets {
		if s := e.versions[g.Version]; s != nil && g.Version > 0 && s.Key == k.name {
			s.firstRead = min(s.firstRead, g.Complete)
			s.arrivedBy = min(s.arrivedBy, s.firstRead)
		}
	}
}

// executedBy returns the latest time at which Cassandra executed an attempt of an answered write. An attempt may wait in a
// coordinator that a fault has stopped, until that fault is over, even if another attempt was acknowledged long before.
func (e *evidence) executedBy(w *write) time.Duration {
	latest := w.Complete
	for _, f := range e.faults {
		if f.Begin <= w.Complete && f.over >= w.Invoke {
			latest = max(latest, f.over)
		}
	}
	return latest
}

// newestSet returns the set with the latest Invoke of those that were acknowledged in a datacentre before t. An empty dc
// means any datacentre.
func (k *key) newestSet(dc string, t time.Duration) (*write, bool) {
	return largest(k.sets, func(w *write) bool {
		return w.acknowledged() && w.Complete < t && (dc == "" || w.DC == dc)
	}, func(w *write) time.Duration { return w.Invoke })
}

// newestTouch returns the touch with the latest Invoke of those that were acknowledged in a datacentre before t.
func (k *key) newestTouch(dc string, t time.Duration) (*write, bool) {
	return largest(k.touches, func(w *write) bool {
		return w.acknowledged() && w.Complete < t && w.DC == dc
	}, func(w *write) time.Duration { return w.Invoke })
}

// largest returns the element with the largest value, of those that match.
func largest[T any](all []T, match func(T) bool, value func(T) time.Duration) (best T, ok bool) {
	for _, x := range all {
		if match(x) && (!ok || value(x) >= value(best)) {
			best, ok = x, true
		}
	}
	return best, ok
}

// earliestExpiry returns the earliest expiry of the writes that match, or forever.
func earliestExpiry(all []*write, match func(*write) bool) time.Duration {
	earliest := forever
	for _, w := range all {
		if match(w) {
			earliest = min(earliest, w.earliestExpiry)
		}
	}
	return earliest
}

// unknownTouchExpiry returns the earliest expiry that a touch of unknown outcome, invoked before t, can have given. Such a
// touch may also be executed after its error was answered.
func (k *key) unknownTouchExpiry(t time.Duration) time.Duration {
	return earliestExpiry(k.touches, func(w *write) bool { return !w.acknowledged() && w.Invoke < t })
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
