package judge

import (
	"fmt"
	"time"

	"userinfo/drill/history"
)

// judgeExpired is I4's first rule.
func (e *evidence) judgeExpired(k *key, g *history.Operation, s *write) {
	e.checked("I4")
	lasts := s.lasts
	if _, ok := k.unbounded.before(g.Invoke); ok {
		lasts = forever
	}
	if touched := k.lasting.within(s.Invoke, g.Invoke+k.slowest); touched != forever {
		lasts = max(lasts, -touched)
	}
	if g.Invoke > lasts+rounding+e.expirySkew(s.Invoke, g.Complete) {
		e.broken("I4", g.Invoke, fmt.Sprintf("get %d in %s, begun at %s, returned set %d of %s, which with all touches had expired at %s",
			g.ID, g.DC, at(g.Invoke), s.ID, at(s.Invoke), at(lasts)), s.ID, g.ID)
	}
}

// judgeShortened is I4's second rule: what the get was told is left, against the set and the touches that can be current.
// A touch t acknowledged in this datacentre since its set was leaves nothing that ends sooner than t wants, but touches that it
// did not see.
func (e *evidence) judgeShortened(k *key, g *history.Operation, s *write) {
	v := e.in(g.DC, k)
	last := g.Complete + k.slowest
	least := v.otherTouches.within(s.Invoke, last)
	if u, ok := k.unbounded.before(g.Complete); ok {
		least = min(least, u.expires)
	}
	t, touched := v.touches.before(g.Invoke)
	if touched = touched && s.DC == g.DC && s.outcome == history.OK && t.Invoke > s.Complete; touched {
		least = min(least, e.wanted(t), v.ownTouches.within(t.Invoke, last))
	} else {
		least = min(least, s.expires, v.ownTouches.within(s.Invoke, last))
	}
	told := g.Complete + seconds(g.TTL) + rounding + e.expirySkew(s.Invoke, g.Complete)
	if told >= least {
		return
	}
	what := fmt.Sprintf("get %d in %s was told at %s that set %d has %d s left, although every write that can be current gave it a life until %s",
		g.ID, g.DC, at(g.Complete), s.ID, g.TTL, at(least))
	if touched {
		e.broken("I4", g.Invoke, what, s.ID, t.ID, g.ID)
	} else {
		e.broken("I4", g.Invoke, what, s.ID, g.ID)
	}
}

// judgeTouches is I6 for touches that found nothing, and I4's third rule for those that found something.
func (e *evidence) judgeTouches(k *key) {
	for _, t := range k.probes {
		if t.Absent() {
			if !t.Final {
				e.judgeAbsence(k, t)
			}
			continue
		}
		e.checked("I4")
		e.judgeRevival(k, t)
	}
}

// judgeRevival finds a touch that succeeded where nothing can have been.
func (e *evidence) judgeRevival(k *key, t *history.Operation) {
	set, ok := k.arrived.before(t.Complete)
	if !ok {
		e.broken("I4", t.Invoke, fmt.Sprintf("touch %d of %s in %s succeeded at %s although nothing had been set", t.ID, k.name, t.DC, at(t.Complete)), t.ID)
		return
	}
	if d, ok := e.hider(k, t); ok && set.arrives <= d.hides {
		e.broken("I4", t.Invoke, fmt.Sprintf("touch %d in %s, begun at %s, succeeded although delete %d in %s had been answered %s at %s, and no set since",
			t.ID, t.DC, at(t.Invoke), d.ID, d.DC, answer(d.Operation), at(d.Complete)), d.ID, t.ID)
		return
	}
	// Only writes begun before the touch can have kept the value until then, or sets begun since.
	longest, ok := k.outlasts.before(t.Invoke)
	if !ok || k.setIn(t.Invoke, t.Complete) {
		return
	}
	if t.Invoke > longest.lasts+rounding+e.expirySkew(0, t.Complete) {
		e.broken("I4", t.Invoke, fmt.Sprintf("touch %d in %s, begun at %s, succeeded although the value had expired at %s (%s %d)",
			t.ID, t.DC, at(t.Invoke), at(longest.lasts), longest.Method, longest.ID), longest.ID, t.ID)
	}
}

// setIn tells whether a set was begun at from or later and before to.
func (k *key) setIn(from, to time.Duration) bool {
	i := lowerBound(k.sets, from)
	return i < len(k.sets) && k.sets[i].Invoke < to
}
