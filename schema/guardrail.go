package schema

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"userinfo/store"
)

const (
	// maximumTimestamp is how far a timestamp may be ahead of Cassandra's clock. A delete writes a timestamp that is ahead by
	// store.TombstoneLead. (Cassandra 5.0.9 does not check statements in a batch, which a delete is. Other versions may.)
	maximumTimestamp = "maximum_timestamp_fail_threshold"
	// minimumTimestamp is how far a timestamp may be behind Cassandra's clock. A touch keeps the timestamp of its value, so
	// the timestamp of a value that is touched again and again gets arbitrarily old.
	minimumTimestamp = "minimum_timestamp_fail_threshold"
)

// inEveryNode is the end of each remedy that changes a setting of Cassandra.
const inEveryNode = " in the cassandra.yaml of every node, and restart them one by one"

// inspectGuardrails checks the guardrails that could make Cassandra refuse the service's timestamps. Guardrails apply to
// every role except superusers, and not every version has them.
func inspectGuardrails(s Spec, settings nodeSettings) (found []finding) {
	var lead time.Duration
	for _, t := range s.Tables {
		lead = max(lead, store.TombstoneLead(t.Fence))
	}
	highest := settings[maximumTimestamp]
	if limit, ok := parseDuration(highest); highest != "" && (!ok || limit <= lead) {
		found = append(found, forOperator("setting "+maximumTimestamp,
			fmt.Sprintf("none, or more than %v, because the tombstone of a delete is that far in the future", lead), highest, "remove or raise it"+inEveryNode))
	}
	if lowest := settings[minimumTimestamp]; lowest != "" {
		found = append(found, forOperator("setting "+minimumTimestamp,
			"none, because a touch keeps the timestamp of its value", lowest, "remove it"+inEveryNode))
	}
	return found
}

// parseDuration parses a duration of Cassandra: a whole number and one unit, for example 90s or 10d
// (org.apache.cassandra.config.DurationSpec). A duration longer than Go's 292 years becomes 292 years.
func parseDuration(text string) (time.Duration, bool) {
	unit := strings.TrimLeft(text, "0123456789")
	n, err := strconv.ParseInt(strings.TrimSuffix(text, unit), 10, 64)
	one := map[string]time.Duration{
		"d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second,
		"ms": time.Millisecond, "us": time.Microsecond, "µs": time.Microsecond, "ns": time.Nanosecond,
	}[unit]
	if err != nil || one == 0 {
		return 0, false
	}
	if n > math.MaxInt64/int64(one) {
		return math.MaxInt64, true
	}
	return time.Duration(n) * one, true
}
