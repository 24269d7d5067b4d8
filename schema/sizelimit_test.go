package schema_test

import (
	"testing"
)

func TestCheck_WarnsOfLimitsBelowLargestValue(t *testing.T) {
	const mib = 1 << 20
	const want = ": want at least 2113536 bytes, because a value may have 2097152 bytes (max_value_bytes), have "
	for name, c := range map[string]struct {
		settings map[string]any
		want     []string
		remedy   string
	}{
		"defaults of Cassandra 5.0": {settings: map[string]any{
			"max_mutation_size": "16384KiB", "native_transport_max_frame_size": "16MiB", "native_transport_max_request_data_in_flight": "51897958B",
			"column_value_size_fail_threshold": "", "max_value_size": "256MiB", "internode_max_message_size": "134217728B",
		}},
		"no limit is known":       {},
		"equal to what is needed": {settings: map[string]any{"native_transport_max_message_size": "2113536B"}},
		"one byte too small": {
			settings: map[string]any{"native_transport_max_message_size": "2113535B"},
			want:     []string{"setting native_transport_max_message_size" + want + "2113535B"},
			remedy:   "set native_transport_max_message_size: 3MiB in the cassandra.yaml of every node",
		},
		"small commit log segments": {
			settings: map[string]any{"max_mutation_size": "2048KiB", "max_mutation_size_in_kb": "2048"},
			want:     []string{"setting max_mutation_size" + want + "2048KiB"},
			remedy:   "commitlog_segment_size, in Cassandra 4.0 commitlog_segment_size_in_mb, so set that to at least twice as much",
		},
		"names of Cassandra 4.0": {
			settings: map[string]any{"max_mutation_size_in_kb": "1024", "native_transport_max_frame_size_in_mb": "1", "max_value_size_in_mb": "256",
				"native_transport_max_concurrent_requests_in_bytes_per_ip": "1000000", "internode_max_message_size_in_bytes": "-1"},
			want: []string{"setting max_mutation_size_in_kb" + want + "1024KiB", "setting native_transport_max_frame_size_in_mb" + want + "1MiB",
				"setting native_transport_max_concurrent_requests_in_bytes_per_ip" + want + "1000000B"},
			remedy: "set max_mutation_size_in_kb: 3072 in the cassandra.yaml of every node",
		},
		"a guardrail": {
			settings: map[string]any{"column_value_size_fail_threshold": "1MiB"},
			want:     []string{"setting column_value_size_fail_threshold" + want + "1MiB"}, remedy: "or lower max_value_bytes",
		},
		"a limit that cannot be parsed is no limit": {settings: map[string]any{"max_mutation_size": "a lot", "max_value_size": "9223372036854775807MiB", "internode_max_message_size": "MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := asWanted(t)
			for name, value := range c.settings {
				f.settings[name] = value
			}
			s := twoTables()
			s.Tables[0].MaxValueBytes, s.Tables[1].MaxValueBytes = 2*mib, mib
			warnings(t, f, s, c.want, c.remedy)
		})
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"16MiB", "8192KiB", "134217728B", "1GiB", "5", "", "MiB", "-1MiB", "99999999999999999999B"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cassandra, s := asWanted(t), twoTables()
		cassandra.settings["max_value_size"] = text
		s.Tables[0].MaxValueBytes = 1
		if found := check(t, cassandra, s); len(found.texts) > 1 {
			t.Errorf("%q: Check says %q", text, found.texts)
		}
	})
}
