//go:build integration

package schema_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/internal/testcluster"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
)

// TestSchema_OnCassandra checks on a real Cassandra what the other tests check on a fake.
func TestSchema_OnCassandra(t *testing.T) {
	cluster := startCassandra(t)
	db := openAdmin(t, cluster, testcluster.AdminUsername)
	t.Run("Apply satisfies Check, and a second Apply changes nothing", func(t *testing.T) {
		s := oneNode("applied")
		applyCleanly(t, db, s)
		before := tableRows(t, db, s.Keyspace)
		applyCleanly(t, db, s)
		if after := tableRows(t, db, s.Keyspace); !reflect.DeepEqual(before, after) {
			t.Errorf("the second Apply changed\n%v\nto\n%v", before, after)
		}
		if class := before["sessions"]["compaction"].(map[string]string)["class"]; !strings.HasSuffix(class, ".LeveledCompactionStrategy") {
			t.Errorf("compaction is %s, want leveled", class)
		}
	})
	t.Run("the output of Print creates the same as Apply", func(t *testing.T) {
		s, applied := oneNode("printed"), oneNode("applied_too")
		for range 2 {
			for _, statement := range strings.SplitAfter(print(t, s), ";\n") {
				if strings.Contains(statement, "CREATE ") {
					run(t, db, statement)
				}
			}
		}
		applyCleanly(t, db, applied)
		if found := check(t, db, s); found.texts != nil {
			t.Errorf("Check says %q", found.texts)
		}
		if have, want := tableRows(t, db, s.Keyspace), tableRows(t, db, applied.Keyspace); !reflect.DeepEqual(have, want) {
			t.Errorf("Print:\n%v\nApply:\n%v", have, want)
		}
	})
	t.Run("names may be reserved words", func(t *testing.T) {
		s := oneNode("select")
		s.Tables[0].Name, s.Tables[1].Name = "table", "values"
		applyCleanly(t, db, s)
	})
	t.Run("Cassandra refuses an unknown datacentre", func(t *testing.T) {
		s := oneNode("elsewhere")
		s.Replication["dc9"] = 3
		err := schema.Apply(t.Context(), db, s, nil)
		if err == nil || !strings.Contains(err.Error(), "dc9") {
			t.Errorf("error %v, want one that names dc9", err)
		}
	})
	t.Run("a table of Kask keeps its rows", func(t *testing.T) { adoptKaskTable(t, db) })
	t.Run("the service's role needs the documented grants only", func(t *testing.T) { useLeastGrants(t, cluster, db) })
	t.Run("Check warns of Cassandra's settings", func(t *testing.T) { warnOfSettings(t, cluster, db) })
	t.Run("Apply does not wait for a node that is down", func(t *testing.T) { applyWithoutNode(t, cluster, db) })
	t.Run("Check names differences and Apply refuses them", func(t *testing.T) { refuseDifferences(t, db) })
}

// startCassandra starts a cluster of one node in each datacentre, with an authorizer.
func startCassandra(t *testing.T) *testcluster.Cluster {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cluster, err := testcluster.Start(ctx, testcluster.Options{NodesPerDC: 1, Authorizer: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

// openAdmin connects to dc1 of a cluster.
func openAdmin(t *testing.T, cluster *testcluster.Cluster, username string) *cassandra.Admin {
	db, err := cassandra.OpenAdmin(t.Context(), cassandra.Config{
		Hosts: cluster.Hosts("dc1"), Port: testcluster.Port, LocalDatacentre: "dc1",
		Credentials: func() (string, []byte, error) { return username, []byte(cluster.Password()), nil },
		TLS:         func() *tls.Config { return &tls.Config{RootCAs: cluster.CAPool(), MinVersion: tls.VersionTLS12} },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// useLeastGrants checks that the service's role can do with its grants what it has to, and nothing more.
func useLeastGrants(t *testing.T, cluster *testcluster.Cluster, admin schema.DB) {
	s := oneNode("granted")
	applyCleanly(t, admin, s)
	if err := cluster.GrantService(t.Context(), s.Keyspace); err != nil {
		t.Fatal(err)
	}
	db := openAdmin(t, cluster, testcluster.Username)
	if found := check(t, db, s); found.texts != nil {
		t.Errorf("Check as the service returns %q", found.texts)
	}
	for _, allowed := range []string{
		"UPDATE granted.sessions USING TTL 60 SET value = 0x01 WHERE key = 0x01",
		"DELETE value FROM granted.sessions WHERE key = 0x01",
		"SELECT value FROM granted.sessions WHERE key = 0x01",
		"UPDATE granted.pending_delete_entries SET tombstone = 1 WHERE segment = 's' AND key = 0x01",
		"SELECT * FROM granted.instance_clocks",
	} {
		run(t, db, allowed)
	}
	unauthorized := regexp.MustCompile(`User userinfo (has no [A-Z]+ permission|does not have sufficient privileges)`)
	for _, forbidden := range []string{
		"ALTER TABLE granted.sessions WITH gc_grace_seconds = 1",
		"DROP TABLE granted.sessions",
		"DROP KEYSPACE granted",
		"CREATE TABLE granted.more (key blob PRIMARY KEY)",
		"CREATE KEYSPACE more WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
		"SELECT role, salted_hash FROM system_auth.roles",
		"SELECT value FROM applied.sessions",
		"CREATE ROLE intruder",
	} {
		if _, err := db.Query(t.Context(), forbidden); err == nil || !unauthorized.MatchString(err.Error()) {
			t.Errorf("%s as the service: error %v, want one that matches %v", forbidden, err, unauthorized)
		}
	}
}

// warnOfSettings checks that Check knows the settings of a real Cassandra.
func warnOfSettings(t *testing.T, cluster *testcluster.Cluster, admin schema.DB) {
	s := oneNode("warned")
	applyCleanly(t, admin, s)
	s.Tables[0].MaxValueBytes = 200 << 20
	found := strings.Join(check(t, admin, s).texts, "\n")
	for _, name := range []string{"max_mutation_size", "native_transport_max_frame_size", "native_transport_max_request_data_in_flight",
		"native_transport_max_request_data_in_flight_per_ip", "internode_max_message_size"} {
		if !strings.Contains(found, "setting "+name+": want at least") {
			t.Errorf("values of 200 MiB: Check does not name %s:\n%s", name, found)
		}
	}
	statement := fmt.Sprintf("CREATE ROLE ungranted WITH PASSWORD = '%s' AND LOGIN = true", cluster.Password())
	if _, err := cluster.CQLAt(t.Context(), cluster.Nodes("")[0], "ONE", statement); err != nil {
		t.Fatal(err)
	}
	got := check(t, openAdmin(t, cluster, "ungranted"), oneNode("warned"))
	if len(got.texts) != 1 || !strings.Contains(got.remedies[0], "GRANT SELECT ON system_views.settings") {
		t.Errorf("as a role without grants, Check says %q, want the grant", got)
	}
}

// applyWithoutNode checks how long Apply takes while the node of the other datacentre is down, and what it tells.
func applyWithoutNode(t *testing.T, cluster *testcluster.Cluster, db schema.DB) {
	down := cluster.Nodes("dc2")[0]
	if err := down.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var got told
	if err := schema.Apply(t.Context(), db, oneNode("without"), got.add); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("applying %d changes took %v", len(got.kinds)/2, took)
	// The driver waited a minute for each statement.
	if took > 40*time.Second {
		t.Errorf("Apply took %v", took)
	}
	name := down.Address + " (dc2)"
	if !slices.Contains(got.waiting, name) {
		t.Errorf("Apply told that it waits for %q, want %s", got.waiting, name)
	}
	if want := []string{name + ", which is down; it gets the schema when it returns"}; !slices.Equal(got.missing, want) {
		t.Errorf("at the end Apply told %q, want %q", got.missing, want)
	}
	if err := down.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	got = told{}
	if err := schema.Apply(t.Context(), db, oneNode("without"), got.add); err != nil || got.missing != nil || len(got.kinds) > 0 {
		t.Errorf("after the node has returned, Apply: %v, told %+v", err, got)
	}
}

// oneNode returns twoTables with one replica, in another keyspace.
func oneNode(keyspace string) schema.Spec {
	s := twoTables()
	s.Keyspace, s.Replication = keyspace, map[string]int{"dc1": 1}
	return s
}

func run(t *testing.T, db schema.DB, cql string, args ...any) []map[string]any {
	t.Helper()
	rows, err := db.Query(t.Context(), cql, args...)
	if err != nil {
		t.Fatalf("%s: %v", cql, err)
	}
	return rows
}

func applyCleanly(t *testing.T, db schema.DB, s schema.Spec) {
	t.Helper()
	if err := schema.Apply(t.Context(), db, s, nil); err != nil {
		t.Fatal(err)
	}
	if found := check(t, db, s); found.texts != nil {
		t.Errorf("after Apply, Check returns %q", found.texts)
	}
}

// tableRows returns the rows of system_schema about the tables of a keyspace and their columns, without ids and the
// keyspace's name.
func tableRows(t *testing.T, db schema.DB, keyspace string) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, row := range run(t, db, `SELECT * FROM system_schema.tables WHERE keyspace_name = ?`, keyspace) {
		name := row["table_name"].(string)
		delete(row, "id")
		delete(row, "keyspace_name")
		out[name] = row
	}
	for _, row := range run(t, db, `SELECT * FROM system_schema.columns WHERE keyspace_name = ?`, keyspace) {
		out[row["table_name"].(string)]["column "+row["column_name"].(string)] = fmt.Sprint(row["kind"], row["type"])
	}
	if tables := slices.Sorted(maps.Keys(out)); !slices.Equal(tables, []string{"instance_clocks", "pending_delete_entries", "pending_delete_segments", "sessions", "stash"}) {
		t.Fatalf("keyspace %s has the tables %q", keyspace, tables)
	}
	return out
}

func adoptKaskTable(t *testing.T, db schema.DB) {
	s := oneNode("kask")
	s.Tables = []schema.Table{{Name: "values", Layout: store.LayoutKask, MaxTTL: day, Fence: time.Minute}}
	run(t, db, `CREATE KEYSPACE kask WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}`)
	run(t, db, `CREATE TABLE kask.values (key text PRIMARY KEY, value blob) WITH gc_grace_seconds = 0 AND default_time_to_live = 3600`)
	run(t, db, `INSERT INTO kask.values (key, value) VALUES ('a', 0x62)`)
	found := check(t, db, s)
	want := []string{
		"column kask.values.gone: want boolean, have none",
		"table kask.values gc_grace_seconds: want at least 86400, the largest TTL, have 0",
		"table kask.values speculative_retry: want a bound in milliseconds, as MIN(95p,50ms) has, have 99p",
		"table kask.pending_delete_segments: want a table, have none",
		"table kask.pending_delete_entries: want a table, have none",
		"table kask.instance_clocks: want a table, have none",
	}
	if !slices.Equal(found.texts, want) {
		t.Errorf("Check says %q, want %q", found.texts, want)
	}
	_, alter, _ := strings.Cut(found.remedies[2], "run ") // a warning, which Apply does not remove
	run(t, db, alter)
	applyCleanly(t, db, s)
	rows := run(t, db, `SELECT value, gone FROM kask.values WHERE key = 'a'`)
	if len(rows) != 1 || string(rows[0]["value"].([]byte)) != "b" {
		t.Errorf("the existing row is now %v", rows)
	}
}

func refuseDifferences(t *testing.T, db schema.DB) {
	run(t, db, `CREATE KEYSPACE simple WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`)
	run(t, db, `CREATE KEYSPACE different WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 2} AND durable_writes = false`)
	run(t, db, `CREATE TABLE different.sessions (wiki text, key blob, at timestamp, value text, gone int,
		PRIMARY KEY ((key, wiki), at)) WITH gc_grace_seconds = 86399 AND read_repair = 'NONE'`)
	run(t, db, `CREATE TABLE different.stash (key blob PRIMARY KEY) WITH gc_grace_seconds = 3600 AND speculative_retry = 'NONE'`)
	run(t, db, `CREATE TABLE different.pending_deletes (bucket int, collection blob, key blob, PRIMARY KEY (bucket, key))`)
	run(t, db, `CREATE TABLE different.instance_clocks (board int, instance text, datacentre text, wrote bigint, heard map<text, bigint>,
		PRIMARY KEY (board, instance))`)
	for keyspace, want := range map[string][]string{
		"simple": {
			"keyspace simple replication: want NetworkTopologyStrategy, have SimpleStrategy",
			"table simple.sessions: want a table, have none",
			"table simple.stash: want a table, have none",
			"table simple.pending_delete_segments: want a table, have none",
			"table simple.pending_delete_entries: want a table, have none",
			"table simple.instance_clocks: want a table, have none",
		},
		"different": {
			"keyspace different datacentre dc1: want replication factor 1, have replication factor 2",
			"keyspace different durable_writes: want true, have false",
			"table different.sessions primary key: want (key), have ((key, wiki), at)",
			"column different.sessions.value: want blob, have text",
			"column different.sessions.gone: want boolean, have int",
			"table different.sessions gc_grace_seconds: want at least 86400, the largest TTL, have 86399",
			"table different.sessions read_repair: want BLOCKING, have NONE",
			"table different.sessions speculative_retry: want a bound in milliseconds, as MIN(95p,50ms) has, have 99p",
			"column different.stash.key: want text, have blob",
			"column different.stash.value: want blob, have none",
			"table different.stash speculative_retry: want a bound in milliseconds, as MIN(95p,50ms) has, have NEVER",
			"table different.pending_delete_segments: want a table, have none",
			"table different.pending_delete_entries: want a table, have none",
			"table different.pending_deletes primary key: want (bucket, collection, key), have (bucket, key)",
			"column different.pending_deletes.collection: want text, have blob",
			"column different.pending_deletes.marker: want bigint, have none",
			"column different.pending_deletes.marker_ttl: want int, have none",
			"column different.pending_deletes.tombstone: want bigint, have none",
			"column different.instance_clocks.heard: want frozen<map<text, bigint>>, have map<text, bigint>",
		},
	} {
		if found := check(t, db, oneNode(keyspace)); !slices.Equal(found.texts, want) {
			t.Errorf("Check says\n  %s\nwant\n  %s", strings.Join(found.texts, "\n  "), strings.Join(want, "\n  "))
		}
		if err := schema.Apply(t.Context(), db, oneNode(keyspace), nil); err == nil {
			t.Errorf("Apply on keyspace %s succeeded, want it refused", keyspace)
		}
	}
}
