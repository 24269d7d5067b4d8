package judge

import (
	"slices"
	"time"

	"userinfo/drill/history"
)

// verifyNotExpired checks that a get did not return an expired value (I4).
func (e *evidence) verifyNotExpired(k *key, g *history.Operation, s *write) {
	e.count("I4", 1)
	latest := s.latestExpiry
	for _, t := range k.touches {
		switch {
		case !t.Answered() && t.Invoke < g.Invoke:
			latest = forever
		case t.Answered() && t.Complete >= s.Invoke && t.Complete <= g.Invoke+k.slowestTouch:
			latest = max(latest, t.latestExpiry)
		}
	}
	if g.Invoke > latest+ttlRounding+e.expirySkew(s.Invoke, g.Complete) {
		e.violation("I4", g.Invoke, ids(s.ID, g.ID), "get %d in %s, started at %s, returned set %d of %s, which had expired at %s even with all touches",
			g.ID, g.DC, clock(g.Invoke), s.ID, clock(s.Invoke), clock(latest))
	}
}

// verifyRemainingTTL checks that the remaining TTL that a get returned is not shorter than what the set and the touches
// gave (I4). After a touch was acknowledged in this datacentre, the value expires no earlier than the touch asked for,
// unless another touch came later or was concurrent.
func (e *evidence) verifyRemainingTTL(k *key, g *history.Operation, s *write) {
	from, earliest, proof := s.Invoke, s.earliestExpiry, ids(s.ID, g.ID)
	if t, ok := k.newestTouch(g.DC, g.Invoke); ok && s.DC == g.DC && s.acknowledged() && t.Invoke > s.Complete {
		from, earliest, proof = t.Invoke, e.touchedUntil(t), ids(s.ID, t.ID, g.ID)
	}
	until := g.Complete + k.slowestTouch
	earliest = min(earliest, k.unknownTouchExpiry(g.Complete), earliestExpiry(k.touches, func(w *write) bool {
		since := s.Invoke
		if w.DC == g.DC {
			since = from
		}
		return w.Answered() && w.Complete >= since && w.Complete <= until
	}))
	told := g.Complete + seconds(g.TTL) + ttlRounding + e.expirySkew(s.Invoke, g.Complete)
	if told < earliest {
		e.violation("I4", g.Invoke, proof, "get %d in %s returned at %s that set %d has %d s left, although every write that can be current lives until %s",
			g.ID, g.DC, clock(g.Complete), s.ID, g.TTL, clock(earliest))
	}
}

// verifyTouches checks I6 for touches that found nothing, and I4 for touches that found a value.
func (e *evidence) verifyTouches(k *key) {
	for _, t := range k.touchAnswers {
		if !t.Absent() {
			e.count("I4", 1)
			e.verifyTouchFoundValue(k, t)
		} else if !t.Final {
			e.verifyAbsence(k, t)
		}
	}
}

// verifyTouchFoundValue checks that a touch which succeeded can have found a value (I4).
func (e *evidence) verifyTouchFoundValue(k *key, t *history.Operation) {
	set, ok := largest(k.sets, func(w *write) bool { return w.Invoke < t.Complete }, func(w *write) time.Duration { return w.arrivedBy })
	if !ok {
		e.violation("I4", t.Invoke, ids(t.ID), "touch %d of %s in %s succeeded at %s although nothing had been set", t.ID, k.name, t.DC, clock(t.Complete))
		return
	}
	if d, ok := e.activeDelete(k, t); ok && set.arrivedBy <= d.shadowEnd {
		e.violation("I4", t.Invoke, ids(d.ID, t.ID), "touch %d in %s, started at %s, succeeded although delete %d in %s had been answered %s at %s and no set followed",
			t.ID, t.DC, clock(t.Invoke), d.ID, d.DC, answer(d.Operation), clock(d.Complete))
		return
	}
	if slices.ContainsFunc(k.sets, func(w *write) bool { return w.Invoke >= t.Invoke && w.Invoke < t.Complete }) {
		return // the touch may have found a set that started meanwhile
	}
	longest, ok := largest(slices.Concat(k.sets, k.touches), func(w *write) bool { return w.Invoke < t.Invoke }, func(w *write) time.Duration { return w.latestExpiry })
	if ok && t.Invoke > longest.latestExpiry+ttlRounding+e.expirySkew(0, t.Complete) {
		e.violation("I4", t.Invoke, ids(longest.ID, t.ID), "touch %d in %s, started at %s, succeeded although the value had expired at %s (%s %d)",
			t.ID, t.DC, clock(t.Invoke), clock(longest.latestExpiry), longest.Method, longest.ID)
	}
}
