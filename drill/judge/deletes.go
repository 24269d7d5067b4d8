package judge

import (
	"fmt"
	"time"

	"userinfo/drill/history"
)

// hidingDelete is a delete whose answer is a promise.
type hidingDelete struct {
	*history.Operation
	hides time.Duration // sets that arrive until then are hidden by it
}

// hiding orders the key's deletes that promise something by when they count.
func (e *evidence) hiding(k *key, counts func(*history.Operation) time.Duration) leaders[*hidingDelete] {
	var promises []*hidingDelete
	for _, d := range k.deletes {
		if o := d.Outcome(); o == history.OK || o == history.Local {
			promises = append(promises, &hidingDelete{d, e.hides(d)})
		}
	}
	return newLeaders(promises,
		func(d *hidingDelete) time.Duration { return counts(d.Operation) },
		func(d *hidingDelete) time.Duration { return d.hides })
}

// hides is until when the sets arrive that a delete hides: its tombstone lies the fence in the future. Without a fence only
// what is older counts.
func (e *evidence) hides(d *history.Operation) time.Duration {
	fence := e.h.Fence
	wrong := e.clockSkew(d.Invoke, d.Complete+fence)
	if fence == 0 {
		return d.Invoke - wrong - e.apart()
	}
	wrong += e.expirySkew(d.Invoke, d.Complete+fence) // nodes' clocks may end the marker early
	if e.h.Watched {
		wrong += e.apart()
	}
	return min(d.Complete, d.Invoke+deleting) + fence - time.Second - wrong
}

// countsFrom is from when a delete counts in a datacentre.
func (e *evidence) countsFrom(d *history.Operation, dc string) time.Duration {
	if d.DC == dc || d.Outcome() == history.OK {
		return d.Complete
	}
	return e.settled(d)
}

// hider gives the delete that counts for o and hides most.
func (e *evidence) hider(k *key, o *history.Operation) (*hidingDelete, bool) {
	if len(k.deletes) == 0 {
		return nil, false
	}
	if o.Final {
		return k.ever.before(o.Invoke)
	}
	return e.in(o.DC, k).deletes.before(o.Invoke)
}

// promise is the invariant that a delete is judged by.
func (d *hidingDelete) promise() string {
	if d.Outcome() == history.Local {
		return "I2"
	}
	return "I1"
}

// judgeHidden is I1 and I2 for a get.
func (e *evidence) judgeHidden(k *key, g *history.Operation) {
	d, ok := e.hider(k, g)
	if !ok {
		return
	}
	e.checked(d.promise())
	if s := e.versions[g.Version]; s != nil && g.Version > 0 && s.arrives <= d.hides {
		e.broken(d.promise(), g.Invoke, fmt.Sprintf("get %d in %s, begun at %s, returned set %d of %s although delete %d in %s had been answered %s at %s",
			g.ID, g.DC, at(g.Invoke), s.ID, at(s.Invoke), d.ID, d.DC, answer(d.Operation), at(d.Complete)), d.ID, s.ID, g.ID)
	}
}

// judgeSets is I1 and I2 for sets that the fence has to refuse.
func (e *evidence) judgeSets(k *key) {
	for _, s := range k.all {
		if s.Method != history.Set || !s.Answered() {
			continue
		}
		d, ok := e.hider(k, s)
		if !ok || s.Complete > d.hides {
			continue
		}
		e.checked(d.promise())
		if s.Outcome() == history.OK {
			e.broken(d.promise(), s.Invoke, fmt.Sprintf("set %d in %s, begun at %s, was acknowledged although delete %d in %s had been answered %s at %s and its fence is %s",
				s.ID, s.DC, at(s.Invoke), d.ID, d.DC, answer(d.Operation), at(d.Complete), e.h.Fence), d.ID, s.ID)
		}
	}
}

// notePending tells how long deletes stayed pending after a fault.
func (e *evidence) notePending() {
	longest, name := time.Duration(-1), ""
	for i, f := range e.faults {
		until := forever
		if i+1 < len(e.faults) {
			until = e.faults[i+1].Begin
		}
		for _, s := range e.h.Samples {
			if s.Pending > 0 && s.At > f.End && s.At < until && s.At-f.End > longest {
				longest, name = s.At-f.End, f.Name
			}
		}
	}
	if longest >= 0 {
		e.note("I2", fmt.Sprintf("deletes were pending for up to %s after a fault (%s)", longest.Round(100*time.Millisecond), name))
	}
}

func answer(o *history.Operation) string {
	if o.Problem != "" {
		return fmt.Sprintf("%d %s", o.Status, o.Problem)
	}
	return fmt.Sprint(o.Status)
}

// at prints a time of the history.
func at(t time.Duration) string { return fmt.Sprintf("%.3f s", t.Seconds()) }
