package judge

import "userinfo/drill/history"

// verifyFinalReads checks the part of I3 about the end of a drill: a value that was acknowledged in one datacentre is in all.
func (e *evidence) verifyFinalReads(k *key) {
	last := make(map[string]*history.Operation)
	var first *history.Operation
	for _, g := range k.gets {
		switch {
		case !g.Final:
		case g.Absent():
			e.verifyNotLost(k, g)
		default:
			if first == nil || first.DC == g.DC {
				first = g
			}
			last[g.DC] = g
		}
	}
	for _, dc := range e.h.Datacentres {
		if g := last[dc]; g != nil {
			e.verifyAgreement(k, first, g)
		}
	}
}

// verifyNotLost checks a final get that found nothing.
func (e *evidence) verifyNotLost(k *key, g *history.Operation) {
	if k.firstDelete < g.Complete {
		return
	}
	e.count("I3", 1)
	s, ok := k.newestSet(g.DC, g.Invoke)
	if !ok || !e.definitelyAlive(k, s, g) {
		s, ok = k.newestSet("", g.Invoke-replicationDelay)
		if !ok || e.unrepaired(s.Invoke) || !e.definitelyAlive(k, s, g) {
			return
		}
	}
	e.violation("I3", g.Invoke, ids(s.ID, g.ID), "the final get %d in %s, started at %s, found nothing, although set %d was acknowledged in %s at %s, nothing deleted the key and the value cannot have expired",
		g.ID, g.DC, clock(g.Invoke), s.ID, s.DC, clock(s.Complete))
}

// verifyAgreement checks the final reads of two datacentres. They must return the same set if both returned sets were
// acknowledged and had time to reach both datacentres. A set that was not acknowledged may be in one datacentre only.
func (e *evidence) verifyAgreement(k *key, a, b *history.Operation) {
	if a.Version == b.Version {
		return
	}
	for _, g := range []*history.Operation{a, b} {
		s := e.versions[g.Version]
		if s == nil || s.Key != k.name || !s.acknowledged() || s.Complete+replicationDelay > min(a.Invoke, b.Invoke) || e.unrepaired(s.Invoke) {
			return
		}
	}
	e.violation("I3", b.Invoke, ids(a.Version, a.ID, b.Version, b.ID), "the final get %d in %s returned set %d and the final get %d in %s returned set %d; both sets were acknowledged",
		a.ID, a.DC, a.Version, b.ID, b.DC, b.Version)
}

// replicaVersion is a version of a key in a datacentre.
type replicaVersion struct {
	dc, key string
	version int64
}

// verifyReplicas checks what each replica holds at the end.
func (e *evidence) verifyReplicas() {
	nodes := make(map[string]map[string]bool) // by datacentre
	holding := make(map[replicaVersion]int)
	var order []replicaVersion
	for i := range e.h.Cells {
		c := &e.h.Cells[i]
		if nodes[c.DC] == nil {
			nodes[c.DC] = make(map[string]bool)
		}
		nodes[c.DC][c.Node] = true
		e.count("I3", 1)
		if c.Version == history.NoVersion {
			continue
		}
		if mistake := e.versionMistake(c.Version, c.Key); mistake != "" {
			e.violation("I3", e.end, nil, "replica %s in %s holds for key %s %s", c.Node, c.DC, c.Key, mistake)
			continue
		}
		v := replicaVersion{c.DC, c.Key, c.Version}
		if holding[v] == 0 {
			order = append(order, v)
		}
		holding[v]++
	}
	for _, v := range order {
		e.verifyReplicaDeletes(v, holding[v], len(nodes[v.dc]))
	}
	if len(e.h.Cells) == 0 {
		e.note("I3", "the replicas were not read one by one")
	}
}
