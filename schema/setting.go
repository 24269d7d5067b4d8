package schema

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// The furthest that a timestamp may lie ahead of Cassandra's clock. A delete writes one that lies ahead by the fence.
	// (5.0.9 looks at no statement of a batch, and such a delete is one; that is not to be relied on.)
	maximumTimestamp = "maximum_timestamp_fail_threshold"
	// The furthest that a timestamp may lie behind Cassandra's clock. A touch writes that of the value it keeps, and a
	// value that is touched again and again grows old.
	minimumTimestamp = "minimum_timestamp_fail_threshold"
)

// inspectSettings looks at the guardrails, of the node that answers, that would refuse the timestamps of the service.
// They hold for every role that is not a superuser. Not every version of Cassandra has them.
func inspectSettings(ctx context.Context, db DB, s Spec) (found []finding, err error) {
	const where = " in the cassandra.yaml of every node, and restart them one by one"
	var fence time.Duration
	for _, t := range s.Tables {
		fence = max(fence, t.Fence)
	}
	highest, err := readSetting(ctx, db, maximumTimestamp)
	if err != nil {
		return nil, err
	}
	if limit, ok := parseDuration(highest); highest != "" && (!ok || limit <= fence) {
		found = append(found, finding{Difference: Difference{"setting " + maximumTimestamp,
			fmt.Sprintf("none, or more than the fence of %v", fence), highest, "remove or raise it" + where}})
	}
	lowest, err := readSetting(ctx, db, minimumTimestamp)
	if err != nil {
		return nil, err
	}
	if lowest != "" {
		found = append(found, finding{Difference: Difference{"setting " + minimumTimestamp,
			"none, since a touch keeps the timestamp of its value", lowest, "remove it" + where}})
	}
	return found, nil
}

// parseDuration reads a duration as Cassandra prints it: a whole number and one unit, such as 90s or 10d
// (org.apache.cassandra.config.DurationSpec). What is beyond Go's 292 years is 292 years.
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
