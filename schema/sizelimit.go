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
	oldName string // the name in Cassandra 4.0, if it differs
	oldUnit int64  // the unit of oldName, in bytes
	advice  string // added to the remedy
}

var sizeLimits = []sizeLimit{
	{"max_mutation_size", "max_mutation_size_in_kb", 1 << 10, " (the default is half of commitlog_segment_size, so set commitlog_segment_size to at least twice as much)"},
	{"native_transport_max_frame_size", "native_transport_max_frame_size_in_mb", 1 << 20, ""},
	{"native_transport_max_message_size", "", 0, ""},
	{"native_transport_max_request_data_in_flight", "native_transport_max_concurrent_requests_in_bytes", 1, ""},
	{"native_transport_max_request_data_in_flight_per_ip", "native_transport_max_concurrent_requests_in_bytes_per_ip", 1, ""},
	{"internode_max_message_size", "internode_max_message_size_in_bytes", 1, ""},
	{"column_value_size_fail_threshold", "", 0, ""},
	{"max_value_size", "max_value_size_in_mb", 1 << 20, ""},
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
	const mib = 1 << 20
	need := largest + store.ValueOverhead
	for _, l := range sizeLimits {
		have, limit, ok := l.read(settings)
		if !ok || limit >= need {
			continue
		}
		found = append(found, warning("setting "+l.name,
			fmt.Sprintf("at least %d bytes, because a value may have %d bytes (max_value_bytes)", need, largest), have,
			fmt.Sprintf("set %s: %dMiB%s%s, or lower max_value_bytes", l.name, (need+mib-1)/mib, inEveryNode, l.advice)))
	}
	return found
}

// read returns the limit as Cassandra writes it and in bytes. ok is false if there is no limit.
func (l sizeLimit) read(settings nodeSettings) (text string, limit int64, ok bool) {
	if text = settings[l.name]; text != "" {
		limit, ok = parseSize(text)
	} else if text = settings[l.oldName]; text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		limit, ok = n*l.oldUnit, err == nil
	}
	return text, limit, ok && limit > 0
}

// parseSize parses a size of Cassandra: a whole number and one unit, for example 16MiB
// (org.apache.cassandra.config.DataStorageSpec). If it returns false, as for a size beyond Go's integers, there is no limit.
func parseSize(text string) (int64, bool) {
	unit := strings.TrimLeft(text, "0123456789")
	n, err := strconv.ParseInt(strings.TrimSuffix(text, unit), 10, 64)
	shift, known := map[string]int{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[unit]
	if err != nil || !known || n > 1<<62>>shift {
		return 0, false
	}
	return n << shift, true
}
