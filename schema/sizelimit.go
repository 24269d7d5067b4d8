package schema

import (
	"fmt"
	"strconv"
	"strings"

	"userinfo/store"
)

// sizeLimit is a setting of Cassandra that limits the size of a value, directly or indirectly.
type sizeLimit struct {
	name    string
	oldName string // the name in Cassandra 4.0, if it differs; its values have no unit
	oldUnit string // the unit of oldName
	advice  string // added to the remedy
}

var sizeLimits = []sizeLimit{
	{"max_mutation_size", "max_mutation_size_in_kb", "KiB", " (the default is half of commitlog_segment_size, in Cassandra 4.0 commitlog_segment_size_in_mb, so set that to at least twice as much)"},
	{"native_transport_max_frame_size", "native_transport_max_frame_size_in_mb", "MiB", ""},
	{"native_transport_max_message_size", "", "", ""},
	{"native_transport_max_request_data_in_flight", "native_transport_max_concurrent_requests_in_bytes", "B", ""},
	{"native_transport_max_request_data_in_flight_per_ip", "native_transport_max_concurrent_requests_in_bytes_per_ip", "B", ""},
	{"internode_max_message_size", "internode_max_message_size_in_bytes", "B", ""},
	{"column_value_size_fail_threshold", "", "", ""},
	{"max_value_size", "max_value_size_in_mb", "MiB", ""},
}

// inspectSizeLimits checks that Cassandra accepts the largest value of every table.
func inspectSizeLimits(s Spec, settings nodeSettings) (found []finding) {
	var largest int64
	for _, t := range s.Tables {
		largest = max(largest, t.MaxValueBytes)
	}
	if largest == 0 {
		return nil
	}
	need := largest + store.ValueOverhead
	for _, l := range sizeLimits {
		name, text := l.name, settings[l.name]
		if text == "" && settings[l.oldName] != "" {
			name, text = l.oldName, settings[l.oldName]+l.oldUnit
		}
		limit, ok := parseSize(text)
		if !ok || limit >= need {
			continue
		}
		found = append(found, warning("setting "+name,
			fmt.Sprintf("at least %d bytes, because a value may have %d bytes (max_value_bytes)", need, largest), text,
			fmt.Sprintf("set %s: %s%s%s, or lower max_value_bytes", name, l.enough(name, need), inEveryNode, l.advice)))
	}
	return found
}

// enough returns a value of the setting for at least need bytes, in whole MiB.
func (l sizeLimit) enough(name string, need int64) string {
	const mib = 1 << 20
	size := (need + mib - 1) / mib
	if name == l.name {
		return fmt.Sprintf("%dMiB", size)
	}
	return strconv.FormatInt(size<<20>>unitShift[l.oldUnit], 10)
}

// unitShift has Cassandra's units of sizes, as powers of 2.
var unitShift = map[string]int{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30}

// parseSize parses a size of Cassandra: a whole number above 0 and one unit, for example 16MiB
// (org.apache.cassandra.config.DataStorageSpec). ok is false for other texts and for sizes above 2^62: they are no limit.
func parseSize(text string) (size int64, ok bool) {
	unit := strings.TrimLeft(text, "0123456789")
	n, err := strconv.ParseInt(strings.TrimSuffix(text, unit), 10, 64)
	shift, known := unitShift[unit]
	if err != nil || !known || n <= 0 || n > 1<<62>>shift {
		return 0, false
	}
	return n << shift, true
}
