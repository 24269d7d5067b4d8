package config

import (
	"strings"
	"testing"
)

func TestLimits_ValidateRejects(t *testing.T) {
	testMistakes(t, []mistake{
		{"negative limit of requests in flight", sessions, sessions + "\nlimits: {max_in_flight: -1}", "u.yaml:11: limits.max_in_flight: must be at least 1"},
		{"limit per client above the total", sessions, sessions + "\nlimits: {max_in_flight: 10, per_client: {max_in_flight: 11}}", "u.yaml:11: limits.per_client.max_in_flight: must be at most limits.max_in_flight, which is 10"},
		{"limit of a client above the total", "    grants: [sessions:get]", "    limits: {max_in_flight: 1025}\n    grants: [sessions:get]", "u.yaml:15: clients[0].limits.max_in_flight: must be at most limits.max_in_flight, which is 1024"},
		{"negative limit of connections", sessions, sessions + "\nlimits: {max_connections: -1}", "u.yaml:11: limits.max_connections: must be at least 1"},
		{"share of unauthenticated connections above the total", sessions, sessions + "\nlimits: {max_connections: 10, max_unauthenticated_connections: 11}", "u.yaml:11: limits.max_unauthenticated_connections: must be from 1 to limits.max_connections, which is 10"},
		{"negative share of an address", sessions, sessions + "\nlimits: {max_connections_per_address: -1}", "u.yaml:11: limits.max_connections_per_address: must be from 1 to limits.max_connections, which is 16384"},
		{"connections per client above the total", sessions, sessions + "\nlimits: {max_connections: 10, per_client: {max_connections: 11}}", "u.yaml:11: limits.per_client.max_connections: must be at most limits.max_connections, which is 10"},
		{"idle timeout that is too short", sessions, sessions + "\nlimits: {idle_timeout: 4999ms}", "u.yaml:11: limits.idle_timeout: must be from 5s to 24h"},
		{"idle timeout that is too long", sessions, sessions + "\nlimits: {idle_timeout: 86401s}", "u.yaml:11: limits.idle_timeout: must be from 5s to 24h"},
		{"idle timeout of 0", sessions, sessions + "\nlimits: {idle_timeout: 0s}", "u.yaml:11: limits.idle_timeout: cannot be 0"},
		{"bytes in flight below one largest value", sessions, sessions + "\nlimits: {max_bytes_in_flight: 4194303}", "u.yaml:11: limits.max_bytes_in_flight: must be at least 4194304, 4 times the largest max_value_bytes (1048576)"},
		{"bytes in flight of clients below one largest value", sessions, sessions + "\nlimits: {per_client: {max_bytes_in_flight: 1}}", "u.yaml:11: limits.per_client.max_bytes_in_flight: must be at least 4194304"},
		{"bytes in flight of a client below one largest value", "    grants: [sessions:get]", "    limits: {max_bytes_in_flight: 1}\n    grants: [sessions:get]", "u.yaml:15: clients[0].limits.max_bytes_in_flight: must be at least 4194304"},
		{"bytes in flight of clients above the total", sessions, sessions + "\nlimits: {max_bytes_in_flight: 5000000, per_client: {max_bytes_in_flight: 5000001}}", "u.yaml:11: limits.per_client.max_bytes_in_flight: must be at most limits.max_bytes_in_flight, which is 5000000"},
		{"negative bytes in flight", sessions, sessions + "\nlimits: {max_bytes_in_flight: -1}", "u.yaml:11: limits.max_bytes_in_flight: must be at least 4194304"},
		{"negative misses per minute", sessions, sessions + "\nlimits: {per_client: {misses_per_minute: -1}}", "u.yaml:11: limits.per_client.misses_per_minute: must be at least 1"},
	})
}

func TestConfig_ByteLimits(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, test := range []struct {
		name, limits  string
		maxValue      int64
		memory        int64
		total, client int
		tooSmall      bool
	}{
		{name: "no memory limit", maxValue: mib, total: gib, client: gib / 2},
		{name: "half of the memory limit", maxValue: mib, memory: 512 * mib, total: 256 * mib, client: 128 * mib},
		{name: "a client can set the largest value", maxValue: 16 * mib, memory: 200 * mib, total: 128 * mib, client: 64 * mib, tooSmall: true},
		{name: "configured", limits: "{max_bytes_in_flight: 8388608}", maxValue: mib, memory: gib, total: 8 * mib, client: 4 * mib},
		{name: "configured for one value", limits: "{max_bytes_in_flight: 4194304}", maxValue: mib, memory: gib, total: 4 * mib, client: 4 * mib},
		{name: "configured too large", limits: "{max_bytes_in_flight: 1073741824, per_client: {max_bytes_in_flight: 4194304}}", maxValue: mib, memory: gib, total: gib, client: 4 * mib, tooSmall: true},
	} {
		text := minimal
		if test.limits != "" {
			text += "limits: " + test.limits + "\n"
		}
		c, err := Parse("u.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		c.Collections[0].MaxValueBytes = test.maxValue
		got := c.ByteLimits(test.memory)
		if got.Total != test.total || got.PerClient != test.client || (got.TooSmall != "") != test.tooSmall {
			t.Errorf("%s: %+v", test.name, got)
		}
		if test.tooSmall && !strings.Contains(got.TooSmall, "more memory") {
			t.Errorf("%s: %s", test.name, got.TooSmall)
		}
	}
}
