package judge

import (
	"time"

	"userinfo/drill/history"
)

// verifyAbsence checks I6 for a get or touch that was answered 404.
func (e *evidence) verifyAbsence(k *key, o *history.Operation) {
	s, ok := k.newestSet(o.DC, o.Invoke)
	if !ok || k.firstDelete < o.Complete {
		return
	}
	e.count("I6", 1)
	if e.definitelyAlive(k, s, o) {
		e.violation("I6", o.Invoke, ids(s.ID, o.ID), "%s %d in %s, started at %s, was answered 404, although set %d was acknowledged there at %s, nothing deleted the key and the value cannot have expired",
			o.Method, o.ID, o.DC, clock(o.Invoke), s.ID, clock(s.Complete))
	}
}

// definitelyAlive reports whether the value that o reads lives until o ends, whichever write is current. The set s was
// acknowledged before o started and has reached the datacentre of o.
func (e *evidence) definitelyAlive(k *key, s *write, o *history.Operation) bool {
	return o.Complete+ttlRounding+e.expirySkew(0, o.Complete) < e.earliestCurrentExpiry(k, s, o)
}

// earliestCurrentExpiry returns the earliest expiry of all writes that can be current when o reads. These are s, the sets
// that are not definitely older than s, and the touches of all these sets. After a touch was acknowledged in the datacentre
// of s, the writes before it no longer count: the touch has extended their lives.
func (e *evidence) earliestCurrentExpiry(k *key, s *write, o *history.Operation) time.Duration {
	from := s.Invoke - e.clockTolerance() - e.clockSkew(0, o.Complete)
	local := func(w *write) bool { return w.DC == s.DC }
	earliest := min(
		k.unknownTouchExpiry(o.Complete),
		earliestExpiry(k.sets, func(w *write) bool { return !(local(w) && w.acknowledged()) && w.arrivedBy >= from }),
		earliestExpiry(k.touches, func(w *write) bool { return !local(w) && w.Answered() && w.Complete >= from }),
	)
	seen := o.Invoke
	if s.DC != o.DC {
		seen -= replicationDelay
	}
	if t, ok := k.newestTouch(s.DC, seen); ok && t.Invoke > s.Complete {
		from = t.Invoke
		earliest = min(earliest, e.touchedUntil(t))
	}
	return min(earliest,
		earliestExpiry(k.sets, func(w *write) bool { return local(w) && w.acknowledged() && w.Complete >= from }),
		earliestExpiry(k.touches, func(w *write) bool { return local(w) && w.Answered() && w.Complete >= from }),
	)
}

// touchedUntil returns the earliest expiry after an acknowledged touch. A touch writes nothing if the remaining time is
// within the touch slack.
func (e *evidence) touchedUntil(t *write) time.Duration {
	return t.Invoke + time.Duration((1-e.h.TouchSlack)*float64(seconds(t.TTL)))
}
