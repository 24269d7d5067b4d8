package config

import "testing"

func TestLimits_ValidateRejects(t *testing.T) {
	testMistakes(t, []mistake{
		{"negative limit of requests in flight", sessions, sessions + "\nlimits: {max_in_flight: -1}", "u.yaml:11: limits.max_in_flight: must be at least 1"},
		{"limit per client above the total", sessions, sessions + "\nlimits: {max_in_flight: 10, per_client: {max_in_flight: 11}}", "u.yaml:11: limits.per_client.max_in_flight: must be at most limits.max_in_flight, which is 10"},
		{"limit of a client above the total", "    grants: [sessions:get]", "    limits: {max_in_flight: 1025}\n    grants: [sessions:get]", "u.yaml:15: clients[0].limits.max_in_flight: must be at most limits.max_in_flight, which is 1024"},
		{"negative limit of connections", sessions, sessions + "\nlimits: {max_connections: -1}", "u.yaml:11: limits.max_connections: must be at least 1"},
		{"idle timeout that is too short", sessions, sessions + "\nlimits: {idle_timeout: 4999ms}", "u.yaml:11: limits.idle_timeout: must be from 5s to 24h"},
		{"idle timeout that is too long", sessions, sessions + "\nlimits: {idle_timeout: 86401s}", "u.yaml:11: limits.idle_timeout: must be from 5s to 24h"},
		{"idle timeout of 0", sessions, sessions + "\nlimits: {idle_timeout: 0s}", "u.yaml:11: limits.idle_timeout: cannot be 0"},
		{"negative misses per minute", sessions, sessions + "\nlimits: {per_client: {misses_per_minute: -1}}", "u.yaml:11: limits.per_client.misses_per_minute: must be at least 1"},
	})
}
