package config

import "testing"

func TestCassandra_ValidateRejects(t *testing.T) {
	testMistakes(t, []mistake{
		{"no hosts", "  hosts: [127.0.0.1]\n", "", "u.yaml:3: cassandra.hosts: missing"},
		{"port out of range", "hosts:", "port: 70000\n  hosts:", "u.yaml:4: cassandra.port: must be from 1 to 65535"},
		{"keyspace that needs quotes", "hosts:", "keyspace: UserInfo\n  hosts:", "u.yaml:4: cassandra.keyspace: must be of a-z, 0-9 and _, beginning with a letter, at most 48 characters"},
		{"Cassandra's own keyspace", "hosts:", "keyspace: system_auth\n  hosts:", "u.yaml:3: cassandra: the schema's settings are wrong: keyspace \"system_auth\" is Cassandra's own"},
		{"no local datacentre", "  local_datacentre: dc1\n", "", "u.yaml:3: cassandra.local_datacentre: missing"},
		{"local datacentre without replicas", "hosts:", "replication: {dc2: 3}\n  hosts:", `u.yaml:3: cassandra: the schema's settings are wrong: local datacentre "dc1" is not in the replication`},
		{"no username", "  username: userinfo\n", "", "u.yaml:3: cassandra.username: missing"},
		{"no password file", "  password_file: password\n", "", "u.yaml:3: cassandra.password_file: missing"},
	})
}
