package schema_test

import (
	"strings"
	"testing"
	"time"

	"userinfo/schema"
)

func TestSpec_ValidateRejectsMistakes(t *testing.T) {
	for _, c := range []struct {
		name string
		spec func(*schema.Spec)
		want string
	}{
		{"no keyspace", func(s *schema.Spec) { s.Keyspace = "" }, `keyspace ""`},
		{"a quote in the keyspace", func(s *schema.Spec) { s.Keyspace = `a"b` }, `keyspace "a\"b"`},
		{"an upper-case keyspace", func(s *schema.Spec) { s.Keyspace = "People" }, `keyspace "People"`},
		{"a keyspace of 49 letters", func(s *schema.Spec) { s.Keyspace = strings.Repeat("a", 49) }, "at most 48"},
		{"Cassandra's own keyspace", func(s *schema.Spec) { s.Keyspace = "system" }, "Cassandra's own"},
		{"another of Cassandra's own", func(s *schema.Spec) { s.Keyspace = "system_auth" }, "Cassandra's own"},
		{"no local datacentre", func(s *schema.Spec) { s.LocalDatacentre = "" }, `local datacentre ""`},
		{"a local datacentre without replicas", func(s *schema.Spec) { s.LocalDatacentre = "dc3" }, `local datacentre "dc3" is not in the replication`},
		{"a datacentre with a quote", func(s *schema.Spec) { s.Replication["d'c"] = 1 }, `datacentre "d'c"`},
		{"a datacentre that is an option", func(s *schema.Spec) { s.Replication["class"] = 1 }, `datacentre "class"`},
		{"a datacentre that is a default", func(s *schema.Spec) { s.Replication["replication_factor"] = 1 }, `datacentre "replication_factor"`},
		{"a datacentre with no replicas", func(s *schema.Spec) { s.Replication["dc2"] = 0 }, `datacentre "dc2" has 0 replicas`},
		{"no tables", func(s *schema.Spec) { s.Tables = nil }, "no tables"},
		{"a table twice", func(s *schema.Spec) { s.Tables[1].Name = "sessions" }, `table "sessions" is named twice`},
		{"a table that begins with a digit", func(s *schema.Spec) { s.Tables[0].Name = "1a" }, `table "1a": use a name`},
		{"a table that begins with _", func(s *schema.Spec) { s.Tables[0].Name = "_a" }, `table "_a": use a name`},
		{"a table that is the pending deletes'", func(s *schema.Spec) { s.Tables[0].Name = "pending_deletes" }, `table "pending_deletes": is reserved for the service`},
		{"a table that is the segments'", func(s *schema.Spec) { s.Tables[0].Name = "pending_delete_segments" }, `table "pending_delete_segments": is reserved for the service`},
		{"a table that is the clocks'", func(s *schema.Spec) { s.Tables[0].Name = "instance_clocks" }, `table "instance_clocks": is reserved for the service`},
		{"an unknown layout", func(s *schema.Spec) { s.Tables[0].Layout = "wide" }, `layout "wide": use "userinfo" or "kask"`},
		{"no largest TTL", func(s *schema.Spec) { s.Tables[0].MaxTTL = 0 }, "largest TTL 0s"},
		{"a TTL beyond 20 years", func(s *schema.Spec) { s.Tables[0].MaxTTL = 20*365*day + 1 }, "1 second to 20 years"},
		{"a negative fence", func(s *schema.Spec) { s.Tables[0].Fence = -time.Second }, "fence -1s"},
		{"a fence beyond 20 years", func(s *schema.Spec) { s.Tables[0].Fence = 20*365*day + 1 }, "0 (none) to 20 years"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := twoTables(), newFake(t)
			c.spec(&s)
			_, printed := schema.Print(s)
			_, checked := schema.Check(t.Context(), f, s)
			applied := schema.Apply(t.Context(), f, s, nil)
			for function, err := range map[string]error{"Validate": s.Validate(), "Print": printed, "Check": checked, "Apply": applied} {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: error %v, want one with %q", function, err, c.want)
				}
			}
			if f.queries > 0 {
				t.Errorf("%d statements reached Cassandra", f.queries)
			}
		})
	}
}

func TestSpec_ValidateNamesEveryMistake(t *testing.T) {
	s := schema.Spec{Keyspace: "K", LocalDatacentre: "'", Tables: []schema.Table{{Name: "T"}}}
	err := s.Validate()
	for _, want := range []string{`keyspace "K"`, `local datacentre "'"`, `table "T": use a name`, "layout", "largest TTL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to name %s", err, want)
		}
	}
}
