package judge

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"userinfo/drill/history"
)

const (
	// perKey bounds the search for one key's order, searching that for all.
	perKey    = 2 * time.Second
	searching = 60 * time.Second
)

// judgeLinearizability is L.
func (e *evidence) judgeLinearizability() {
	deadline := time.Now().Add(searching)
	keys, left, unknown := 0, 0, 0
	for _, k := range e.keys {
		all, pinned := e.pinned(k)
		if !pinned {
			continue
		}
		if len(all) == 0 {
			left++
			continue
		}
		keys++
		e.verdict("L").Checked += len(all)
		switch wrong, result := e.linearize(all, deadline); result {
		case porcupine.Illegal:
			ids := make([]int64, 0, kept)
			for _, o := range wrong[:min(kept, len(wrong))] {
				ids = append(ids, o.Metadata.(int64))
			}
			e.broken("L", time.Duration(wrong[0].Call), fmt.Sprintf("no order of these %d operations of %s, begun from %s to %s, explains what they returned",
				len(wrong), k.name, at(time.Duration(wrong[0].Call)), at(time.Duration(wrong[len(wrong)-1].Call))), ids...)
		case porcupine.Unknown:
			unknown++
		}
	}
	e.note("L", fmt.Sprintf("%d keys checked; %d left out: they may have expired, been set after their fence, or met clocks that differ; %d not decided in time", keys-unknown, left, unknown))
}

// register is the state of a key in the model: the version it has, or nothing, or nothing for good.
type register int64

const deleted register = -1

// Inputs of the model.
type (
	load   struct{ version register } // where a history is continued
	put    struct{ version register }
	look   struct{ version register }
	remove struct{ fenced bool }
)

var model = porcupine.Model{
	Init: func() any { return register(history.NoVersion) },
	Step: func(state, input, _ any) (bool, any) {
		is := state.(register)
		switch in := input.(type) {
		case load:
			return true, in.version
		case put:
			return is != deleted, in.version
		case look:
			return in.version == max(is, 0), is
		case remove:
			if in.fenced {
				return true, deleted
			}
			return true, register(history.NoVersion)
		}
		panic("an operation that the model does not have")
	},
}

// pinned gives the operations of a pinned key for the model; none where the key must be left out. A set that is not known
// to have had its effect and that nobody has read is as if it had not been; one that was read had its effect before.
func (e *evidence) pinned(k *key) (all []porcupine.Operation, pinned bool) {
	first := k.all[0]
	if !first.Pinned {
		return nil, false
	}
	if e.leftOut(k) {
		return nil, true
	}
	add := func(o *history.Operation, input any, ends time.Duration) {
		all = append(all, porcupine.Operation{Input: input, Call: int64(o.Invoke), Return: int64(ends), Metadata: o.ID})
	}
	for _, s := range k.sets {
		switch {
		case s.outcome == history.OK:
			add(s.Operation, put{register(s.ID)}, s.arrives)
		case s.seen < forever:
			add(s.Operation, put{register(s.ID)}, s.seen)
		}
	}
	doubted := false
	for _, d := range k.deletes {
		ends := d.Complete
		if o := d.Outcome(); o == history.Unknown {
			if doubted && e.h.Fence > 0 {
				continue // the first that may happen at any time stands for all
			}
			ends, doubted = forever, true
		}
		add(d, remove{e.h.Fence > 0}, ends)
	}
	for _, g := range k.gets {
		s := e.versions[g.Version]
		if g.DC == first.DC && (g.Absent() || s != nil && s.Key == k.name && s.outcome != history.Failed) { // I3 has the others
			add(g, look{register(max(g.Version, 0))}, g.Complete)
		}
	}
	slices.SortStableFunc(all, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	return all, true
}

// leftOut tells whether the model does not hold for a key, or not only for its operations.
func (e *evidence) leftOut(k *key) bool {
	var last time.Duration
	for _, o := range k.all {
		last = max(last, o.Complete)
		if o.DC != k.all[0].DC && !o.Final {
			return true
		}
	}
	if e.h.Watched || e.clockSkew(k.all[0].Invoke, last) > 0 {
		return true
	}
	for _, w := range slices.Concat(k.sets, k.touches) {
		if w.expires < last+rounding+e.expirySkew(0, last) {
			return true
		}
	}
	return e.h.Fence > 0 && slices.ContainsFunc(k.sets, func(s *write) bool {
		return min(s.arrives, s.Complete) >= k.gone+e.h.Fence
	})
}

// piece is how many operations are tried at once, at least: the search takes more than twice the time for twice as many.
const piece = 200

// linearize looks for an order, piece by piece: where a get overlaps with nothing, what it read is all that counts of what was
// before. Of the piece that has none it gives the operations that fit nowhere after the longest order found.
func (e *evidence) linearize(all []porcupine.Operation, deadline time.Time) (wrong []porcupine.Operation, result porcupine.CheckResult) {
	until := time.Now().Add(perKey)
	if until.After(deadline) {
		until = deadline
	}
	begin, latest := 0, int64(-1)
	var some []porcupine.Operation
	for i, o := range all {
		some = append(some, o)
		read, get := o.Input.(look)
		alone := get && read.version > 0 && o.Call > latest && i+1 < len(all) && o.Return < all[i+1].Call
		latest = max(latest, o.Return)
		if i+1 < len(all) && !(alone && i-begin >= piece) {
			continue
		}
		left := time.Until(until)
		if left <= 0 {
			return nil, porcupine.Unknown
		}
		if result := porcupine.CheckOperationsTimeout(model, some, left); result == porcupine.Illegal {
			_, info := porcupine.CheckOperationsVerbose(model, some, left)
			return unfitting(some, info), result
		} else if result != porcupine.Ok {
			return nil, result
		}
		begin = i + 1
		some = []porcupine.Operation{{Input: load(read), Call: o.Return, Return: o.Return, Metadata: o.Metadata}}
	}
	return nil, porcupine.Ok
}

// unfitting are the operations that the longest order leaves out, up to the first that must be before the next.
func unfitting(all []porcupine.Operation, info porcupine.LinearizationInfo) []porcupine.Operation {
	fits := make(map[int64]bool)
	for _, orders := range info.PartialLinearizationsOperations() {
		longest := slices.MaxFunc(orders, func(a, b []porcupine.Operation) int { return len(a) - len(b) })
		for _, o := range longest {
			fits[o.Metadata.(int64)] = true
		}
	}
	var left []porcupine.Operation
	ends := int64(forever)
	for _, o := range all {
		if !fits[o.Metadata.(int64)] && o.Call <= ends {
			left = append(left, o)
			ends = min(ends, o.Return)
		}
	}
	if len(left) == 0 {
		return all
	}
	return left
}
