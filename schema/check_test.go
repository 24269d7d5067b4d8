package schema_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/schema"
	"userinfo/store"
)

const day = 24 * time.Hour

// wantMaximumTimestamp is the beginning of the difference in the setting for a fence of one minute.
const wantMaximumTimestamp = "setting maximum_timestamp_fail_threshold: " +
	"want none, or more than 1m3s, because the tombstone of a delete is that far in the future, have "

// twoTables returns a Spec with a table of each layout. Only the first has a fence.
func twoTables() schema.Spec {
	return schema.Spec{
		Keyspace: "people", Replication: map[string]int{"dc1": 3, "dc2": 3}, LocalDatacentre: "dc1",
		Tables: []schema.Table{
			{Name: "sessions", Layout: store.LayoutUserInfo, MaxTTL: day, Fence: time.Minute},
			{Name: "stash", Layout: store.LayoutKask, MaxTTL: time.Hour},
		},
	}
}

// asWanted returns a Cassandra with the schema of twoTables and the smallest accepted gc_grace_seconds.
func asWanted(t *testing.T) *fakeCassandra {
	f := newFake(t)
	f.createKeyspace("people", "NetworkTopologyStrategy", "'dc1': '3', 'dc2': '3'")
	f.createTable("people", "sessions", "86400", "key blob partition_key", "value blob regular", "gone boolean regular")
	f.createTable("people", "stash", "3600", "key text partition_key", "value blob regular")
	f.createTable("people", "pending_delete_segments", "600", pendingSegments...)
	f.createTable("people", "pending_delete_entries", "600", pendingEntries...)
	f.createTable("people", "instance_clocks", "600", instanceClocks...)
	return f
}

// recreate replaces a table by one with other columns.
func recreate(f *fakeCassandra, table string, columns ...string) {
	delete(f.keyspaces["people"].tables, table)
	f.createTable("people", table, "864000", columns...)
}

// replaceKeyspace replaces the keyspace by one with another replication.
func replaceKeyspace(f *fakeCassandra, class, options string) {
	delete(f.keyspaces, "people")
	f.createKeyspace("people", class, options)
	f.createTable("people", "sessions", "86400", "key blob partition_key", "value blob regular", "gone boolean regular")
	f.createTable("people", "stash", "3600", "key text partition_key", "value blob regular")
	f.createTable("people", "pending_delete_segments", "600", pendingSegments...)
	f.createTable("people", "pending_delete_entries", "600", pendingEntries...)
	f.createTable("people", "instance_clocks", "600", instanceClocks...)
}

// setOption changes an option of a table.
func setOption(f *fakeCassandra, table, name string, value any) {
	f.keyspaces["people"].tables[table].row[name] = value
}

// differences are the ways in which a live schema can differ. change changes asWanted; want is what Check says, without the
// remedy; remedy is a part of the first one's. Apply mends a case, or it refuses it whole.
var differences = []struct {
	name    string
	spec    func(*schema.Spec)
	change  func(*fakeCassandra)
	want    []string
	remedy  string
	fixable bool
}{
	{name: "a schema as wanted", fixable: true},
	{
		name:   "empty Cassandra",
		change: func(f *fakeCassandra) { delete(f.keyspaces, "people") },
		want:   []string{"keyspace people: want a keyspace, have none", "table people.sessions: want a table, have none", "table people.stash: want a table, have none", "table people.pending_delete_segments: want a table, have none", "table people.pending_delete_entries: want a table, have none", "table people.instance_clocks: want a table, have none"},
		remedy: "userinfo schema apply", fixable: true,
	},
	{
		name:   "missing keyspace, no replication configured",
		spec:   func(s *schema.Spec) { s.Replication = nil },
		change: func(f *fakeCassandra) { delete(f.keyspaces, "people") },
		want:   []string{"keyspace people: want a keyspace, have none", "table people.sessions: want a table, have none", "table people.stash: want a table, have none", "table people.pending_delete_segments: want a table, have none", "table people.pending_delete_entries: want a table, have none", "table people.instance_clocks: want a table, have none"},
		remedy: "give the replication",
	},
	{
		name:   "SimpleStrategy",
		change: func(f *fakeCassandra) { replaceKeyspace(f, "SimpleStrategy", "'replication_factor': '3'") },
		want:   []string{"keyspace people replication: want NetworkTopologyStrategy, have SimpleStrategy"},
		remedy: `ALTER KEYSPACE "people" WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 3} and then ` + "`nodetool repair --full people`",
	},
	{
		name:   "SimpleStrategy, no replication configured",
		spec:   func(s *schema.Spec) { s.Replication = nil },
		change: func(f *fakeCassandra) { replaceKeyspace(f, "SimpleStrategy", "'replication_factor': '3'") },
		want:   []string{"keyspace people replication: want NetworkTopologyStrategy, have SimpleStrategy"},
		remedy: `'dc1': <replicas>`,
	},
	{
		name:   "local datacentre without replicas",
		spec:   func(s *schema.Spec) { s.Replication, s.LocalDatacentre = nil, "dc9" },
		want:   []string{"keyspace people datacentre dc9: want replicas in the local datacentre, have replicas in dc1, dc2 only"},
		remedy: `'dc1': 3, 'dc2': 3, 'dc9': <replicas>}`,
	},
	{
		name:   "any factors if no replication is configured",
		spec:   func(s *schema.Spec) { s.Replication = nil },
		change: func(f *fakeCassandra) { replaceKeyspace(f, "NetworkTopologyStrategy", "'dc1': '1'") }, fixable: true,
	},
	{
		name:   "table of Kask that must exist",
		spec:   func(s *schema.Spec) { s.Tables[1].MustExist = true },
		change: func(f *fakeCassandra) { delete(f.keyspaces["people"].tables, "stash") },
		want:   []string{"table people.stash: want a table of Kask, have none"},
		remedy: "name Kask's table in read_through",
	},
	{
		name:    "table of Kask that exists",
		spec:    func(s *schema.Spec) { s.Tables[1].MustExist, s.Tables[1].Fence = true, time.Minute },
		want:    []string{"column people.stash.gone: want boolean, have none"},
		remedy:  "userinfo schema apply",
		fixable: true,
	},
	{
		name:   "missing datacentre",
		change: func(f *fakeCassandra) { replaceKeyspace(f, "NetworkTopologyStrategy", "'dc1': '3'") },
		want:   []string{"keyspace people datacentre dc2: want replication factor 3, have no replicas"},
		remedy: "'dc1': 3, 'dc2': 3} and then `nodetool repair",
	},
	{
		name:   "datacentre with factor 0",
		change: func(f *fakeCassandra) { replaceKeyspace(f, "NetworkTopologyStrategy", "'dc1': '3', 'dc2': '0'") },
		want:   []string{"keyspace people datacentre dc2: want replication factor 3, have no replicas"},
		remedy: "repair",
	},
	{
		name: "another factor; an additional datacentre stays",
		change: func(f *fakeCassandra) {
			replaceKeyspace(f, "NetworkTopologyStrategy", "'dc1': '2', 'dc2': '3', 'dc3': '1'")
		},
		want:   []string{"keyspace people datacentre dc1: want replication factor 3, have replication factor 2"},
		remedy: "'dc1': 3, 'dc2': 3, 'dc3': 1}",
	},
	{
		name:   "transient replicas",
		change: func(f *fakeCassandra) { replaceKeyspace(f, "NetworkTopologyStrategy", "'dc1': '3/1', 'dc2': '3'") },
		want:   []string{"keyspace people datacentre dc1: want replication factor 3, have replication factor 3/1"},
		remedy: "repair",
	},
	{
		name:   "durable_writes is false",
		change: func(f *fakeCassandra) { f.keyspaces["people"].row["durable_writes"] = false },
		want:   []string{"keyspace people durable_writes: want true, have false"},
		remedy: `ALTER KEYSPACE "people" WITH durable_writes = true`,
	},
	{
		name:   "missing table",
		change: func(f *fakeCassandra) { delete(f.keyspaces["people"].tables, "stash") },
		want:   []string{"table people.stash: want a table, have none"},
		remedy: "userinfo schema apply", fixable: true,
	},
	{
		name: "a partition key of two columns",
		change: func(f *fakeCassandra) {
			recreate(f, "stash", "wiki text partition_key 1", "key text partition_key 0", "value blob regular")
		},
		want:   []string{"table people.stash primary key: want (key), have ((key, wiki))"},
		remedy: "another table",
	},
	{
		name: "a clustering column",
		change: func(f *fakeCassandra) {
			recreate(f, "stash", "at timestamp clustering 1", "n int clustering 0", "key text partition_key", "value blob regular")
		},
		want:   []string{"table people.stash primary key: want (key), have (key, n, at)"},
		remedy: "another table",
	},
	{
		name:   "key column with another name",
		change: func(f *fakeCassandra) { recreate(f, "stash", "id text partition_key", "value blob regular") },
		want:   []string{"table people.stash primary key: want (key), have (id)"},
		remedy: "another table",
	},
	{
		name:   "key type of the other layout",
		change: func(f *fakeCassandra) { recreate(f, "stash", "key blob partition_key", "value blob regular") },
		want:   []string{"column people.stash.key: want text, have blob"},
		remedy: "another layout",
	},
	{
		name: "text key in the sealed layout",
		change: func(f *fakeCassandra) {
			recreate(f, "sessions", "key text partition_key", "value blob regular", "gone boolean regular")
		},
		want:   []string{"column people.sessions.key: want blob, have text"},
		remedy: "another layout",
	},
	{
		name:   "missing value column",
		change: func(f *fakeCassandra) { recreate(f, "stash", "key text partition_key") },
		want:   []string{"column people.stash.value: want blob, have none"},
		remedy: "another table",
	},
	{
		name:   "wrong type of value",
		change: func(f *fakeCassandra) { recreate(f, "stash", "key text partition_key", "value text regular") },
		want:   []string{"column people.stash.value: want blob, have text"},
		remedy: "another table",
	},
	{
		name:   "missing marker column",
		change: func(f *fakeCassandra) { recreate(f, "sessions", "key blob partition_key", "value blob regular") },
		want:   []string{"column people.sessions.gone: want boolean, have none"},
		remedy: "userinfo schema apply", fixable: true,
	},
	{
		name:   "missing marker column in a Kask table with a fence",
		spec:   func(s *schema.Spec) { s.Tables[1].Fence = time.Minute },
		want:   []string{"column people.stash.gone: want boolean, have none"},
		remedy: "userinfo schema apply", fixable: true,
	},
	{
		name: "wrong type of marker",
		change: func(f *fakeCassandra) {
			recreate(f, "sessions", "key blob partition_key", "value blob regular", "gone int regular")
		},
		want:   []string{"column people.sessions.gone: want boolean, have int"},
		remedy: "another table",
	},
	{
		name: "additional columns, and a marker that is not needed",
		change: func(f *fakeCassandra) {
			recreate(f, "stash", "key text partition_key", "value blob regular", "gone text regular", "note text regular")
		},
		fixable: true,
	},
	{
		name:   "gc_grace_seconds is one second below the largest TTL",
		change: func(f *fakeCassandra) { setOption(f, "sessions", "gc_grace_seconds", 86399) },
		want:   []string{"table people.sessions gc_grace_seconds: want at least 86400, the largest TTL, have 86399"},
		remedy: "userinfo schema apply", fixable: true,
	},
	{
		name:   "a fraction of a second counts as a whole second",
		spec:   func(s *schema.Spec) { s.Tables[1].MaxTTL = time.Hour + time.Millisecond },
		want:   []string{"table people.stash gc_grace_seconds: want at least 3601, the largest TTL, have 3600"},
		remedy: "userinfo schema apply", fixable: true,
	},
	{
		name:   "fence longer than the largest TTL",
		spec:   func(s *schema.Spec) { s.Tables[0].Fence = 2 * day },
		want:   []string{"table people.sessions gc_grace_seconds: want at least 172803, the largest TTL, have 86400"},
		remedy: "userinfo schema apply", fixable: true,
	},
	{
		name:   "larger gc_grace_seconds",
		change: func(f *fakeCassandra) { setOption(f, "sessions", "gc_grace_seconds", 864000) }, fixable: true,
	},
	{
		name:   "no read repair",
		change: func(f *fakeCassandra) { setOption(f, "stash", "read_repair", "NONE") },
		want:   []string{"table people.stash read_repair: want BLOCKING, have NONE"},
		remedy: `ALTER TABLE "people"."stash" WITH read_repair = 'BLOCKING'`,
	},
	{
		name: "missing tables of pending deletes",
		change: func(f *fakeCassandra) {
			delete(f.keyspaces["people"].tables, "pending_delete_segments")
			delete(f.keyspaces["people"].tables, "pending_delete_entries")
		},
		want:   []string{"table people.pending_delete_segments: want a table, have none", "table people.pending_delete_entries: want a table, have none"},
		remedy: "userinfo schema apply", fixable: true,
	},
	{
		name: "other primary keys of pending deletes",
		change: func(f *fakeCassandra) {
			recreate(f, "pending_delete_segments", slices.Concat([]string{"bucket int partition_key", "segment text clustering 0", "collection text clustering 1"}, pendingSegments[3:])...)
			recreate(f, "pending_delete_entries", slices.Concat([]string{"segment text partition_key", "key blob partition_key 1"}, pendingEntries[2:])...)
		},
		want: []string{"table people.pending_delete_segments primary key: want (bucket, collection, segment), have (bucket, segment, collection)",
			"table people.pending_delete_entries primary key: want (segment, key), have ((segment, key))"},
		remedy: "drop the table",
	},
	{
		name: "wrong and missing columns of pending deletes",
		change: func(f *fakeCassandra) {
			recreate(f, "pending_delete_entries", slices.Concat(pendingEntries[:2], []string{"tombstone timestamp regular", "marker_ttl int regular"})...)
		},
		want:   []string{"column people.pending_delete_entries.marker: want bigint, have none", "column people.pending_delete_entries.tombstone: want bigint, have timestamp"},
		remedy: "drop the table",
	},
	{
		name: "any gc_grace_seconds and additional columns of pending deletes",
		change: func(f *fakeCassandra) {
			recreate(f, "pending_delete_segments", slices.Concat(pendingSegments, []string{"note text regular"})...)
			setOption(f, "pending_delete_segments", "gc_grace_seconds", 0)
		},
		fixable: true,
	},
	{
		name: "another table with the name of the earlier versions' table",
		change: func(f *fakeCassandra) {
			f.createTable("people", "pending_deletes", "600", slices.Concat(oldPendingDeletes[:5], []string{"marker_ttl bigint regular"})...)
		},
		want:   []string{"column people.pending_deletes.marker_ttl: want int, have bigint"},
		remedy: "drop the table",
	},
	{
		name:   "missing table of clocks",
		change: func(f *fakeCassandra) { delete(f.keyspaces["people"].tables, "instance_clocks") },
		want:   []string{"table people.instance_clocks: want a table, have none"},
		remedy: "userinfo schema apply", fixable: true,
	},
	{
		name: "wrong table of clocks",
		change: func(f *fakeCassandra) {
			recreate(f, "instance_clocks", slices.Concat(instanceClocks[1:4], []string{"heard map<text, bigint> regular"})...)
		},
		want: []string{"table people.instance_clocks primary key: want (board, instance), have (, instance)",
			"column people.instance_clocks.board: want int, have none",
			"column people.instance_clocks.heard: want frozen<map<text, bigint>>, have map<text, bigint>"},
		remedy: "drop the table",
	},
	{
		name:   "maximum timestamp equal to the fence",
		change: func(f *fakeCassandra) { f.settings["maximum_timestamp_fail_threshold"] = "60s" },
		want:   []string{wantMaximumTimestamp + "60s"},
		remedy: "cassandra.yaml of every node",
	},
	{
		name:   "maximum timestamp equal to the lead of a tombstone",
		change: func(f *fakeCassandra) { f.settings["maximum_timestamp_fail_threshold"] = "63s" },
		want:   []string{wantMaximumTimestamp + "63s"},
		remedy: "cassandra.yaml of every node",
	},
	{
		name:   "maximum timestamp larger than the lead of a tombstone",
		change: func(f *fakeCassandra) { f.settings["maximum_timestamp_fail_threshold"] = "63001ms" }, fixable: true,
	},
	{
		name:   "maximum timestamp in another unit",
		change: func(f *fakeCassandra) { f.settings["maximum_timestamp_fail_threshold"] = "62999999us" },
		want:   []string{wantMaximumTimestamp + "62999999us"},
		remedy: "raise it",
	},
	{
		name:   "maximum timestamp that cannot be parsed",
		change: func(f *fakeCassandra) { f.settings["maximum_timestamp_fail_threshold"] = "a while" },
		want:   []string{wantMaximumTimestamp + "a while"},
		remedy: "raise it",
	},
	{
		name:   "maximum timestamp of one day",
		change: func(f *fakeCassandra) { f.settings["maximum_timestamp_fail_threshold"] = "1d" }, fixable: true,
	},
	{
		name:   "maximum timestamp beyond Go's durations",
		change: func(f *fakeCassandra) { f.settings["maximum_timestamp_fail_threshold"] = "9000000d" }, fixable: true,
	},
	{
		name:   "Cassandra without guardrails",
		change: func(f *fakeCassandra) { clear(f.settings) }, fixable: true,
	},
	{
		name:   "minimum timestamp",
		change: func(f *fakeCassandra) { f.settings["minimum_timestamp_fail_threshold"] = "365d" },
		want:   []string{"setting minimum_timestamp_fail_threshold: want none, because a touch keeps the timestamp of its value, have 365d"},
		remedy: "remove it in the cassandra.yaml of every node",
	},
	{
		name: "a difference for an operator prevents all changes",
		change: func(f *fakeCassandra) {
			setOption(f, "sessions", "gc_grace_seconds", 0)
			recreate(f, "stash", "key text partition_key", "value text regular")
		},
		want:   []string{"table people.sessions gc_grace_seconds: want at least 86400, the largest TTL, have 0", "column people.stash.value: want blob, have text"},
		remedy: "userinfo schema apply",
	},
}

func TestCheck_NamesEveryDifference(t *testing.T) {
	for _, c := range differences {
		t.Run(c.name, func(t *testing.T) {
			s, f := twoTables(), asWanted(t)
			if c.spec != nil {
				c.spec(&s)
			}
			if c.change != nil {
				c.change(f)
			}
			found := check(t, f, s)
			if !slices.Equal(found.texts, c.want) {
				t.Errorf("Check says\n  %s\nwant\n  %s", strings.Join(found.texts, "\n  "), strings.Join(c.want, "\n  "))
			}
			if len(found.remedies) > 0 && !strings.Contains(found.remedies[0], c.remedy) {
				t.Errorf("the remedy is %q, want one with %q", found.remedies[0], c.remedy)
			}
			if len(f.changes) > 0 {
				t.Errorf("Check changed something: %q", f.changes)
			}
			if c.fixable {
				applyFixes(t, f, s, len(c.want))
			} else {
				applyRefuses(t, f, s, found)
			}
		})
	}
}

// checkResult is the result of Check, with the remedies apart.
type checkResult struct{ texts, remedies []string }

// check runs Check, which must not fail.
func check(t *testing.T, f schema.DB, s schema.Spec) (out checkResult) {
	t.Helper()
	found, err := schema.Check(t.Context(), f, s)
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	for _, d := range found {
		if d.Remedy == "" || !strings.HasSuffix(d.String(), "; "+d.Remedy) {
			t.Errorf("%q has no remedy", d)
		}
		out.texts = append(out.texts, strings.TrimSuffix(d.String(), "; "+d.Remedy))
		out.remedies = append(out.remedies, d.Remedy)
	}
	return out
}

var errConnectionLost = errors.New("connection lost")

// failAt returns a function for fakeCassandra.before that fails one statement.
func failAt(statement int) func(int) error {
	return func(n int) error {
		if n == statement {
			return errConnectionLost
		}
		return nil
	}
}

func TestCheck_ReturnsErrorWhenQueryFails(t *testing.T) {
	whole := asWanted(t)
	check(t, whole, twoTables())
	for n := 1; n <= whole.queries; n++ {
		f := asWanted(t)
		f.before = failAt(n)
		found, err := schema.Check(t.Context(), f, twoTables())
		if !errors.Is(err, errConnectionLost) || !strings.Contains(err.Error(), "reading ") || found != nil {
			t.Errorf("statement %d lost: differences %v, error %v", n, found, err)
		}
	}
}

func TestCheck_WarnsOfUnboundedSpeculativeRetry(t *testing.T) {
	for value, warned := range map[string]bool{
		"99p": true, "NEVER": true, "MAX(99p,50ms)": true, "50p": true,
		"MIN(95p,50ms)": false, "min(99.9p,20ms)": false, "20ms": false, "ALWAYS": false,
	} {
		f := asWanted(t)
		setOption(f, "sessions", "speculative_retry", value)
		found, err := schema.Check(t.Context(), f, twoTables())
		if err != nil {
			t.Fatal(err)
		}
		if !warned && len(found) > 0 {
			t.Errorf("%s: found %v, want nothing", value, found)
		}
		const remedy = `ALTER TABLE "people"."sessions" WITH speculative_retry = 'MIN(95p,50ms)' AND additional_write_policy = 'MIN(95p,50ms)'`
		if warned && (len(found) != 1 || !found[0].Warning || found[0].Have != value || !strings.HasSuffix(found[0].Remedy, remedy)) {
			t.Errorf("%s: found %v, want a warning that ends with %s", value, found, remedy)
		}
	}
}

func TestCheck_ReportsUnexpectedColumnType(t *testing.T) {
	for name, change := range map[string]func(*fakeCassandra){
		"replication":      func(f *fakeCassandra) { f.keyspaces["people"].row["replication"] = "SimpleStrategy" },
		"gc_grace_seconds": func(f *fakeCassandra) { setOption(f, "sessions", "gc_grace_seconds", int64(86400)) },
		"read_repair":      func(f *fakeCassandra) { setOption(f, "stash", "read_repair", nil) },
		"position":         func(f *fakeCassandra) { delete(f.keyspaces["people"].tables["stash"].columns["key"], "position") },
		"value":            func(f *fakeCassandra) { f.settings["maximum_timestamp_fail_threshold"] = 5 },
	} {
		f := asWanted(t)
		change(f)
		_, err := schema.Check(t.Context(), f, twoTables())
		if err == nil || !strings.Contains(err.Error(), "column "+name+" is a ") {
			t.Errorf("%s: error %v, want one that names the column", name, err)
		}
	}
}
