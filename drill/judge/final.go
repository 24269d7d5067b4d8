package judge

import (
	"fmt"

	"userinfo/drill/history"
)

// judgeFinal is what I3 says of the end: what was acknowledged in one datacentre is there in the others too.
func (e *evidence) judgeFinal(k *key) {
	last := make(map[string]*history.Operation)
	var order []string
	for _, g := range k.gets {
		if !g.Final {
			continue
		}
		if g.Absent() {
			e.judgeLost(k, g)
			continue
		}
		if last[g.DC] == nil {
			order = append(order, g.DC)
		}
		last[g.DC] = g
	}
	for _, dc := range order {
		e.judgeAgreement(k, last[order[0]], last[dc])
	}
}

// judgeLost is for a Final get that found nothing.
func (e *evidence) judgeLost(k *key, g *history.Operation) {
	if k.gone < g.Complete {
		return
	}
	e.checked("I3")
	s, ok := e.in(g.DC, k).sets.before(g.Invoke)
	if !ok || !e.surelyThere(k, s, g) {
		s, ok = k.everyone.before(g.Invoke - reaching)
		if !ok || e.unrepaired(s.Invoke) || !e.surelyThere(k, s, g) {
			return
		}
	}
	e.broken("I3", g.Invoke, fmt.Sprintf("in the end get %d in %s, begun at %s, found nothing, although set %d was acknowledged in %s at %s, nothing has deleted it and it cannot have expired",
		g.ID, g.DC, at(g.Invoke), s.ID, s.DC, at(s.Complete)), s.ID, g.ID)
}

// judgeAgreement is for the last reads in two datacentres. Of two sets that are both acknowledged, and have reached both, both
// datacentres must have the same; whether one that is not is anywhere else, nobody has promised.
func (e *evidence) judgeAgreement(k *key, a, b *history.Operation) {
	if a.Version == b.Version {
		return
	}
	for _, g := range []*history.Operation{a, b} {
		s := e.versions[g.Version]
		if s == nil || s.Key != k.name || s.outcome != history.OK || s.Complete+reaching > min(a.Invoke, b.Invoke) || e.unrepaired(s.Invoke) {
			return
		}
	}
	e.broken("I3", b.Invoke, fmt.Sprintf("in the end get %d in %s returned set %d and get %d in %s set %d, both acknowledged",
		a.ID, a.DC, a.Version, b.ID, b.DC, b.Version), a.Version, a.ID, b.Version, b.ID)
}

// held is a version of a key, in a datacentre.
type held struct {
	dc, key string
	version int64
}

// judgeCells judges what each replica holds.
func (e *evidence) judgeCells() {
	nodes := make(map[string]map[string]bool)
	replicas := make(map[held]int)
	var order []held
	behind := 0
	for i := range e.h.Cells {
		c := &e.h.Cells[i]
		if nodes[c.DC] == nil {
			nodes[c.DC] = make(map[string]bool)
		}
		nodes[c.DC][c.Node] = true
		e.checked("I3")
		if e.behind(c) {
			behind++
		}
		if c.Version == history.NoVersion || !e.judgeCell(c) {
			continue
		}
		h := held{c.DC, c.Key, c.Version}
		if replicas[h] == 0 {
			order = append(order, h)
		}
		replicas[h]++
	}
	for _, h := range order {
		e.judgeReplicas(h, replicas[h], len(nodes[h.dc]))
	}
	if len(e.h.Cells) > 0 {
		e.note("I3", fmt.Sprintf("%d of %d cells are behind an acknowledged set, as one replica may be", behind, len(e.h.Cells)))
	} else {
		e.note("I3", "no replica was read by itself")
	}
}

// judgeCell tells whether what a replica holds is a version of its key.
func (e *evidence) judgeCell(c *history.Cell) bool {
	what := ""
	s := e.versions[c.Version]
	switch {
	case c.Version < 0:
		what = "what cannot be opened"
	case s == nil:
		what = fmt.Sprintf("version %d, which no set has written", c.Version)
	case s.Key != c.Key:
		what = fmt.Sprintf("version %d, of the set of %s", c.Version, s.Key)
	case s.outcome == history.Failed:
		what = fmt.Sprintf("version %d, whose set was refused (%s)", c.Version, answer(s.Operation))
	default:
		return true
	}
	e.broken("I3", e.end, fmt.Sprintf("replica %s in %s holds of %s %s", c.Node, c.DC, c.Key, what))
	return false
}

// judgeReplicas is I1 and I2 for the replicas of a datacentre: where a quorum has a tombstone, fewer than the rest have not.
func (e *evidence) judgeReplicas(h held, replicas, all int) {
	k, s := e.byName[h.key], e.versions[h.version]
	d, ok := k.ever.before(forever)
	if !ok {
		return
	}
	e.checked(d.promise())
	if without := all - (all/2 + 1); replicas > without && s.arrives <= d.hides {
		e.broken(d.promise(), e.end, fmt.Sprintf("in the end %d of %d replicas in %s hold set %d, although delete %d in %s was answered %s at %s",
			replicas, all, h.dc, s.ID, d.ID, d.DC, answer(d.Operation), at(d.Complete)), d.ID, s.ID)
	}
}

// behind tells whether a replica surely lacks a set that was acknowledged in its datacentre.
func (e *evidence) behind(c *history.Cell) bool {
	k := e.byName[c.Key]
	if k == nil {
		return false
	}
	newest, ok := e.in(c.DC, k).sets.before(forever)
	if !ok {
		return false
	}
	if c.Version == history.NoVersion {
		return k.gone == forever && newest.expires > e.end
	}
	s := e.versions[c.Version]
	return s != nil && s.Key == c.Key && e.surelyOlder(s, newest)
}
