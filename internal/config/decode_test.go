package config

import (
	"strings"
	"testing"
	"time"
)

func TestDecoder_RejectsValue(t *testing.T) {
	testMistakes(t, []mistake{
		{"unknown field", "listen:", "lisen:", `u.yaml:1: there is no field "lisen" here`},
		{"unknown field inside", sessions, sessions + "\n    ttl: 24h", `u.yaml:11: collections[0]: there is no field "ttl" here`},
		{"a field that would use memory", sessions, sessions + "\nstore: memory", `u.yaml:11: there is no field "store" here`},
		{"a field that would turn TLS off", "tls: {certificate: server.crt,", "tls: {insecure: true, certificate: server.crt,", `u.yaml:2: tls: there is no field "insecure" here`},
		{"a field that would turn verification off", "tls: {ca: ca.crt}", "tls: {ca: ca.crt, verify: false}", `u.yaml:8: cassandra.tls: there is no field "verify" here`},
		{"a field that would allow everything", "grants: [sessions:get]", "grants: [sessions:get]\n    allow: true", `u.yaml:16: clients[0]: there is no field "allow" here`},
		{"a field for the password itself", "password_file: password", "password: hunter2", `u.yaml:7: cassandra: there is no field "password" here`},
		{"field given twice", "  username: userinfo", "  username: a\n  username: hunter2", "u.yaml:7: cassandra.username: this field is there already, in line 6"},
		{"text for a number", "hosts:", "port: hunter2\n  hosts:", "u.yaml:4: cassandra.port: expected a whole number, found text"},
		{"text with line ends for a number", "hosts:", "port: \"\\nhunter2\"\n  hosts:", "u.yaml:4: cassandra.port: expected a whole number, found text"},
		{"number without a unit", sessions, sessions + "\n    fence: 60", "u.yaml:11: collections[0].fence: expected a duration such as 60s or 24h, found a number"},
		{"text for a duration", sessions, sessions + "\n    fence: hunter2", "u.yaml:11: collections[0].fence: expected a duration such as 60s or 24h, found text"},
		{"an unknown unit", sessions, sessions + "\n    fence: 7d", "u.yaml:11: collections[0].fence: expected a duration such as 60s or 24h, found text"},
		{"text for a list", "hosts: [127.0.0.1]", "hosts: hunter2", "u.yaml:4: cassandra.hosts: expected a list, found text"},
		{"list for text", "username: userinfo", "username: [hunter2]", "u.yaml:6: cassandra.username: expected text, found a list"},
		{"fields for text", "username: userinfo", "username: {hunter2: x}", "u.yaml:6: cassandra.username: expected text, found a group of fields"},
		{"text for fields", "tls: {ca: ca.crt}", "tls: hunter2", "u.yaml:8: cassandra.tls: expected a group of fields, each NAME: VALUE, found text"},
		{"fields for a grant", "grants: [sessions:get]", "grants: [sessions: get]", "u.yaml:15: clients[0].grants[0]: expected text, found a group of fields"},
		{"an anchor inside itself", "hosts: [127.0.0.1]", "hosts: &hunter2 [*hunter2]", "u.yaml:4: cassandra.hosts[0]: expected text, found a list"},
		{"a tag that does not fit the value", "hosts:", "port: !!int hunter2\n  hosts:", "u.yaml:4: cassandra.port: expected a whole number"},
		{"datacentre with no replica", "hosts:", "replication: {dc1: 3, dc2: 0}\n  hosts:", "u.yaml:4: cassandra.replication.dc2: cannot be 0"},
		{"TTL of 0", sessions, sessions + "\n    default_ttl: 0s", "u.yaml:11: collections[0].default_ttl: cannot be 0"},
		{"port of 0", "cassandra:\n", "cassandra:\n  port: 0\n", "u.yaml:4: cassandra.port: cannot be 0"},
		{"0 in hexadecimal", sessions, sessions + "\nlimits: {max_in_flight: 0x0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"0 in octal", sessions, sessions + "\nlimits: {max_in_flight: 0o0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"0 in binary", sessions, sessions + "\nlimits: {max_in_flight: 0b0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"0 with a fraction", sessions, sessions + "\nlimits: {max_in_flight: 0.0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"0 without the first digit", sessions, sessions + "\nlimits: {max_in_flight: .0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"0 with an exponent", sessions, sessions + "\nlimits: {max_in_flight: 0e9}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"negative 0", sessions, sessions + "\nlimits: {max_in_flight: -0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"text for a touch slack", sessions, sessions + "\n    touch_slack: 1%", "u.yaml:11: collections[0].touch_slack: expected a number such as 0.01, found text"},
		{"no value in a list", zeroHash, zeroHash + "\n        networks:\n          -", "u.yaml:16: clients[0].tokens[0].networks[0]: there is no value; give one or remove the line"},
		{"no value for a list", zeroHash, zeroHash + "\n        networks:", "u.yaml:15: clients[0].tokens[0].networks: there is no value; give one or remove the line"},
		{"null for a text", "password_file: password", "password_file: ~", "u.yaml:7: cassandra.password_file: there is no value; give one or remove the line"},
		{"one text for the list of seal keys", "keys: [seal.key]", "keys: hunter2", "u.yaml:17: seal.keys: expected a list, found text"},
		{"a field that would turn sealing off", "index_key: index.key", "off: true, index_key: index.key", `u.yaml:17: seal: there is no field "off" here`},
		{"text for an alternative", "metrics: [{token: true}]", "metrics: [hunter2]", "u.yaml:18: audiences.metrics[0]: expected a group of fields, each NAME: VALUE, found text"},
		{"text for a protection", "metrics: [{token: true}]", "metrics: [{token: hunter2}]", "u.yaml:18: audiences.metrics[0].token: expected true or false, found text"},
		{"an unknown protection", "metrics: [{token: true}]", "metrics: [{password: true}]", `u.yaml:18: audiences.metrics[0]: there is no field "password" here`},
		{"limit of 0", sessions, sessions + "\nlimits: {per_client: {misses_per_minute: 0}}", "u.yaml:11: limits.per_client.misses_per_minute: cannot be 0"},
	})
}

func TestDecoder_ListsPossibleFieldsMostSimilarFirst(t *testing.T) {
	for name, want := range map[string]string{
		"lisen":      "most similar first: listen, ",
		"client":     "most similar first: clients, ",
		"proxy":      "most similar first: proxies, ",
		"log_levels": "most similar first: log_level, ",
		"":           "most similar first: ",
	} {
		err := parseError(t, minimal+`"`+name+`": x`+"\n")
		if !strings.Contains(err, want) {
			t.Errorf("%q: %s", name, err)
		}
		for _, field := range []string{"listen", "tls", "cassandra", "seal", "collections", "audiences", "proxies", "clients", "signatures", "audit", "limits", "shutdown", "log_level"} {
			if !strings.Contains(err, field) {
				t.Errorf("%q: %s is not listed: %s", name, field, err)
			}
		}
	}
}

func TestDecoder_DoesNotReportConsequences(t *testing.T) {
	for _, test := range []struct{ old, new string }{
		{"listen:", "lisen:"},
		{"hosts: [127.0.0.1]", "hosts: text"},
		{"tls: {ca: ca.crt}", "tls: text"},
		{"grants: [sessions:get]", "grants: text"},
		{"grants: [sessions:get]", "grant: [sessions:get]"},
		{"sessions: [{token: true}]", "sessions: [{token: text}]"},
	} {
		err := parseError(t, strings.Replace(minimal, test.old, test.new, 1))
		if strings.Count(err, "u.yaml:") != 1 {
			t.Errorf("%s: more than one mistake:\n%s", test.new, err)
		}
	}
}

func TestDecoder_SupportsAnchorsAndMergeKeys(t *testing.T) {
	f, err := Parse("u.yaml", []byte(strings.Replace(minimal, "- name: sessions",
		"- &base {name: sessions, default_ttl: 1h}\n  - {<<: *base, name: other, path: /other, table: other}\n  - {<<: [*base], name: third, default_ttl: 2h, max_ttl: 2h, path: /third, table: third}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Collections) != 3 || f.Collections[1].Name != "other" || f.Collections[1].DefaultTTL != time.Hour || f.Collections[2].DefaultTTL != 2*time.Hour {
		t.Errorf("collections %+v", f.Collections)
	}
}

func TestDecoder_LimitsExpansionOfAliases(t *testing.T) {
	text := strings.Builder{}
	text.WriteString("clients:\n  - &c\n    name: a\n    keys: &k [" + strings.Repeat("x, ", 2000) + "x]\n")
	text.WriteString(strings.Repeat("  - *c\n", 2000))
	if err := parseError(t, text.String()); !strings.Contains(err, "too large, with its aliases expanded") {
		t.Errorf("%.200s", err)
	}
}

func TestDistance_CountsChangedLetters(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"", "abc", 3}, {"abc", "", 3}, {"lisen", "listen", 1}, {"kitten", "sitting", 3}, {"ttl", "default_ttl", 1}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) is %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
