package schema_test

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"userinfo/schema"
	"userinfo/store"
)

const day = 24 * time.Hour

// twoTables is a Spec with a table of each layout; only the first has a fence.
func twoTables() schema.Spec {
	return schema.Spec{
		Keyspace: "people", Replication: map[string]int{"dc1": 3, "dc2": 3}, LocalDatacentre: "dc1",
		Tables: []schema.Table{
			{Name: "sessions", Layout: store.LayoutUserInfo, MaxTTL: day, Fence: time.Minute},
			{Name: "stash", Layout: store.LayoutKask, MaxTTL: time.Hour},
		},
	}
}

// asWanted is a Cassandra that has what twoTables asks for, and no more gc_grace than needed.
func asWanted(t *testing.T) *fake {
	f := newFake(t)
	f.createKeyspace("people", "NetworkTopologyStrategy", "'dc1': '3', 'dc2': '3'")
	f.createTable("people", "sessions", "86400", "key blob partition_key", "value blob regular", "gone boolean regular")
	f.createTable("people", "stash", "3600", "key text partition_key", "value blob regular")
	f.createTable("people", "pending_deletes", "600", pendingDeletes...)
	f.createTable("people", "instance_clocks", "600", instanceClocks...)
	return f
}

// again makes the tables anew, with other columns.
func again(f *fake, table string, columns ...string) {
	delete(f.keyspaces["people"].tables, table)
	f.createTable("people", table, "864000", columns...)
}

func replication(f *fake, class, options string) {
	delete(f.keyspaces, "people")
	f.createKeyspace("people", class, options)
	f.createTable("people", "sessions", "86400", "key blob partition_key", "value blob regular", "gone boolean regular")
	f.createTable("people", "stash", "3600", "key text partition_key", "value blob regular")
	f.createTable("people", "pending_deletes", "600", pendingDeletes...)
	f.createTable("people", "instance_clocks", "600", instanceClocks...)
}

func option(f *fake, table, name string, value any) {
	f.keyspaces["people"].tables[table].row[name] = value
}

// Every way in which a live schema can differ. live makes it differ from asWanted; want is what Check says, without the
// remedy; remedy is a part of the first one's. Apply mends a case, or it refuses it whole.
var differences = []struct {
	claim  string
	spec   func(*schema.Spec)
	live   func(*fake)
	want   []string
	remedy string
	mended bool
}{
	{claim: "a schema as wanted has no difference", mended: true},
	{
		claim:  "an empty Cassandra lacks the keyspace and each table",
		live:   func(f *fake) { delete(f.keyspaces, "people") },
		want:   []string{"keyspace people: want a keyspace, have none", "table people.sessions: want a table, have none", "table people.stash: want a table, have none", "table people.pending_deletes: want a table, have none", "table people.instance_clocks: want a table, have none"},
		remedy: "userinfo schema apply", mended: true,
	},
	{
		claim:  "a keyspace cannot be created without a replication",
		spec:   func(s *schema.Spec) { s.Replication = nil },
		live:   func(f *fake) { delete(f.keyspaces, "people") },
		want:   []string{"keyspace people: want a keyspace, have none", "table people.sessions: want a table, have none", "table people.stash: want a table, have none", "table people.pending_deletes: want a table, have none", "table people.instance_clocks: want a table, have none"},
		remedy: "give the replication",
	},
	{
		claim:  "SimpleStrategy makes EACH_QUORUM a plain QUORUM",
		live:   func(f *fake) { replication(f, "SimpleStrategy", "'replication_factor': '3'") },
		want:   []string{"keyspace people replication: want NetworkTopologyStrategy, have SimpleStrategy"},
		remedy: `ALTER KEYSPACE "people" WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 3} and then ` + "`nodetool repair --full people`",
	},
	{
		claim:  "SimpleStrategy, where no replication is given, leaves the factor to the operator",
		spec:   func(s *schema.Spec) { s.Replication = nil },
		live:   func(f *fake) { replication(f, "SimpleStrategy", "'replication_factor': '3'") },
		want:   []string{"keyspace people replication: want NetworkTopologyStrategy, have SimpleStrategy"},
		remedy: `'dc1': <replicas>`,
	},
	{
		claim:  "the local datacentre has no replicas",
		spec:   func(s *schema.Spec) { s.Replication, s.LocalDatacentre = nil, "dc9" },
		want:   []string{"keyspace people datacentre dc9: want replicas in the local datacentre, have replicas in dc1, dc2 only"},
		remedy: `'dc1': 3, 'dc2': 3, 'dc9': <replicas>}`,
	},
	{
		claim: "without a replication given the factors may be any",
		spec:  func(s *schema.Spec) { s.Replication = nil },
		live:  func(f *fake) { replication(f, "NetworkTopologyStrategy", "'dc1': '1'") }, mended: true,
	},
	{
		claim:  "a datacentre of the replication is missing",
		live:   func(f *fake) { replication(f, "NetworkTopologyStrategy", "'dc1': '3'") },
		want:   []string{"keyspace people datacentre dc2: want replication factor 3, have no replicas"},
		remedy: "'dc1': 3, 'dc2': 3} and then `nodetool repair",
	},
	{
		claim:  "a datacentre with factor 0 has no replicas",
		live:   func(f *fake) { replication(f, "NetworkTopologyStrategy", "'dc1': '3', 'dc2': '0'") },
		want:   []string{"keyspace people datacentre dc2: want replication factor 3, have no replicas"},
		remedy: "repair",
	},
	{
		claim:  "a datacentre has another factor, and one that nobody named stays as it is",
		live:   func(f *fake) { replication(f, "NetworkTopologyStrategy", "'dc1': '2', 'dc2': '3', 'dc3': '1'") },
		want:   []string{"keyspace people datacentre dc1: want replication factor 3, have replication factor 2"},
		remedy: "'dc1': 3, 'dc2': 3, 'dc3': 1}",
	},
	{
		claim:  "transient replicas do not count as whole ones",
		live:   func(f *fake) { replication(f, "NetworkTopologyStrategy", "'dc1': '3/1', 'dc2': '3'") },
		want:   []string{"keyspace people datacentre dc1: want replication factor 3, have replication factor 3/1"},
		remedy: "repair",
	},
	{
		claim:  "writes that skip the commit log are lost in a crash",
		live:   func(f *fake) { f.keyspaces["people"].row["durable_writes"] = false },
		want:   []string{"keyspace people durable_writes: want true, have false"},
		remedy: `ALTER KEYSPACE "people" WITH durable_writes = true`,
	},
	{
		claim:  "a table is missing",
		live:   func(f *fake) { delete(f.keyspaces["people"].tables, "stash") },
		want:   []string{"table people.stash: want a table, have none"},
		remedy: "userinfo schema apply", mended: true,
	},
	{
		claim: "a partition key of two columns",
		live: func(f *fake) {
			again(f, "stash", "wiki text partition_key 1", "key text partition_key 0", "value blob regular")
		},
		want:   []string{"table people.stash primary key: want (key), have ((key, wiki))"},
		remedy: "another table",
	},
	{
		claim: "a clustering column",
		live: func(f *fake) {
			again(f, "stash", "at timestamp clustering 1", "n int clustering 0", "key text partition_key", "value blob regular")
		},
		want:   []string{"table people.stash primary key: want (key), have (key, n, at)"},
		remedy: "another table",
	},
	{
		claim:  "a key of another name",
		live:   func(f *fake) { again(f, "stash", "id text partition_key", "value blob regular") },
		want:   []string{"table people.stash primary key: want (key), have (id)"},
		remedy: "another table",
	},
	{
		claim:  "the key's type is the other layout's",
		live:   func(f *fake) { again(f, "stash", "key blob partition_key", "value blob regular") },
		want:   []string{"column people.stash.key: want text, have blob"},
		remedy: "another layout",
	},
	{
		claim: "the sealed layout's key is a blob",
		live: func(f *fake) {
			again(f, "sessions", "key text partition_key", "value blob regular", "gone boolean regular")
		},
		want:   []string{"column people.sessions.key: want blob, have text"},
		remedy: "another layout",
	},
	{
		claim:  "there is no value",
		live:   func(f *fake) { again(f, "stash", "key text partition_key") },
		want:   []string{"column people.stash.value: want blob, have none"},
		remedy: "another table",
	},
	{
		claim:  "the value's type is wrong",
		live:   func(f *fake) { again(f, "stash", "key text partition_key", "value text regular") },
		want:   []string{"column people.stash.value: want blob, have text"},
		remedy: "another table",
	},
	{
		claim:  "the marker is missing",
		live:   func(f *fake) { again(f, "sessions", "key blob partition_key", "value blob regular") },
		want:   []string{"column people.sessions.gone: want boolean, have none"},
		remedy: "userinfo schema apply", mended: true,
	},
	{
		claim:  "a Kask table that has a fence lacks the marker",
		spec:   func(s *schema.Spec) { s.Tables[1].Fence = time.Minute },
		want:   []string{"column people.stash.gone: want boolean, have none"},
		remedy: "userinfo schema apply", mended: true,
	},
	{
		claim: "the marker's type is wrong",
		live: func(f *fake) {
			again(f, "sessions", "key blob partition_key", "value blob regular", "gone int regular")
		},
		want:   []string{"column people.sessions.gone: want boolean, have int"},
		remedy: "another table",
	},
	{
		claim: "further columns are no difference, nor a marker that nobody needs",
		live: func(f *fake) {
			again(f, "stash", "key text partition_key", "value blob regular", "gone text regular", "note text regular")
		},
		mended: true,
	},
	{
		claim:  "gc_grace_seconds is one second below the largest TTL",
		live:   func(f *fake) { option(f, "sessions", "gc_grace_seconds", 86399) },
		want:   []string{"table people.sessions gc_grace_seconds: want at least 86400, the largest TTL, have 86399"},
		remedy: "userinfo schema apply", mended: true,
	},
	{
		claim:  "a part of a second of TTL counts as a whole one",
		spec:   func(s *schema.Spec) { s.Tables[1].MaxTTL = time.Hour + time.Millisecond },
		want:   []string{"table people.stash gc_grace_seconds: want at least 3601, the largest TTL, have 3600"},
		remedy: "userinfo schema apply", mended: true,
	},
	{
		claim:  "a fence that is longer than the TTL needs its markers kept as long",
		spec:   func(s *schema.Spec) { s.Tables[0].Fence = 2 * day },
		want:   []string{"table people.sessions gc_grace_seconds: want at least 172800, the largest TTL, have 86400"},
		remedy: "userinfo schema apply", mended: true,
	},
	{
		claim: "a larger gc_grace_seconds is no difference",
		live:  func(f *fake) { option(f, "sessions", "gc_grace_seconds", 864000) }, mended: true,
	},
	{
		claim:  "without read repair a value may come back after a read that did not see it",
		live:   func(f *fake) { option(f, "stash", "read_repair", "NONE") },
		want:   []string{"table people.stash read_repair: want BLOCKING, have NONE"},
		remedy: `ALTER TABLE "people"."stash" WITH read_repair = 'BLOCKING'`,
	},
	{
		claim:  "the table of pending deletes is missing, as where the service is older",
		live:   func(f *fake) { delete(f.keyspaces["people"].tables, "pending_deletes") },
		want:   []string{"table people.pending_deletes: want a table, have none"},
		remedy: "userinfo schema apply", mended: true,
	},
	{
		claim: "the table of pending deletes has another primary key",
		live: func(f *fake) {
			again(f, "pending_deletes", slices.Concat([]string{"bucket int partition_key", "key blob clustering 0", "collection text clustering 1"}, pendingDeletes[3:])...)
		},
		want:   []string{"table people.pending_deletes primary key: want (bucket, collection, key), have (bucket, key, collection)"},
		remedy: "drop the table",
	},
	{
		claim: "a column of pending deletes has another type, another is missing",
		live: func(f *fake) {
			again(f, "pending_deletes", slices.Concat(pendingDeletes[:3], []string{"tombstone timestamp regular", "marker_ttl int regular"})...)
		},
		want:   []string{"column people.pending_deletes.marker: want bigint, have none", "column people.pending_deletes.tombstone: want bigint, have timestamp"},
		remedy: "drop the table",
	},
	{
		claim: "pending deletes may have any gc_grace_seconds, and further columns",
		live: func(f *fake) {
			again(f, "pending_deletes", slices.Concat(pendingDeletes, []string{"note text regular"})...)
			option(f, "pending_deletes", "gc_grace_seconds", 0)
		},
		mended: true,
	},
	{
		claim:  "the table of clocks is missing, as where the service is older",
		live:   func(f *fake) { delete(f.keyspaces["people"].tables, "instance_clocks") },
		want:   []string{"table people.instance_clocks: want a table, have none"},
		remedy: "userinfo schema apply", mended: true,
	},
	{
		claim: "the table of clocks is another",
		live: func(f *fake) {
			again(f, "instance_clocks", slices.Concat(instanceClocks[1:4], []string{"heard map<text, bigint> regular"})...)
		},
		want: []string{"table people.instance_clocks primary key: want (board, instance), have (, instance)",
			"column people.instance_clocks.board: want int, have none",
			"column people.instance_clocks.heard: want frozen<map<text, bigint>>, have map<text, bigint>"},
		remedy: "drop the table",
	},
	{
		claim:  "Cassandra refuses timestamps as far ahead as the fence",
		live:   func(f *fake) { f.settings["maximum_timestamp_fail_threshold"] = "60s" },
		want:   []string{"setting maximum_timestamp_fail_threshold: want none, or more than the fence of 1m0s, have 60s"},
		remedy: "cassandra.yaml of every node",
	},
	{
		claim:  "a limit in a smaller unit is read as such",
		live:   func(f *fake) { f.settings["maximum_timestamp_fail_threshold"] = "59999999us" },
		want:   []string{"setting maximum_timestamp_fail_threshold: want none, or more than the fence of 1m0s, have 59999999us"},
		remedy: "raise it",
	},
	{
		claim:  "a limit that cannot be read is not taken for a good one",
		live:   func(f *fake) { f.settings["maximum_timestamp_fail_threshold"] = "a while" },
		want:   []string{"setting maximum_timestamp_fail_threshold: want none, or more than the fence of 1m0s, have a while"},
		remedy: "raise it",
	},
	{
		claim: "a limit of days is above the fence",
		live:  func(f *fake) { f.settings["maximum_timestamp_fail_threshold"] = "1d" }, mended: true,
	},
	{
		claim: "a limit beyond what Go's durations hold is above the fence",
		live:  func(f *fake) { f.settings["maximum_timestamp_fail_threshold"] = "9000000d" }, mended: true,
	},
	{
		claim: "a Cassandra that has no such settings limits nothing",
		live:  func(f *fake) { clear(f.settings) }, mended: true,
	},
	{
		claim:  "a touch keeps a timestamp of any age",
		live:   func(f *fake) { f.settings["minimum_timestamp_fail_threshold"] = "365d" },
		want:   []string{"setting minimum_timestamp_fail_threshold: want none, since a touch keeps the timestamp of its value, have 365d"},
		remedy: "remove it in the cassandra.yaml of every node",
	},
	{
		claim: "one thing that is the operator's keeps Apply from all the others",
		live: func(f *fake) {
			option(f, "sessions", "gc_grace_seconds", 0)
			again(f, "stash", "key text partition_key", "value text regular")
		},
		want:   []string{"table people.sessions gc_grace_seconds: want at least 86400, the largest TTL, have 0", "column people.stash.value: want blob, have text"},
		remedy: "userinfo schema apply",
	},
}

func TestCheckNamesEachDifferenceAndApplyMendsItOrRefuses(t *testing.T) {
	for _, c := range differences {
		t.Run(c.claim, func(t *testing.T) {
			s, f := twoTables(), asWanted(t)
			if c.spec != nil {
				c.spec(&s)
			}
			if c.live != nil {
				c.live(f)
			}
			found := check(t, f, s)
			if !slices.Equal(found.said, c.want) {
				t.Errorf("Check says\n  %s\nwant\n  %s", strings.Join(found.said, "\n  "), strings.Join(c.want, "\n  "))
			}
			if len(found.remedies) > 0 && !strings.Contains(found.remedies[0], c.remedy) {
				t.Errorf("the remedy is %q, want one with %q", found.remedies[0], c.remedy)
			}
			if len(f.changes) > 0 {
				t.Errorf("Check changed something: %q", f.changes)
			}
			if c.mended {
				mends(t, f, s, len(c.want))
			} else {
				refuses(t, f, s, found)
			}
		})
	}
}

type checked struct{ said, remedies []string }

// check returns what Check says, the remedies apart.
func check(t *testing.T, f schema.DB, s schema.Spec) (out checked) {
	t.Helper()
	found, err := schema.Check(t.Context(), f, s)
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	for _, d := range found {
		if d.Remedy == "" || !strings.HasSuffix(d.String(), "; "+d.Remedy) {
			t.Errorf("%q says no remedy", d)
		}
		out.said = append(out.said, strings.TrimSuffix(d.String(), "; "+d.Remedy))
		out.remedies = append(out.remedies, d.Remedy)
	}
	return out
}

func mends(t *testing.T, f *fake, s schema.Spec, changes int) {
	t.Helper()
	for round, want := range []int{changes, 0} {
		f.changes = nil
		if err := schema.Apply(t.Context(), f, s, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatalf("Apply: %v", err)
		}
		if len(f.changes) != want {
			t.Errorf("Apply no. %d ran %q, want %d statements", round+1, f.changes, want)
		}
	}
	if found := check(t, f, s); len(found.said) > 0 {
		t.Errorf("after Apply there still differs %q", found.said)
	}
}

func refuses(t *testing.T, f *fake, s schema.Spec, found checked) {
	t.Helper()
	err := schema.Apply(t.Context(), f, s, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("Apply succeeded, want it refused")
	}
	operators := 0
	for i, said := range found.said {
		if !strings.Contains(found.remedies[i], "run `userinfo schema apply` (") {
			operators++
			if !strings.Contains(err.Error(), said+"; "+found.remedies[i]) {
				t.Errorf("Apply's error does not name %q:\n%v", said, err)
			}
		}
	}
	if operators == 0 {
		t.Errorf("Apply refused what it is said to do itself: %v", err)
	}
	if len(f.changes) > 0 {
		t.Errorf("Apply refused and yet ran %q", f.changes)
	}
}

func TestApplyGivesGCGraceTheLargestTTLInWholeHoursAndOneMore(t *testing.T) {
	for ttl, want := range map[time.Duration]int{
		time.Second: 7200, time.Hour: 7200, time.Hour + time.Second: 10800, day: 90000, 20 * 365 * day: 630723600,
	} {
		s, f := twoTables(), newFake(t)
		s.Tables = s.Tables[:1]
		s.Tables[0].MaxTTL, s.Tables[0].Fence = ttl, 0
		mends(t, f, s, 4)
		if have := f.keyspaces["people"].tables["sessions"].row["gc_grace_seconds"]; have != want {
			t.Errorf("largest TTL %v: gc_grace_seconds is %v, want %d", ttl, have, want)
		}
	}
}

func TestApplyCreatesWhatTheSpecSays(t *testing.T) {
	f := newFake(t)
	s := twoTables()
	s.Replication = map[string]int{"us-east_1": 3, "DC1": 1}
	s.LocalDatacentre = "DC1"
	mends(t, f, s, 5)
	want := map[string]string{"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "us-east_1": "3", "DC1": "1"}
	if have := f.keyspaces["people"].row["replication"].(map[string]string); !maps.Equal(have, want) {
		t.Errorf("replication is %v, want %v", have, want)
	}
}
