package judge

import (
	"fmt"
	"time"

	"userinfo/drill/history"
)

func (e *evidence) judgeGets(k *key) {
	for _, g := range k.gets {
		if g.Absent() {
			e.judgeHidden(k, g) // counts as checked
			if !g.Final {
				e.judgeAbsence(k, g)
			}
			continue
		}
		e.checked("I3")
		if s := e.judgeWhole(k, g); s != nil {
			e.judgeHidden(k, g)
			e.judgeStale(k, g, s)
			e.judgeExpired(k, g, s)
			e.judgeShortened(k, g, s)
		}
	}
}

// judgeWhole is the part of I3 that needs no other operation than the set; it gives that.
func (e *evidence) judgeWhole(k *key, g *history.Operation) *write {
	fault := ""
	s := e.versions[g.Version]
	switch {
	case g.Version <= 0:
		fault = "what is not whole, or nobody's value"
	case g.OfKey != k.name:
		fault = "a value that was written for " + g.OfKey
	case s == nil:
		fault = fmt.Sprintf("version %d, which no set has written", g.Version)
	case s.Key != k.name:
		fault = fmt.Sprintf("version %d, of the set of %s", g.Version, s.Key)
	case s.outcome == history.Failed:
		fault = fmt.Sprintf("version %d, whose set was refused (%s)", g.Version, answer(s.Operation))
	case s.Invoke >= g.Complete:
		fault = fmt.Sprintf("version %d, whose set began at %s, after the get's end", g.Version, at(s.Invoke))
	default:
		return s
	}
	e.broken("I3", g.Invoke, fmt.Sprintf("get %d of %s in %s at %s returned %s", g.ID, k.name, g.DC, at(g.Invoke), fault), g.ID)
	return nil
}

// judgeStale is the part of I3 that a newer acknowledged set decides.
func (e *evidence) judgeStale(k *key, g *history.Operation, s *write) {
	newer, ok := e.in(g.DC, k).sets.before(g.Invoke)
	if ok && e.surelyOlder(s, newer) {
		e.stale(g, s, newer)
		return
	}
	if !g.Final {
		return
	}
	newer, ok = k.everyone.before(g.Invoke - reaching)
	if ok && e.surelyOlder(s, newer) && !e.unrepaired(newer.Invoke) {
		e.stale(g, s, newer)
	}
}

func (e *evidence) stale(g *history.Operation, s, newer *write) {
	e.broken("I3", g.Invoke, fmt.Sprintf("get %d in %s, begun at %s, returned set %d of %s although set %d in %s, begun at %s, had been acknowledged at %s",
		g.ID, g.DC, at(g.Invoke), s.ID, at(s.Invoke), newer.ID, newer.DC, at(newer.Invoke), at(newer.Complete)), newer.ID, s.ID, g.ID)
}

// judgeAbsence is I6.
func (e *evidence) judgeAbsence(k *key, o *history.Operation) {
	s, ok := e.in(o.DC, k).sets.before(o.Invoke)
	if !ok || k.gone < o.Complete {
		return
	}
	e.checked("I6")
	if e.surelyThere(k, s, o) {
		e.broken("I6", o.Invoke, fmt.Sprintf("%s %d in %s, begun at %s, was told that there is no value, although set %d was acknowledged there at %s, nothing has deleted it and it cannot have expired",
			o.Method, o.ID, o.DC, at(o.Invoke), s.ID, at(s.Complete)), s.ID, o.ID)
	}
}

// surelyThere tells whether every write that can be current when o reads, s being acknowledged, still lives at its end.
func (e *evidence) surelyThere(k *key, s *write, o *history.Operation) bool {
	return o.Complete+rounding+e.expirySkew(0, o.Complete) < e.earliestEnd(k, s, o)
}

// earliestEnd is the earliest expiry of all that can be current when o reads, where s had been acknowledged (and reached o's datacentre): s; the sets
// that are not surely older; and the touches of any of these. A touch t acknowledged in that datacentre since leaves of
// what was there before it nothing that ends sooner than t wants.
func (e *evidence) earliestEnd(k *key, s *write, o *history.Operation) time.Duration {
	v := e.in(s.DC, k)
	from := s.Invoke - e.apart() - e.clockSkew(0, o.Complete)
	end := min(v.otherSets.within(from, 2*forever), v.otherTouches.within(from, 2*forever))
	if u, ok := k.unbounded.before(o.Complete); ok {
		end = min(end, u.expires)
	}
	seen := o.Invoke
	if s.DC != o.DC {
		seen -= reaching
	}
	if t, ok := v.touches.before(seen); ok && t.Invoke > s.Complete {
		from = t.Invoke
		end = min(end, e.wanted(t))
	}
	return min(end, v.ownSets.within(from, 2*forever), v.ownTouches.within(from, 2*forever))
}

// wanted is the least that an acknowledged touch leaves: it may have found the remaining life near enough.
func (e *evidence) wanted(t *write) time.Duration {
	return t.Invoke + time.Duration((1-e.h.TouchSlack)*float64(seconds(t.TTL)))
}
