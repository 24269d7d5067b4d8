package config

import (
	"cmp"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// minimal is a right configuration with nothing in it that has a default.
const minimal = `listen: 127.0.0.1:8443
tls: {certificate: server.crt, key: server.key}
cassandra:
  hosts: [127.0.0.1]
  local_datacentre: dc1
  username: userinfo
  password_file: password
  tls: {ca: ca.crt}
collections:
  - name: sessions
clients:
  - name: wiki
    tokens:
      - sha256: 0000000000000000000000000000000000000000000000000000000000000000
    grants: [sessions:get]
    keys: ["*"]
seal: {index_key: index.key, keys: [seal.key]}
audiences: {sessions: [{token: true}], metrics: [{token: true}]}
`

func TestParse_AppliesDefaults(t *testing.T) {
	c, err := Parse("u.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	k := c.Collections[0]
	if c.Cassandra.Port != 9042 || c.Cassandra.Keyspace != "userinfo" || c.Limits != (Limits{1024, 20000, access.Limits{MaxInFlight: 512}}) || c.LogLevel != "info" ||
		*c.Shutdown.Drain != 2*time.Second || c.Shutdown.Grace != 5*time.Second {
		t.Errorf("the service's: %+v", c)
	}
	if k.Path != "/sessions/v1" || k.Table != "sessions" || k.Layout != store.LayoutUserInfo || k.DefaultTTL != 24*time.Hour ||
		k.MaxTTL != 24*time.Hour || *k.Fence != time.Minute || *k.TouchSlack != 0.01 || k.MaxValueBytes != 1<<20 {
		t.Errorf("the collection's: %+v", k)
	}
}

func TestParse_AcceptsZeroFenceTouchSlackAndDrain(t *testing.T) {
	c, err := Parse("u.yaml", []byte(strings.Replace(minimal, "- name: sessions", "- {name: sessions, fence: 0s, touch_slack: 0}", 1)+"shutdown: {drain: 0s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if k := c.Collections[0]; *k.Fence != 0 || *k.TouchSlack != 0 || *c.Shutdown.Drain != 0 {
		t.Errorf("fence %v, touch slack %v, drain %v", *k.Fence, *k.TouchSlack, *c.Shutdown.Drain)
	}
}

// parseError returns the error of Parse, which must fail and must not contain the secret hunter2.
func parseError(t *testing.T, text string) string {
	t.Helper()
	f, err := Parse("u.yaml", []byte(text))
	if f != nil || err == nil {
		t.Fatalf("got %v, %v; want an error", f, err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error contains a secret: %v", err)
	}
	return err.Error()
}

// mistake is a change of the minimal configuration, and the beginning of the only line of its error.
type mistake struct{ name, old, new, want string }

// err returns the error of the changed configuration.
func (m mistake) err(t *testing.T) string {
	t.Helper()
	text := strings.Replace(minimal, m.old, m.new, 1)
	if text == minimal {
		t.Fatalf("%q is not in the configuration", m.old)
	}
	err := parseError(t, text)
	if !strings.HasPrefix(err, m.want) {
		t.Errorf("got\n%s\nwant it to begin with\n%s", err, m.want)
	}
	return err
}

func TestParse_ReportsMistakeWithItsLine(t *testing.T) {
	const sessions, hash = "- name: sessions", "0000000000000000000000000000000000000000000000000000000000000000"
	seal := minimal[strings.Index(minimal, "seal:"):strings.Index(minimal, "audiences:")]
	for _, test := range []mistake{
		{"unknown field", "listen:", "lisen:", `u.yaml:1: there is no field "lisen" here`},
		{"unknown field inside", sessions, sessions + "\n    ttl: 24h", `u.yaml:11: collections[0]: there is no field "ttl" here`},
		{"a field for memory", sessions, sessions + "\nstore: memory", `u.yaml:11: there is no field "store" here`},
		{"a field for no TLS", "tls: {certificate: server.crt,", "tls: {insecure: true, certificate: server.crt,", `u.yaml:2: tls: there is no field "insecure" here`},
		{"a field for no verification", "tls: {ca: ca.crt}", "tls: {ca: ca.crt, verify: false}", `u.yaml:8: cassandra.tls: there is no field "verify" here`},
		{"a field for no access rule", "grants: [sessions:get]", "grants: [sessions:get]\n    allow: true", `u.yaml:16: clients[0]: there is no field "allow" here`},
		{"the password in a field", "password_file: password", "password: hunter2", `u.yaml:7: cassandra: there is no field "password" here`},
		{"field given twice", "  username: userinfo", "  username: a\n  username: hunter2", "u.yaml:7: cassandra.username: this field is there already, in line 6"},
		{"text for a number", "hosts:", "port: hunter2\n  hosts:", "u.yaml:4: cassandra.port: expected a whole number, found text"},
		{"text with line ends for a number", "hosts:", "port: \"\\nhunter2\"\n  hosts:", "u.yaml:4: cassandra.port: expected a whole number, found text"},
		{"number without a unit", sessions, sessions + "\n    fence: 60", "u.yaml:11: collections[0].fence: expected a duration such as 60s or 24h, found a number"},
		{"text for a duration", sessions, sessions + "\n    fence: hunter2", "u.yaml:11: collections[0].fence: expected a duration such as 60s or 24h, found text"},
		{"a unit that is none", sessions, sessions + "\n    fence: 7d", "u.yaml:11: collections[0].fence: expected a duration such as 60s or 24h, found text"},
		{"text for a list", "hosts: [127.0.0.1]", "hosts: hunter2", "u.yaml:4: cassandra.hosts: expected a list, found text"},
		{"list for text", "username: userinfo", "username: [hunter2]", "u.yaml:6: cassandra.username: expected text, found a list"},
		{"fields for text", "username: userinfo", "username: {hunter2: x}", "u.yaml:6: cassandra.username: expected text, found a group of fields"},
		{"text for fields", "tls: {ca: ca.crt}", "tls: hunter2", "u.yaml:8: cassandra.tls: expected a group of fields, each NAME: VALUE, found text"},
		{"fields for a grant", "grants: [sessions:get]", "grants: [sessions: get]", "u.yaml:15: clients[0].grants[0]: expected text, found a group of fields"},
		{"bad indentation", "  hosts:", " \thosts:", "u.yaml:4: this is not valid YAML: indent with spaces, not with tabs"},
		{"a value with a colon", "listen: 127.0.0.1:8443", "listen: a: hunter2", "u.yaml:1: this is not valid YAML: mapping value is not allowed in this context"},
		{"a value with a star", "username: userinfo", "username: *hunter2", "u.yaml:6: no anchor has this name; put quotes around a value that begins with *"},
		{"an anchor inside itself", "hosts: [127.0.0.1]", "hosts: &hunter2 [*hunter2]", "u.yaml:4: cassandra.hosts[0]: expected text, found a list"},
		{"a list that does not end", "hosts: [127.0.0.1]", "hosts: [127.0.0.1", "u.yaml:5: this is not valid YAML: ',' or ']' must be specified"},
		{"fields that are not in line", "  username:", " username:", "u.yaml:6: this is not valid YAML: value is not allowed in this context"},
		{"a tag that does not fit", "hosts:", "port: !!int hunter2\n  hosts:", "u.yaml:4: cassandra.port: expected a whole number"},
		{"two documents", sessions, sessions + "\n---\nx: hunter2", "u.yaml: the file has more than one document; remove the --- line and what follows"},

		{"no port", "listen: 127.0.0.1:8443", "listen: 127.0.0.1", "u.yaml:1: listen: give host:port"},
		{"empty port", "listen: 127.0.0.1:8443", "listen: '127.0.0.1:'", "u.yaml:1: listen: give host:port"},
		{"a URL", "listen: 127.0.0.1:8443", "listen: https://127.0.0.1:8443", "u.yaml:1: listen: give host:port"},
		{"no hosts", "  hosts: [127.0.0.1]\n", "", "u.yaml:3: cassandra.hosts: missing"},
		{"port out of range", "hosts:", "port: 70000\n  hosts:", "u.yaml:4: cassandra.port: must be from 1 to 65535"},
		{"keyspace that needs quotes", "hosts:", "keyspace: UserInfo\n  hosts:", "u.yaml:4: cassandra.keyspace: must be of a-z, 0-9 and _, beginning with a letter, at most 48 characters"},
		{"Cassandra's own keyspace", "hosts:", "keyspace: system_auth\n  hosts:", "u.yaml:3: cassandra: the schema's settings are wrong: keyspace \"system_auth\" is Cassandra's own"},
		{"no local datacentre", "  local_datacentre: dc1\n", "", "u.yaml:3: cassandra.local_datacentre: missing"},
		{"local datacentre without replicas", "hosts:", "replication: {dc2: 3}\n  hosts:", `u.yaml:3: cassandra: the schema's settings are wrong: local datacentre "dc1" is not in the replication`},
		{"datacentre with no replica", "hosts:", "replication: {dc1: 3, dc2: 0}\n  hosts:", "u.yaml:4: cassandra.replication.dc2: cannot be 0"},
		{"no username", "  username: userinfo\n", "", "u.yaml:3: cassandra.username: missing"},
		{"no password file", "  password_file: password\n", "", "u.yaml:3: cassandra.password_file: missing"},
		{"a key for its path", "key: server.key", `key: "-----BEGIN PRIVATE KEY-----\nhunter2"`, "u.yaml:2: tls.key: give the name of a file, not its contents"},
		{"a password with a line end for its path", "password_file: password", `password_file: "hunter2\n"`, "u.yaml:7: cassandra.password_file: give the name of a file, not its contents"},

		{"two of one name", sessions, sessions + "\n  - {name: sessions, path: /x, table: x}", `u.yaml:11: collections[1].name: another collection has "sessions" already`},
		{"two on one path", sessions, sessions + "\n  - {name: b, path: /sessions/v1}", `u.yaml:11: collections[1].path: another collection has "/sessions/v1" already`},
		{"one path below another", sessions, sessions + "\n  - {name: b, path: /sessions/v1/b}", `u.yaml:11: collections[1].path: "/sessions/v1/b" is below "/sessions/v1"`},
		{"two in one table", sessions, sessions + "\n  - {name: b, table: sessions}", `u.yaml:11: collections[1].table: another collection has "sessions" already`},
		{"table that needs quotes", sessions, sessions + "\n    table: a-b", "u.yaml:11: collections[0].table: must be of a-z, 0-9 and _, beginning with a letter, at most 48 characters"},
		{"table of the pending deletes", sessions, sessions + "\n    table: pending_deletes", `u.yaml:11: collections[0].table: "pending_deletes" is one of the service's own tables`},
		{"table of the clocks", sessions, sessions + "\n    table: instance_clocks", `u.yaml:11: collections[0].table: "instance_clocks" is one of the service's own tables`},
		{"path without a slash", sessions, sessions + "\n    path: x", "u.yaml:11: collections[0].path: must begin with /"},
		{"path that ends with a slash", sessions, sessions + "\n    path: /x/", "u.yaml:11: collections[0].path: must begin with /"},
		{"path with a parameter", sessions, sessions + "\n    path: /:x", "u.yaml:11: collections[0].path: must begin with /"},
		{"path with a double slash", sessions, sessions + "\n    path: /x//y", "u.yaml:11: collections[0].path: must begin with /"},
		{"unknown layout", sessions, sessions + "\n    layout: redis", "u.yaml:11: collections[0].layout: must be userinfo or kask"},
		{"default TTL above the largest", sessions, sessions + "\n    max_ttl: 1h", "u.yaml:10: collections[0].default_ttl: must not be longer than max_ttl (1h0m0s)"},
		{"TTL of 0, which is neither for ever nor the default", sessions, sessions + "\n    default_ttl: 0s", "u.yaml:11: collections[0].default_ttl: cannot be 0"},
		{"port of 0", "cassandra:\n", "cassandra:\n  port: 0\n", "u.yaml:4: cassandra.port: cannot be 0"},
		{"no requests in flight, in hexadecimal", sessions, sessions + "\nlimits: {max_in_flight: 0x0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"no requests in flight, in octal", sessions, sessions + "\nlimits: {max_in_flight: 0o0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"no requests in flight, in binary", sessions, sessions + "\nlimits: {max_in_flight: 0b0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"no requests in flight, with a fraction", sessions, sessions + "\nlimits: {max_in_flight: 0.0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"no requests in flight, without its first digit", sessions, sessions + "\nlimits: {max_in_flight: .0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"no requests in flight, with an exponent", sessions, sessions + "\nlimits: {max_in_flight: 0e9}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"no requests in flight, below nothing", sessions, sessions + "\nlimits: {max_in_flight: -0}", "u.yaml:11: limits.max_in_flight: cannot be 0"},
		{"TTL of less than a second", sessions, sessions + "\n    max_ttl: 24h\n    default_ttl: 1ms", "u.yaml:12: collections[0].default_ttl: must be whole seconds"},
		{"TTL of a part of a second", sessions, sessions + "\n    max_ttl: 24h0m0.5s", "u.yaml:11: collections[0].max_ttl: must be whole seconds"},
		{"TTL beyond Cassandra's", sessions, sessions + "\n    max_ttl: 175201h", "u.yaml:11: collections[0].max_ttl: must be whole seconds"},
		{"negative fence", sessions, sessions + "\n    fence: -1s", "u.yaml:11: collections[0].fence: must be whole seconds, from 0s (no fence) to 1h"},
		{"fence too long", sessions, sessions + "\n    fence: 61m", "u.yaml:11: collections[0].fence: must be whole seconds"},
		{"touch slack too large", sessions, sessions + "\n    touch_slack: 0.51", "u.yaml:11: collections[0].touch_slack: must be from 0 (every touch writes) to 0.5"},
		{"text for a touch slack", sessions, sessions + "\n    touch_slack: 1%", "u.yaml:11: collections[0].touch_slack: expected a number such as 0.01, found text"},
		{"negative touch slack", sessions, sessions + "\n    touch_slack: -0.01", "u.yaml:11: collections[0].touch_slack: must be from 0"},
		{"touch slack that is no number", sessions, sessions + "\n    touch_slack: .nan", "u.yaml:11: collections[0].touch_slack: must be from 0"},
		{"value too large", sessions, sessions + "\n    max_value_bytes: 16777217", "u.yaml:11: collections[0].max_value_bytes: must be from 1 to 16777216"},
		{"values of no size", sessions, sessions + "\n    max_value_bytes: -1", "u.yaml:11: collections[0].max_value_bytes: must be from 1"},

		{"no clients", minimal[strings.Index(minimal, "clients:"):strings.Index(minimal, "seal:")], "", "u.yaml:1: clients: "},
		{"an empty list of clients", minimal[strings.Index(minimal, "clients:"):strings.Index(minimal, "seal:")], "clients: []\n", "u.yaml:11: clients: "},
		{"client without a credential", "    tokens:\n      - sha256: " + hash + "\n", "", `u.yaml:12: clients[0]: `},
		{"client without a grant", "    grants: [sessions:get]\n", "", `u.yaml:12: clients[0].grants: `},
		{"client without keys", `    keys: ["*"]`, "", `u.yaml:12: clients[0].keys: `},
		{"unknown grant", "grants: [sessions:get]", "grants:\n      - sessions:get\n      - sessions:list", "u.yaml:17: clients[0].grants[1]: "},
		{"a token for a grant", "grants: [sessions:get]", "grants: [userinfo_hunter2]", "u.yaml:15: clients[0].grants[0]: "},
		{"a token for its hash", hash, "userinfo_hunter2", "u.yaml:14: clients[0].tokens[0].sha256: "},
		{"network with host bits", hash, hash + "\n        networks: [10.0.0.0/8, 10.1.2.3/8]", "u.yaml:15: clients[0].tokens[0].networks[1]: "},
		{"address for a network", hash, hash + "\n        networks: [10.1.2.3]", "u.yaml:15: clients[0].tokens[0].networks[0]: "},
		{"a token for a network", hash, hash + "\n        networks: [userinfo_hunter2]", "u.yaml:15: clients[0].tokens[0].networks[0]: "},
		{"a nothing for a network", hash, hash + "\n        networks:\n          -", "u.yaml:16: clients[0].tokens[0].networks[0]: there is no value; give one or remove the line"},
		{"nothing for all networks", hash, hash + "\n        networks:", "u.yaml:15: clients[0].tokens[0].networks: there is no value; give one or remove the line"},
		{"an empty list of networks", hash, hash + "\n        networks: []", "u.yaml:15: clients[0].tokens[0].networks: "},
		{"nothing for a password file", "password_file: password", "password_file: ~", "u.yaml:7: cassandra.password_file: there is no value; give one or remove the line"},
		{"one token of two clients", "    grants:", "    grants: [metrics:get]\n  - name: b\n    tokens: [{sha256: '" + hash + "'}]\n    grants:", `u.yaml:17: clients[1].tokens[0].sha256: `},

		{"no keys at all", seal, "", "u.yaml:10: collections[0].layout: layout userinfo needs keys: set seal.index_key and seal.keys to files that `"},
		{"keys where nothing is sealed", sessions, sessions + "\n    layout: kask", "u.yaml:18: seal: no collection has layout userinfo, so nothing would be sealed: remove seal"},
		{"no index key", "index_key: index.key, ", "", "u.yaml:17: seal.index_key: missing: name a file that `userinfo key new index` has made"},
		{"no seal keys", ", keys: [seal.key]", "", "u.yaml:17: seal.keys: missing: list files that `userinfo key new seal` has made; the first encrypts"},
		{"an empty list of seal keys", "keys: [seal.key]", "keys: []", "u.yaml:17: seal.keys: missing"},
		{"one text for the list of seal keys", "keys: [seal.key]", "keys: hunter2", "u.yaml:17: seal.keys: expected a list, found text"},
		{"a key with a line end for its path", "index_key: index.key", `index_key: "userinfo-index-key-1:hunter2\n"`, "u.yaml:17: seal.index_key: give the name of a file, not its contents"},
		{"a seal key with a line end for its path", "keys: [seal.key]", `keys: [seal.key, "hunter2\n"]`, "u.yaml:17: seal.keys[1]: give the name of a file, not its contents"},
		{"a field for no seal", "index_key: index.key", "off: true, index_key: index.key", `u.yaml:17: seal: there is no field "off" here`},

		{"no requests in flight", sessions, sessions + "\nlimits: {max_in_flight: -1}", "u.yaml:11: limits.max_in_flight: must be at least 1"},
		{"a share of more than there are", sessions, sessions + "\nlimits: {max_in_flight: 10, per_client: {max_in_flight: 11}}", "u.yaml:11: limits.per_client.max_in_flight: must be at most limits.max_in_flight, which is 10"},
		{"a client's share of more than there are", "    grants: [sessions:get]", "    limits: {max_in_flight: 1025}\n    grants: [sessions:get]", "u.yaml:15: clients[0].limits.max_in_flight: must be at most limits.max_in_flight, which is 1024"},
		{"no connections", sessions, sessions + "\nlimits: {max_connections: -1}", "u.yaml:11: limits.max_connections: must be at least 1"},
		{"negative drain", sessions, sessions + "\nshutdown: {drain: -1s}", "u.yaml:11: shutdown.drain: must not be negative"},
		{"grace shorter than a request", sessions, sessions + "\nshutdown: {grace: 1s}", "u.yaml:11: shutdown.grace: must be at least 2.8s"},
		{"no audiences", minimal[strings.Index(minimal, "audiences:"):], "", "u.yaml:1: audiences: "},
		{"an unknown audience", "metrics: [{token", "metric: [{token", "u.yaml:18: audiences.metric: unknown audience"},
		{"an audience that is open", "metrics: [{token: true}]", "metrics: [{allow: true}]", "u.yaml:18: audiences.metrics[0].allow: would open metrics to everybody, which only `userinfo dev` does"},
		{"a collection open to a network", "sessions: [{token: true}]", "sessions: [{network: [10.0.0.0/8]}]", "u.yaml:18: audiences.sessions[0]: "},
		{"an alternative that is one word", "metrics: [{token: true}]", "metrics: [hunter2]", "u.yaml:18: audiences.metrics[0]: expected a group of fields, each NAME: VALUE, found text"},
		{"a word for a protection", "metrics: [{token: true}]", "metrics: [{token: hunter2}]", "u.yaml:18: audiences.metrics[0].token: expected true or false, found text"},
		{"an unknown protection", "metrics: [{token: true}]", "metrics: [{password: true}]", `u.yaml:18: audiences.metrics[0]: there is no field "password" here`},
		{"a certificate without a CA", "    grants: [sessions:get]", "    certificates: [{cn: x}]\n    grants: [sessions:get]", "u.yaml:15: clients[0].certificates[0]: "},
		{"an audit key for its path", sessions, sessions + "\naudit: {key_file: \"userinfo-audit-key-1:hunter2\\n\"}", "u.yaml:11: audit.key_file: give the name of a file, not its contents"},
		{"a negative limit of clients", sessions, sessions + "\nlimits: {per_client: {misses_per_minute: -1}}", "u.yaml:11: limits.per_client.misses_per_minute: must be at least 1"},
		{"no limit of clients", sessions, sessions + "\nlimits: {per_client: {misses_per_minute: 0}}", "u.yaml:11: limits.per_client.misses_per_minute: cannot be 0"},
		{"a negative limit of a client", "    grants: [sessions:get]", "    limits: {requests_per_second: -5}\n    grants: [sessions:get]", "u.yaml:15: clients[0].limits.requests_per_second: "},
		{"a signature key without an id", "    grants: [sessions:get]", "    signature_keys: [{file: x}]\n    grants: [sessions:get]", "u.yaml:15: clients[0].signature_keys[0].id: "},
		{"a signature key for its path", "    grants: [sessions:get]", "    signature_keys: [{id: x, file: \"hunter2\\n\"}]\n    grants: [sessions:get]", "u.yaml:15: clients[0].signature_keys[0].file: give the name of a file, not its contents"},
		{"a proxy that is everybody", sessions, sessions + "\nproxies: {proxy_protocol: [{network: 0.0.0.0/0}]}", "u.yaml:11: proxies.proxy_protocol[0].network: "},
		{"a mode that is none", sessions, sessions + "\nproxies: {proxy_protocol: [{network: 10.0.0.7/32, mode: maybe}]}", "u.yaml:11: proxies.proxy_protocol[0].mode: "},
		{"a proxy's certificate without a CA", sessions, sessions + "\nproxies: {certificates: [{cn: edge}]}", "u.yaml:11: proxies.certificates[0]: "},
		{"a name from nobody", sessions, sessions + "\nproxies: {client_dn: {field: X-Client-Dn}}", "u.yaml:11: proxies.certificates: "},
		{"a window that is too long", sessions, sessions + "\nsignatures: {window: 1h}", "u.yaml:11: signatures.window: must be whole seconds, from 1s to 10m"},
		{"no nonces", sessions, sessions + "\nsignatures: {nonces: -1}", "u.yaml:11: signatures.nonces: must be at least 1"},
		{"unknown log level", sessions, sessions + "\nlog_level: hunter2", "u.yaml:11: log_level: must be debug, info, warn or error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := test.err(t); strings.Count(err, "u.yaml:") != 1 {
				t.Errorf("more than one mistake:\n%s", err)
			}
		})
	}
}

func TestParse_ReportsMistakeBeforeItsConsequences(t *testing.T) {
	const sessions = "- name: sessions"
	for _, test := range []mistake{
		{"no collections", "collections:\n  - name: sessions\n", "", "u.yaml:1: collections: missing"},
		{"collection without a name", sessions, "- path: /x", "u.yaml:10: collections[0].name: must be of a-z, 0-9 and _, beginning with a letter, at most 48 characters; met"},
		{"collection with the name of another resource", sessions, "- name: metrics", "u.yaml:10: collections[0].name: must be of a-z, 0-9 and _, beginning with a letter, at most 48 characters; met"},
		{"collection name too long", sessions, "- name: " + strings.Repeat("a", 49), "u.yaml:10: collections[0].name: must be of a-z, 0-9 and _, beginning with a letter, at most 48 characters; met"},
	} {
		t.Run(test.name, func(t *testing.T) { test.err(t) })
	}
}

func TestParse_FindsAllMistakesAtOnce(t *testing.T) {
	err := parseError(t, "listen: x\nlog_level: loud\nlimit: {}\nclients:\n  - name: a\n    limits: {max_in_flight: many}\nshutdown: {drain: }\n")
	for _, line := range []string{
		"u.yaml:1: listen: ", "u.yaml:1: cassandra.hosts: ", "u.yaml:1: collections: ", "u.yaml:2: log_level: ",
		`u.yaml:3: there is no field "limit"`, "u.yaml:5: clients[0]: ", "u.yaml:5: clients[0].grants: ",
		"u.yaml:6: clients[0].limits.max_in_flight: ", "u.yaml:7: shutdown.drain: ",
	} {
		if !strings.Contains(err, line) {
			t.Errorf("nothing begins with %s:\n%s", line, err)
		}
	}
	lines := strings.Split(err, "\n")
	if !slices.IsSortedFunc(lines, func(a, b string) int { return cmp.Compare(a[:len("u.yaml:1")], b[:len("u.yaml:1")]) }) {
		t.Errorf("the mistakes are not in the order of lines:\n%s", err)
	}
}

func TestParse_RejectsEmptyFile(t *testing.T) {
	for _, text := range []string{"", "\n\n", "# only a comment\n"} {
		if err := parseError(t, text); err != "u.yaml: the file is empty" {
			t.Errorf("%q: %s", text, err)
		}
	}
}

// FuzzParse checks that every text gives either an error that begins with the file's name or a configuration with a policy.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(example), minimal, "", "---\n---\n", "[]", "a: &a [*a]", "a: &a {<<: *a}", "\x00", "\xff", "? : ?", "!!binary x", "clients: [{tokens: [{networks: [\"\"]}]}]",
		strings.Replace(minimal, "- name: sessions", "- name: sessions\n  - {name: b, path: /sessions}", 1),
		strings.Replace(minimal, "- name: sessions", "- {name: b, path: /healthz}\n  - name: sessions", 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("u.yaml", []byte(text))
		if err != nil {
			if c != nil || !strings.HasPrefix(err.Error(), "u.yaml:") {
				t.Fatalf("configuration %v, error %v", c, err)
			}
			return
		}
		policy, err := c.Policy(time.Now)
		if err != nil || policy == nil || len(c.Clients) == 0 {
			t.Fatalf("no access rules: %v", err)
		}
	})
}
