package judge

import (
	"time"

	"userinfo/drill/history"
)

// shadowEnd returns until when sets arrive that the delete shadows. The tombstone's timestamp is one fence in the future.
// Without a fence, only older sets are shadowed.
func (e *evidence) shadowEnd(d *history.Operation) time.Duration {
	fence := e.h.Fence
	skew := e.clockSkew(d.Invoke, d.Complete+fence)
	if fence == 0 {
		return d.Invoke - skew - e.clockTolerance()
	}
	skew += e.expirySkew(d.Invoke, d.Complete+fence) // wrong node clocks may end the fence marker early
	if e.h.Watched {
		skew += e.clockTolerance()
	}
	return min(d.Complete, d.Invoke+tombstoneLead) + fence - time.Second - skew
}

// promises reports whether the client was told that the key is deleted, at least in its own datacentre.
func (d *deletion) promises() bool { return d.outcome == history.OK || d.outcome == history.Local }

// invariant returns the invariant that the delete belongs to.
func (d *deletion) invariant() string {
	if d.outcome == history.Local {
		return "I2"
	}
	return "I1"
}

// inForce returns from when a delete, or the change of a password, is in force in a datacentre.
func (e *evidence) inForce(d *history.Operation, dc string) time.Duration {
	if d.DC == dc || d.Outcome() == history.OK {
		return d.Complete
	}
	return e.replayedBy(d)
}

// activeDelete returns the delete with the longest shadow of those that are in force when o starts.
func (e *evidence) activeDelete(k *key, o *history.Operation) (*deletion, bool) {
	return largest(k.deletes, func(d *deletion) bool {
		return d.promises() && (o.Final && d.Complete < o.Invoke || !o.Final && e.inForce(d.Operation, o.DC) < o.Invoke)
	}, shadowEnd)
}

func shadowEnd(d *deletion) time.Duration { return d.shadowEnd }

// verifyNotShadowed checks I1 and I2 for a get.
func (e *evidence) verifyNotShadowed(k *key, g *history.Operation) {
	d, ok := e.activeDelete(k, g)
	if !ok {
		return
	}
	e.count(d.invariant(), 1)
	if s := e.versions[g.Version]; s != nil && g.Version > 0 && s.arrivedBy <= d.shadowEnd {
		e.violation(d.invariant(), g.Invoke, ids(d.ID, s.ID, g.ID), "get %d in %s, started at %s, returned set %d of %s although delete %d in %s had been answered %s at %s",
			g.ID, g.DC, clock(g.Invoke), s.ID, clock(s.Invoke), d.ID, d.DC, answer(d.Operation), clock(d.Complete))
	}
}

// verifySetsAfterDelete checks I1 and I2 for sets that the fence must refuse.
func (e *evidence) verifySetsAfterDelete(k *key) {
	if len(k.deletes) == 0 {
		return
	}
	for _, s := range k.operations {
		if s.Method != history.Set || !s.Answered() {
			continue
		}
		d, ok := e.activeDelete(k, s)
		if !ok || s.Complete > d.shadowEnd {
			continue
		}
		e.count(d.invariant(), 1)
		if s.Outcome() == history.OK {
			e.violation(d.invariant(), s.Invoke, ids(d.ID, s.ID), "set %d in %s, started at %s, was acknowledged although delete %d in %s had been answered %s at %s and the fence is %s",
				s.ID, s.DC, clock(s.Invoke), d.ID, d.DC, answer(d.Operation), clock(d.Complete), e.h.Fence)
		}
	}
}

// verifyReplicaDeletes checks I1 and I2 for a version that some replicas of a datacentre hold at the end. After a delete
// at quorum, less than a quorum of the replicas may lack the tombstone.
func (e *evidence) verifyReplicaDeletes(v replicaVersion, holding, replicas int) {
	k, s := e.byName[v.key], e.versions[v.version]
	d, ok := largest(k.deletes, (*deletion).promises, shadowEnd)
	if !ok {
		return
	}
	e.count(d.invariant(), 1)
	if withoutTombstone := replicas - (replicas/2 + 1); holding > withoutTombstone && s.arrivedBy <= d.shadowEnd {
		e.violation(d.invariant(), e.end, ids(d.ID, s.ID), "at the end %d of %d replicas in %s hold set %d, although delete %d in %s was answered %s at %s",
			holding, replicas, v.dc, s.ID, d.ID, d.DC, answer(d.Operation), clock(d.Complete))
	}
}
