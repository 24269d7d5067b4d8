package schema_test

import (
	"testing"
)

func TestCheck_WarnsOfRolesThatOneNodeCanTakeAway(t *testing.T) {
	const replication = "keyspace system_auth replication: want NetworkTopologyStrategy with replication factor "
	const because = " in dc1, because nobody can log in while the nodes that have the roles are down, have "
	three := []fakeNode{{address: "10.1.0.1", datacentre: "dc1"}, {address: "10.1.0.2", datacentre: "dc1"}, {address: "10.1.0.3", datacentre: "dc1"}}
	six := append(three[:3:3], fakeNode{address: "10.2.0.1", datacentre: "dc2"}, fakeNode{address: "10.2.0.2", datacentre: "dc2"}, fakeNode{address: "10.2.0.3", datacentre: "dc2"})
	for name, c := range map[string]struct {
		settings       map[string]any
		nodes          []fakeNode
		class, options string // of system_auth; no class: it does not exist
		want           []string
		remedy         string
	}{
		"SimpleStrategy, Cassandra's default": {
			settings: map[string]any{"authenticator": "PasswordAuthenticator"}, nodes: six,
			class: "SimpleStrategy", options: "'replication_factor': '1'",
			want: []string{replication + "3" + because + "SimpleStrategy"},
			remedy: "as a superuser, run ALTER KEYSPACE system_auth WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 3} " +
				"and then `nodetool repair --full system_auth` on every node",
		},
		"an authorizer alone": {
			settings: map[string]any{"authenticator": "AllowAllAuthenticator", "authorizer": "org.apache.cassandra.auth.CassandraAuthorizer"}, nodes: three,
			class: "NetworkTopologyStrategy", options: "'dc1': '2'",
			want: []string{replication + "3" + because + "replication factor 2 in dc1"}, remedy: "'dc1': 3}",
		},
		"local datacentre without roles": {
			settings: map[string]any{"authenticator": "PasswordAuthenticator{a=b}"}, nodes: six,
			class: "NetworkTopologyStrategy", options: "'dc2': '5'",
			want: []string{replication + "3" + because + "no replicas in dc1"}, remedy: "'dc1': 3, 'dc2': 5}",
		},
		"transient replicas": {
			settings: map[string]any{"authenticator": "PasswordAuthenticator"}, nodes: three,
			class: "NetworkTopologyStrategy", options: "'dc1': '3/1'",
		},
		"two nodes": {
			settings: map[string]any{"authenticator": "PasswordAuthenticator"}, nodes: append(six[:2:2], six[3]),
			class: "NetworkTopologyStrategy", options: "'dc1': '1', 'dc2': '1'",
			want: []string{replication + "2" + because + "replication factor 1 in dc1"}, remedy: "'dc1': 2, 'dc2': 1}",
		},
		"no keyspace": {
			settings: map[string]any{"authenticator": "PasswordAuthenticator"}, nodes: three,
			want: []string{replication + "3" + because + "no such keyspace"}, remedy: "ALTER KEYSPACE",
		},
		"one node": {
			settings: map[string]any{"authenticator": "PasswordAuthenticator"}, nodes: three[:1],
			class: "SimpleStrategy", options: "'replication_factor': '1'",
		},
		"a node that has left": {
			settings: map[string]any{"authenticator": "PasswordAuthenticator"}, nodes: append(three[:1:1], fakeNode{address: "10.1.0.9"}),
			class: "NetworkTopologyStrategy", options: "'dc1': '1'",
		},
		"enough replicas": {
			settings: map[string]any{"authenticator": "PasswordAuthenticator", "auth_read_consistency_level": "LOCAL_QUORUM"}, nodes: six,
			class: "NetworkTopologyStrategy", options: "'dc1': '3', 'dc2': '3'",
		},
		"roles that need other datacentres": {
			settings: map[string]any{"authenticator": "PasswordAuthenticator", "auth_read_consistency_level": "EACH_QUORUM"}, nodes: six,
			class: "NetworkTopologyStrategy", options: "'dc1': '3', 'dc2': '3'",
			want:   []string{"setting auth_read_consistency_level: want LOCAL_QUORUM, because nobody can log in while too few nodes of other datacentres are up, have EACH_QUORUM"},
			remedy: "set it to LOCAL_QUORUM in the cassandra.yaml of every node",
		},
		"nobody is asked for a password": {
			settings: map[string]any{"authenticator": "AllowAllAuthenticator", "authorizer": "AllowAllAuthorizer", "auth_read_consistency_level": "ALL"}, nodes: six,
			class: "SimpleStrategy", options: "'replication_factor': '1'",
		},
		"Cassandra's defaults": {nodes: six, class: "SimpleStrategy", options: "'replication_factor': '1'"},
	} {
		t.Run(name, func(t *testing.T) {
			f := asWanted(t)
			f.nodes = c.nodes
			for name, value := range c.settings {
				f.settings[name] = value
			}
			if c.class != "" {
				f.createKeyspace("system_auth", c.class, c.options)
			}
			warnings(t, f, twoTables(), c.want, c.remedy)
		})
	}
}
