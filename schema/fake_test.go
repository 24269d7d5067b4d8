package schema_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fakeCassandra has a system_schema and settings, and accepts only the statements of this package; any other statement
// fails the test. With it, tests can set up every difference. The integration test checks that a real Cassandra agrees.
type fakeCassandra struct {
	t         *testing.T
	keyspaces map[string]*fakeKeyspace
	settings  map[string]any
	differ    map[string]map[string]any // settings of a node that differ, by address
	silent    map[string]error          // the error of statements on a node, by address
	nodes     []fakeNode                // the first one answers
	began     time.Time                 // of the nodes' heartbeats
	changed   []time.Time               // when each change of the schema was made
	noGossip  error                     // the error of reading heartbeats; nil: they can be read
	changes   []string                  // all statements except SELECT
	queries   int                       // number of statements
	before    func(int) error           // called before each statement with its number, from 1; may be nil
	applied   error                     // the error of changes that were made; may be nil
	swallow   bool                      // changes succeed without changing anything
}

// fakeNode is a node of the cluster. A change of the schema reaches it after delay, unless it is down.
type fakeNode struct {
	address, datacentre string
	down                bool
	delay               time.Duration
	has                 int // number of changes that a node has which is down
}

type fakeKeyspace struct {
	row    map[string]any
	tables map[string]*fakeTable
}

type fakeTable struct {
	row     map[string]any
	columns map[string]map[string]any
}

func newFake(t *testing.T) *fakeCassandra {
	return &fakeCassandra{t: t, keyspaces: map[string]*fakeKeyspace{}, settings: map[string]any{
		"maximum_timestamp_fail_threshold": "", "minimum_timestamp_fail_threshold": "",
	}, nodes: []fakeNode{{address: "10.1.0.1", datacentre: "dc1"}}, began: time.Now()}
}

func (f *fakeCassandra) Query(_ context.Context, cql string, args ...any) ([]map[string]any, error) {
	f.queries++
	if f.before != nil {
		if err := f.before(f.queries); err != nil {
			return nil, err
		}
	}
	if strings.HasSuffix(cql, " FROM system_views.gossip_info") {
		return f.heartbeats(), f.noGossip
	}
	if from := regexp.MustCompile(`^SELECT .* FROM (\S+)(?: WHERE |$)`).FindStringSubmatch(cql); from != nil {
		return f.read(from[1], args), nil
	}
	f.changes, f.changed = append(f.changes, cql), append(f.changed, time.Now())
	if f.swallow {
		return nil, nil
	}
	if err := f.change(cql); err != nil {
		return nil, err
	}
	return nil, f.applied
}

func (f *fakeCassandra) Nodes() (addresses []string) {
	for _, n := range f.nodes {
		if n.datacentre == "dc1" && !n.down {
			addresses = append(addresses, n.address)
		}
	}
	slices.Sort(addresses)
	return addresses
}

// QueryNode reads the settings of a node.
func (f *fakeCassandra) QueryNode(_ context.Context, address, cql string, args ...any) (rows []map[string]any, err error) {
	if cql != "SELECT name, value FROM system_views.settings WHERE name IN ?" {
		f.t.Fatalf("a statement on one node reads %s, not its settings", cql)
	}
	f.queries++
	if f.before != nil {
		if err := f.before(f.queries); err != nil {
			return nil, err
		}
	}
	if err := f.silent[address]; err != nil {
		return nil, err
	}
	settings := maps.Clone(f.settings)
	maps.Copy(settings, f.differ[address])
	for _, name := range args[0].([]string) {
		if value, ok := settings[name]; ok {
			rows = append(rows, map[string]any{"name": name, "value": value})
		}
	}
	return rows, nil
}

func (f *fakeCassandra) read(from string, args []any) []map[string]any {
	switch from {
	case "system.local":
		return f.nodeRows(f.nodes[:1])
	case "system.peers":
		return f.nodeRows(f.nodes[1:])
	}
	ks := f.keyspaces[args[0].(string)]
	if ks == nil {
		return nil
	}
	if from == "system_schema.keyspaces" {
		return []map[string]any{ks.row}
	}
	table := ks.tables[args[1].(string)]
	switch {
	case table == nil:
		return nil
	case from == "system_schema.tables":
		return []map[string]any{table.row}
	case from == "system_schema.columns":
		var rows []map[string]any
		for column := range maps.Values(table.columns) {
			rows = append(rows, column)
		}
		return rows
	}
	f.t.Fatalf("the fake has no table %s", from)
	return nil
}

func (f *fakeCassandra) nodeRows(nodes []fakeNode) (rows []map[string]any) {
	for _, n := range nodes {
		version := 0
		for i, at := range f.changed {
			if n.down && i < n.has || !n.down && time.Since(at) >= n.delay {
				version = i + 1
			}
		}
		rows = append(rows, map[string]any{"address": n.address, "data_center": n.datacentre, "version": fmt.Sprint("v", version)})
	}
	return rows
}

// heartbeats returns heartbeats that rise every second, except those of nodes that are down.
func (f *fakeCassandra) heartbeats() (rows []map[string]any) {
	for _, n := range f.nodes {
		beats := int(time.Since(f.began) / time.Second)
		if n.down {
			beats = 0
		}
		rows = append(rows, map[string]any{"address": n.address, "generation": 1, "heartbeat": beats})
	}
	return rows
}

func (f *fakeCassandra) change(cql string) error {
	match := func(pattern string) []string { return regexp.MustCompile("^" + pattern + "$").FindStringSubmatch(cql) }
	if m := match(`CREATE KEYSPACE IF NOT EXISTS "(\w+)" WITH replication = \{'class': '(\w+)'(.*)\} AND durable_writes = true`); m != nil {
		return f.createKeyspace(m[1], m[2], m[3])
	}
	if m := match(`CREATE TABLE IF NOT EXISTS "(\w+)"\."(\w+)" \( key (\w+) PRIMARY KEY, value blob(, gone boolean)? \) WITH gc_grace_seconds = (\d+) AND .*`); m != nil {
		columns := []string{"key " + m[3] + " partition_key", "value blob regular"}
		if m[4] != "" {
			columns = append(columns, "gone boolean regular")
		}
		return f.createTable(m[1], m[2], m[5], columns...)
	}
	if m := match(`CREATE TABLE IF NOT EXISTS "(\w+)"\."(pending_delete_segments)" \( bucket int, collection text, segment text, used bigint, ` +
		`PRIMARY KEY \(bucket, collection, segment\) \) WITH gc_grace_seconds = (\d+) AND .*`); m != nil {
		return f.createTable(m[1], m[2], m[3], pendingSegments...)
	}
	if m := match(`CREATE TABLE IF NOT EXISTS "(\w+)"\."(pending_delete_entries)" \( segment text, key blob, tombstone bigint, marker bigint, ` +
		`marker_ttl int, PRIMARY KEY \(segment, key\) \) WITH gc_grace_seconds = (\d+) AND .*`); m != nil {
		return f.createTable(m[1], m[2], m[3], pendingEntries...)
	}
	if m := match(`CREATE TABLE IF NOT EXISTS "(\w+)"\."(instance_clocks)" \( board int, instance text, datacentre text, wrote bigint, ` +
		`heard frozen<map<text, bigint>>, PRIMARY KEY \(board, instance\) \) WITH gc_grace_seconds = (\d+) AND .*`); m != nil {
		return f.createTable(m[1], m[2], m[3], instanceClocks...)
	}
	if m := match(`ALTER TABLE "(\w+)"\."(\w+)" ADD gone boolean`); m != nil {
		columns := f.keyspaces[m[1]].tables[m[2]].columns
		if columns["gone"] != nil {
			return fmt.Errorf("column with name 'gone' already exists")
		}
		columns["gone"] = column("gone boolean regular")
		return nil
	}
	if m := match(`ALTER TABLE "(\w+)"\."(\w+)" WITH gc_grace_seconds = (\d+)`); m != nil {
		f.keyspaces[m[1]].tables[m[2]].row["gc_grace_seconds"], _ = strconv.Atoi(m[3])
		return nil
	}
	f.t.Fatalf("this package may not run: %s", cql)
	return nil
}

func (f *fakeCassandra) createKeyspace(name, class, options string) error {
	if f.keyspaces[name] != nil {
		return nil
	}
	replication := map[string]string{"class": "org.apache.cassandra.locator." + class}
	for _, m := range regexp.MustCompile(`'([^']+)': '?([\d/]+)`).FindAllStringSubmatch(options, -1) {
		replication[m[1]] = m[2]
	}
	f.keyspaces[name] = &fakeKeyspace{
		row:    map[string]any{"replication": replication, "durable_writes": true},
		tables: map[string]*fakeTable{},
	}
	return nil
}

var pendingSegments = []string{"bucket int partition_key", "collection text clustering 0", "segment text clustering 1", "used bigint regular"}

var pendingEntries = []string{"segment text partition_key", "key blob clustering 0", "tombstone bigint regular", "marker bigint regular",
	"marker_ttl int regular"}

// oldPendingDeletes is the table of earlier versions.
var oldPendingDeletes = []string{"bucket int partition_key", "collection text clustering 0", "key blob clustering 1",
	"tombstone bigint regular", "marker bigint regular", "marker_ttl int regular"}

var instanceClocks = []string{"board int partition_key", "instance text clustering 0", "datacentre text regular",
	"wrote bigint regular", "heard frozen<map<text, bigint>> regular"}

// createTable creates a table. A column is "name type kind" or "name type kind position".
func (f *fakeCassandra) createTable(keyspace, name, gcGrace string, columns ...string) error {
	ks := f.keyspaces[keyspace]
	if ks == nil {
		return fmt.Errorf("keyspace %s does not exist", keyspace)
	}
	if ks.tables[name] != nil {
		return nil
	}
	grace, _ := strconv.Atoi(gcGrace)
	table := &fakeTable{map[string]any{"gc_grace_seconds": grace, "read_repair": "BLOCKING", "speculative_retry": "MIN(95p,50ms)"}, map[string]map[string]any{}}
	for _, text := range columns {
		c := column(text)
		table.columns[c["column_name"].(string)] = c
	}
	ks.tables[name] = table
	return nil
}

func column(text string) map[string]any {
	fields := strings.Fields(strings.ReplaceAll(text, ", ", ","))
	position := map[string]int{"partition_key": 0, "clustering": 0, "regular": -1}[fields[2]]
	if len(fields) > 3 {
		position, _ = strconv.Atoi(fields[3])
	}
	return map[string]any{"column_name": fields[0], "type": strings.ReplaceAll(fields[1], ",", ", "), "kind": fields[2], "position": position}
}
