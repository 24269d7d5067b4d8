package store

import (
	"time"

	"userinfo/access"
)

// NotBefore ends the values under some keys that were set before a time. Get and Touch do not find them any more, whatever their
// TTL is, in every datacentre whose instances have the rule. So everybody can be logged out at once. Nothing is deleted: the
// values stay in the table until their TTL ends, and are found again without the rule.
//
// The timestamp of a set decides. It comes from the clock of the instance that served the set, and a touch does not change it by
// more than 1 µs.
type NotBefore struct {
	Keys access.KeyPatterns
	Time time.Time
}

// isEnded reports whether a rule ends a value with this write timestamp, in µs. It fails closed: a value without a timestamp is
// ended by every rule for its key.
func isEnded(rules []NotBefore, key access.Key, timestamp int64) bool {
	for _, r := range rules {
		if timestamp < r.Time.UnixMicro() && r.Keys.Match(key) {
			return true
		}
	}
	return false
}
