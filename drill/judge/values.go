package judge

import (
	"fmt"

	"userinfo/drill/history"
)

// verifyGets checks all invariants that a get can break.
func (e *evidence) verifyGets(k *key) {
	for _, g := range k.gets {
		if g.Absent() {
			e.verifyNotShadowed(k, g) // only counts: an absent value breaks neither I1 nor I2
			if !g.Final {
				e.verifyAbsence(k, g)
			}
			continue
		}
		e.count("I3", 1)
		if s, ok := e.verifyVersion(k, g); ok {
			e.verifyNotShadowed(k, g)
			e.verifyNotStale(k, g, s)
			e.verifyNotExpired(k, g, s)
			e.verifyRemainingTTL(k, g, s)
		}
	}
}

// verifyVersion checks that a get returned a value of its own key that a set wrote (I3). It returns that set.
func (e *evidence) verifyVersion(k *key, g *history.Operation) (*write, bool) {
	s := e.versions[g.Version]
	mistake := ""
	switch {
	case g.Version <= 0:
		mistake = "a damaged value, or a value that the drill did not write"
	case g.OfKey != k.name:
		mistake = "a value that was written for key " + g.OfKey
	case s != nil && s.Key == k.name && s.outcome != history.Failed && s.Invoke >= g.Complete:
		mistake = fmt.Sprintf("version %d, whose set started at %s, after the get ended", g.Version, clock(s.Invoke))
	default:
		mistake = e.versionMistake(g.Version, k.name)
	}
	if mistake == "" {
		return s, true
	}
	e.violation("I3", g.Invoke, ids(g.ID), "get %d of %s in %s at %s returned %s", g.ID, k.name, g.DC, clock(g.Invoke), mistake)
	return nil, false
}

// versionMistake returns why a version cannot be a value of a key, or "" if it can.
func (e *evidence) versionMistake(version int64, key string) string {
	s := e.versions[version]
	switch {
	case version < 0:
		return "a value that cannot be decrypted"
	case s == nil:
		return fmt.Sprintf("version %d, which no set wrote", version)
	case s.Key != key:
		return fmt.Sprintf("version %d, which was set for key %s", version, s.Key)
	case s.outcome == history.Failed:
		return fmt.Sprintf("version %d, whose set was refused (%s)", version, answer(s.Operation))
	}
	return ""
}

// verifyNotStale checks that no newer set was acknowledged before the get started (I3).
func (e *evidence) verifyNotStale(k *key, g *history.Operation, s *write) {
	newer, ok := k.newestSet(g.DC, g.Invoke)
	stale := ok && e.definitelyOlder(s, newer)
	if !stale && g.Final {
		newer, ok = k.newestSet("", g.Invoke-replicationDelay)
		stale = ok && e.definitelyOlder(s, newer) && !e.unrepaired(newer.Invoke)
	}
	if stale {
		e.violation("I3", g.Invoke, ids(newer.ID, s.ID, g.ID), "get %d in %s, started at %s, returned set %d of %s although set %d in %s, started at %s, had been acknowledged at %s",
			g.ID, g.DC, clock(g.Invoke), s.ID, clock(s.Invoke), newer.ID, newer.DC, clock(newer.Invoke), clock(newer.Complete))
	}
}
