package judge

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"userinfo/drill/history"
)

const (
	// keySearchLimit is the time limit of the search for one key, searchLimit for all keys together.
	keySearchLimit = 2 * time.Second
	searchLimit    = 60 * time.Second
	// pieceSize is the smallest number of operations that are searched together. The time of a search grows faster than
	// the number of operations.
	pieceSize = 200
)

// verifyLinearizability checks L.
func (e *evidence) verifyLinearizability() {
	deadline := time.Now().Add(searchLimit)
	checked, skipped, undecided := 0, 0, 0
	for _, k := range e.keys {
		if !k.operations[0].Pinned {
			continue
		}
		operations := e.modelOperations(k)
		if e.outsideModel(k) || len(operations) == 0 {
			skipped++
			continue
		}
		e.count("L", len(operations))
		switch wrong, result := linearize(operations, deadline); result {
		case porcupine.Ok:
			checked++
		case porcupine.Unknown:
			undecided++
		case porcupine.Illegal:
			checked++
			var proof []int64
			for _, o := range wrong[:min(maxViolations, len(wrong))] {
				proof = append(proof, o.Metadata.(int64))
			}
			first, last := time.Duration(wrong[0].Call), time.Duration(wrong[len(wrong)-1].Call)
			e.violation("L", first, proof, "no order of these %d operations of %s, started from %s to %s, explains their answers", len(wrong), k.name, clock(first), clock(last))
		}
	}
	e.note("L", fmt.Sprintf("%d keys checked; %d skipped because they may have expired, were set after their fence, or met different clocks; %d not decided in time", checked, skipped, undecided))
}

// register is the state of a key in the model: a version, NoVersion, or deleted for good.
type register int64

const deleted register = -1

// Inputs of the model.
type (
	start  struct{ version register } // the state at the start of a later piece of the history
	assign struct{ version register }
	read   struct{ version register }
	remove struct{ fenced bool }
)

var model = porcupine.Model{
	Init: func() any { return register(history.NoVersion) },
	Step: func(state, input, _ any) (bool, any) {
		current := state.(register)
		switch in := input.(type) {
		case start:
			return true, in.version
		case assign:
			return current != deleted, in.version
		case read:
			return in.version == max(current, 0), current
		case remove:
			if in.fenced {
				return true, deleted
			}
			return true, register(history.NoVersion)
		}
		panic("unknown input of the model")
	},
}

// modelOperations returns the operations of a pinned key for the model. A set with an unknown effect is left out if no get
// returned its version; otherwise it ended before the first such get ended.
func (e *evidence) modelOperations(k *key) []porcupine.Operation {
	var all []porcupine.Operation
	add := func(o *history.Operation, input any, end time.Duration) {
		all = append(all, porcupine.Operation{Input: input, Call: int64(o.Invoke), Return: int64(end), Metadata: o.ID})
	}
	for _, s := range k.sets {
		switch {
		case s.acknowledged():
			add(s.Operation, assign{register(s.ID)}, s.arrivedBy)
		case s.firstRead < forever:
			add(s.Operation, assign{register(s.ID)}, s.firstRead)
		}
	}
	fenced, unknown := e.h.Fence > 0, false
	for _, d := range k.deletes {
		switch {
		case d.promises():
			add(d.Operation, remove{fenced}, d.Complete)
		case !unknown || !fenced: // with a fence, one delete at an unknown time has the same effect as several
			add(d.Operation, remove{fenced}, forever)
			unknown = true
		}
	}
	for _, g := range k.gets {
		valid := g.Absent() || g.Version > 0 && e.versionMistake(g.Version, k.name) == "" // I3 reports the others
		if g.DC == k.operations[0].DC && valid {
			add(g, read{register(max(g.Version, 0))}, g.Complete)
		}
	}
	slices.SortStableFunc(all, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	return all
}

// outsideModel reports whether a pinned key must be skipped: it was used in two datacentres, met different clocks, may have
// expired, or was set after its fence.
func (e *evidence) outsideModel(k *key) bool {
	var last time.Duration
	for _, o := range k.operations {
		last = max(last, o.Complete)
		if o.DC != k.operations[0].DC && !o.Final {
			return true
		}
	}
	if e.h.Watched || e.clockSkew(k.operations[0].Invoke, last) > 0 {
		return true
	}
	for _, w := range slices.Concat(k.sets, k.touches) {
		if w.earliestExpiry < last+ttlRounding+e.expirySkew(0, last) {
			return true
		}
	}
	return e.h.Fence > 0 && slices.ContainsFunc(k.sets, func(s *write) bool {
		return min(s.arrivedBy, s.Complete) >= k.firstDelete+e.h.Fence
	})
}

// linearize searches for a valid order of operations, which are sorted by Call. It searches in pieces. A piece ends at a get
// that overlaps with no other operation: the state after such a get is the version that it returned. If a piece has no
// valid order, linearize returns the operations that do not fit.
func linearize(operations []porcupine.Operation, deadline time.Time) (wrong []porcupine.Operation, result porcupine.CheckResult) {
	if limit := time.Now().Add(keySearchLimit); limit.Before(deadline) {
		deadline = limit
	}
	first, latestReturn := 0, int64(-1)
	var piece []porcupine.Operation
	for i, o := range operations {
		piece = append(piece, o)
		get, isGet := o.Input.(read)
		isLast := i+1 == len(operations)
		alone := isGet && get.version > 0 && o.Call > latestReturn && !isLast && o.Return < operations[i+1].Call
		latestReturn = max(latestReturn, o.Return)
		if !isLast && !(alone && i-first >= pieceSize) {
			continue
		}
		timeLeft := time.Until(deadline)
		if timeLeft <= 0 {
			return nil, porcupine.Unknown
		}
		if result := porcupine.CheckOperationsTimeout(model, piece, timeLeft); result == porcupine.Illegal {
			_, info := porcupine.CheckOperationsVerbose(model, piece, timeLeft)
			return misfits(piece, info), result
		} else if result != porcupine.Ok {
			return nil, result
		}
		first = i + 1
		piece = []porcupine.Operation{{Input: start(get), Call: o.Return, Return: o.Return, Metadata: o.Metadata}}
	}
	return nil, porcupine.Ok
}

// misfits returns the operations that are missing in the longest valid order, up to the first one that must come before
// the next.
func misfits(operations []porcupine.Operation, info porcupine.LinearizationInfo) []porcupine.Operation {
	fits := make(map[int64]bool)
	for _, orders := range info.PartialLinearizationsOperations() {
		longest := slices.MaxFunc(orders, func(a, b []porcupine.Operation) int { return cmp.Compare(len(a), len(b)) })
		for _, o := range longest {
			fits[o.Metadata.(int64)] = true
		}
	}
	var missing []porcupine.Operation
	earliestReturn := int64(forever)
	for _, o := range operations {
		if !fits[o.Metadata.(int64)] && o.Call <= earliestReturn {
			missing = append(missing, o)
			earliestReturn = min(earliestReturn, o.Return)
		}
	}
	if len(missing) == 0 {
		return operations
	}
	return missing
}
