package judge

import (
	"time"

	"userinfo/drill/history"
)

// user is one user, and the operations on the user's password. All slices are in the order of Invoke.
type user struct {
	operations []*history.Operation
	writes     []*write         // operations that may have set or deleted the password: all except those that failed
	sets       map[int64]*write // operations that set a password, also those that failed, by the version that they set
	tokens     []*write         // operations that may have made a reset token
}

// evaluatePasswords checks the invariants of a history of passwords.
func (e *evidence) evaluatePasswords() {
	for _, k := range e.keys {
		u := newUser(k.operations)
		for _, o := range u.operations {
			e.verifyGuess(u, o)
			e.verifyNotLockedOut(u, o)
			e.verifyCreate(u, o)
			e.verifyRedeem(u, o)
		}
		e.verifyTokensUsedOnce(u)
	}
	e.verifyConnections()
	e.verifyResources()
}

func newUser(operations []*history.Operation) *user {
	u := &user{operations: operations, sets: make(map[int64]*write)}
	for _, o := range operations {
		w := &write{Operation: o, outcome: o.Outcome(), arrivedBy: forever, firstRead: forever}
		if o.Answered() {
			w.arrivedBy = o.Complete
		}
		switch o.Method {
		case history.Create, history.Change, history.Redeem:
			u.sets[o.ID] = w
		case history.Delete:
		case history.Token:
			if w.outcome != history.Failed {
				u.tokens = append(u.tokens, w)
			}
			continue
		default:
			continue
		}
		if w.outcome != history.Failed {
			u.writes = append(u.writes, w)
		}
	}
	for _, o := range operations {
		if w := u.sets[o.Guess]; w != nil && accepted(o) {
			w.firstRead = min(w.firstRead, o.Complete)
			w.arrivedBy = min(w.arrivedBy, w.firstRead)
		}
	}
	return u
}

// accepted reports whether the answer says that the password of a guess was right.
func accepted(o *history.Operation) bool {
	return (o.Method == history.Verify || o.Method == history.Change) && (o.Outcome() == history.OK || o.Outcome() == history.Local)
}

// promises reports whether the client was told that the write holds, at least in its own datacentre.
func (w *write) promises() bool { return w.outcome == history.OK || w.outcome == history.Local }

// invariant returns the invariant that the promise of a write belongs to.
func (w *write) invariant() string {
	if w.outcome == history.Local {
		return "P2"
	}
	return "P1"
}

// holds reports whether the promise of a write is in force in the datacentre of o when o starts.
func (e *evidence) holds(w *write, o *history.Operation) bool {
	return w.promises() && (o.Final && w.Complete < o.Invoke || !o.Final && e.inForce(w.Operation, o.DC) < o.Invoke)
}

// precedes reports whether the record of older is certainly older than the record of newer. A write that every datacentre
// has confirmed is seen by each later write. Otherwise, the clocks of two instances decide.
func (e *evidence) precedes(older, newer *write) bool {
	if older.acknowledged() && older.Complete < newer.Invoke {
		return true
	}
	skew := e.clockTolerance() + e.clockSkew(older.Invoke, newer.Complete)
	return older.arrivedBy+skew < newer.Invoke
}

// verifyGuess checks P1 and P2 for an answer that says whether a password is right.
func (e *evidence) verifyGuess(u *user, o *history.Operation) {
	wrong := o.IsWrong() && (o.Method == history.Verify || o.Method == history.Change)
	if !accepted(o) && !wrong {
		return
	}
	for _, outcome := range []history.Outcome{history.OK, history.Local} {
		w, ok := largest(u.writes, func(w *write) bool { return w.outcome == outcome && e.holds(w, o) }, invoked)
		if !ok {
			continue
		}
		e.count(w.invariant(), 1)
		if g := u.sets[o.Guess]; !wrong && g != nil && g.outcome != history.Failed && e.precedes(g, w) {
			e.violation(w.invariant(), o.Invoke, ids(g.ID, w.ID, o.ID), "%s %d in %s, started at %s, accepted the password of %s %d, although %s %d in %s had been answered %s at %s",
				o.Method, o.ID, o.DC, clock(o.Invoke), g.Method, g.ID, w.Method, w.ID, w.DC, answer(w.Operation), clock(w.Complete))
		}
	}
	if wrong {
		e.verifyRefusal(u, o)
	} else {
		e.verifyWasSet(u, o)
	}
}

func invoked(w *write) time.Duration { return w.Invoke }

// verifyRefusal checks P1 and P2 for a refused password. It must not be the password that certainly holds.
func (e *evidence) verifyRefusal(u *user, o *history.Operation) {
	g := u.sets[o.Guess]
	if g == nil || !e.holds(g, o) {
		return
	}
	for _, w := range u.writes {
		if w != g && w.Invoke < o.Complete && !e.precedes(w, g) {
			return
		}
	}
	e.violation(g.invariant(), o.Invoke, ids(g.ID, o.ID), "%s %d in %s, started at %s, refused the password of %s %d in %s, which had been answered %s at %s, and nothing has changed it since",
		o.Method, o.ID, o.DC, clock(o.Invoke), g.Method, g.ID, g.DC, answer(g.Operation), clock(g.Complete))
}

// refusedBy names the invariant that is broken if the password of a refused operation is accepted.
var refusedBy = map[history.Method]string{history.Create: "P3", history.Change: "P1", history.Redeem: "P5"}

// verifyWasSet checks that an accepted password was set by an operation that had started and was not refused.
func (e *evidence) verifyWasSet(u *user, o *history.Operation) {
	g := u.sets[o.Guess]
	switch {
	case g == nil || g.Invoke > o.Complete:
		e.violation("P1", o.Invoke, ids(o.ID), "%s %d in %s, started at %s, accepted a password that nobody had set", o.Method, o.ID, o.DC, clock(o.Invoke))
	case g.outcome == history.Failed:
		e.violation(refusedBy[g.Method], o.Invoke, ids(g.ID, o.ID), "%s %d in %s, started at %s, accepted the password of %s %d, which was answered %s",
			o.Method, o.ID, o.DC, clock(o.Invoke), g.Method, g.ID, answer(g.Operation))
	}
}

// verifyCreate checks P3 for a creation that was answered.
func (e *evidence) verifyCreate(u *user, o *history.Operation) {
	switch {
	case o.Method != history.Create:
	case o.Outcome() == history.OK:
		e.count("P3", 1)
		e.verifyDidNotExist(u, o)
	case o.Problem == "user-exists":
		e.count("P3", 1)
		if !e.mayExist(u, o) {
			e.violation("P3", o.Invoke, ids(o.ID), "create %d in %s, started at %s, was answered %s, although there was no such user", o.ID, o.DC, clock(o.Invoke), answer(o))
		}
	}
}

// verifyDidNotExist checks a creation that succeeded. No other operation may have made the user before or at the same time,
// unless a delete may have come between.
func (e *evidence) verifyDidNotExist(u *user, o *history.Operation) {
	for _, w := range u.writes {
		before := w.Complete < o.Invoke
		meanwhile := w.Method == history.Create && w.ID < o.ID && !before && w.Invoke <= o.Complete
		if w.Method == history.Delete || !w.promises() || w.Operation == o || !before && !meanwhile {
			continue
		}
		if _, deleted := largest(u.writes, func(d *write) bool {
			return d.Method == history.Delete && d.Invoke < o.Complete && !e.precedes(d, w)
		}, invoked); !deleted {
			e.violation("P3", o.Invoke, ids(w.ID, o.ID), "create %d in %s, started at %s, made a user whom %s %d in %s had made, answered %s at %s",
				o.ID, o.DC, clock(o.Invoke), w.Method, w.ID, w.DC, answer(w.Operation), clock(w.Complete))
			return
		}
	}
}

// mayExist reports whether a user may exist while o is active.
func (e *evidence) mayExist(u *user, o *history.Operation) bool {
	_, exists := largest(u.writes, func(w *write) bool {
		if w.Method == history.Delete || w.Invoke > o.Complete {
			return false
		}
		_, deleted := largest(u.writes, func(d *write) bool {
			return d.Method == history.Delete && d.acknowledged() && d.Complete < o.Invoke && e.precedes(w, d)
		}, invoked)
		return !deleted
	}, invoked)
	return exists
}
