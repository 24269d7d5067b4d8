package config

import "testing"

func TestConfig_ValidateRejects(t *testing.T) {
	testMistakes(t, []mistake{
		{"no port", "listen: 127.0.0.1:8443", "listen: 127.0.0.1", "u.yaml:1: listen: give host:port"},
		{"empty port", "listen: 127.0.0.1:8443", "listen: '127.0.0.1:'", "u.yaml:1: listen: give host:port"},
		{"a URL", "listen: 127.0.0.1:8443", "listen: https://127.0.0.1:8443", "u.yaml:1: listen: give host:port"},
		{"no clients", section("clients:", "seal:"), "", "u.yaml:1: clients: "},
		{"an empty list of clients", section("clients:", "seal:"), "clients: []\n", "u.yaml:11: clients: "},
		{"client without a credential", "    tokens:\n      - sha256: " + zeroHash + "\n", "", `u.yaml:12: clients[0]: `},
		{"client without a grant", "    grants: [sessions:get]\n", "", `u.yaml:12: clients[0].grants: `},
		{"client without keys", `    keys: ["*"]`, "", `u.yaml:12: clients[0].keys: `},
		{"unknown grant", "grants: [sessions:get]", "grants:\n      - sessions:get\n      - sessions:list", "u.yaml:17: clients[0].grants[1]: "},
		{"a token for a grant", "grants: [sessions:get]", "grants: [userinfo_hunter2]", "u.yaml:15: clients[0].grants[0]: "},
		{"a token for its zeroHash", zeroHash, "userinfo_hunter2", "u.yaml:14: clients[0].tokens[0].sha256: "},
		{"network with host bits", zeroHash, zeroHash + "\n        networks: [10.0.0.0/8, 10.1.2.3/8]", "u.yaml:15: clients[0].tokens[0].networks[1]: "},
		{"address for a network", zeroHash, zeroHash + "\n        networks: [10.1.2.3]", "u.yaml:15: clients[0].tokens[0].networks[0]: "},
		{"a token for a network", zeroHash, zeroHash + "\n        networks: [userinfo_hunter2]", "u.yaml:15: clients[0].tokens[0].networks[0]: "},
		{"an empty list of networks", zeroHash, zeroHash + "\n        networks: []", "u.yaml:15: clients[0].tokens[0].networks: "},
		{"one token for two clients", "    grants:", "    grants: [metrics:get]\n  - name: b\n    tokens: [{sha256: '" + zeroHash + "'}]\n    grants:", `u.yaml:17: clients[1].tokens[0].sha256: `},
		{"no audiences", section("audiences:", ""), "", "u.yaml:1: audiences: "},
		{"an unknown audience", "metrics: [{token", "metric: [{token", "u.yaml:18: audiences.metric: "},
		{"an audience open to everybody", "metrics: [{token: true}]", "metrics: [{allow: true}]", "u.yaml:18: audiences.metrics[0].allow: "},
		{"a collection open to a network without a client", "sessions: [{token: true}]", "sessions: [{network: [10.0.0.0/8]}]", "u.yaml:18: audiences.sessions[0]: "},
		{"a client certificate without a CA", "    grants: [sessions:get]", "    certificates: [{cn: x}]\n    grants: [sessions:get]", "u.yaml:15: clients[0].certificates[0]: "},
		{"negative limit of a client", "    grants: [sessions:get]", "    limits: {requests_per_second: -5}\n    grants: [sessions:get]", "u.yaml:15: clients[0].limits.requests_per_second: "},
		{"a signature key without an id", "    grants: [sessions:get]", "    signature_keys: [{file: x}]\n    grants: [sessions:get]", "u.yaml:15: clients[0].signature_keys[0].id: "},
		{"unknown log level", sessions, sessions + "\nlog_level: hunter2", "u.yaml:11: log_level: must be debug, info, warn or error"},
	})
}
