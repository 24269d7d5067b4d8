package schema

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// keyspace is one row of system_schema.keyspaces.
type keyspace struct {
	class       string            // replication strategy, without its Java package
	replication map[string]string // by datacentre, in Cassandra's notation; "3/1" has a transient replica
	durable     bool
}

// table is one row of system_schema.tables, with its columns.
type table struct {
	gcGrace          int // seconds
	readRepair       string
	speculativeRetry string
	types            map[string]string // CQL type by column
	primaryKey       string            // in CQL's notation, for example (key) or ((a, b), c)
}

// readKeyspace returns a keyspace, or nil if it does not exist.
func readKeyspace(ctx context.Context, db DB, name string) (*keyspace, error) {
	rows, err := db.Query(ctx,
		`SELECT replication, durable_writes FROM system_schema.keyspaces WHERE keyspace_name = ?`, name)
	if err != nil {
		return nil, fmt.Errorf("reading keyspace %s from system_schema: %w", name, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	r := row{values: rows[0]}
	k := &keyspace{replication: map[string]string{}, durable: get[bool](&r, "durable_writes")}
	for option, value := range get[map[string]string](&r, "replication") {
		if option == "class" {
			k.class = value[strings.LastIndexByte(value, '.')+1:]
		} else {
			k.replication[option] = value
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("reading keyspace %s from system_schema: %w", name, r.err)
	}
	return k, nil
}

// readTable returns a table, or nil if it does not exist.
func readTable(ctx context.Context, db DB, keyspace, name string) (*table, error) {
	fail := func(err error) (*table, error) {
		return nil, fmt.Errorf("reading table %s.%s from system_schema: %w", keyspace, name, err)
	}
	rows, err := db.Query(ctx,
		`SELECT gc_grace_seconds, read_repair, speculative_retry FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?`,
		keyspace, name)
	if err != nil {
		return fail(err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	r := row{values: rows[0]}
	t := &table{gcGrace: get[int](&r, "gc_grace_seconds"), readRepair: get[string](&r, "read_repair"), speculativeRetry: get[string](&r, "speculative_retry"), types: map[string]string{}}
	if r.err != nil {
		return fail(r.err)
	}
	rows, err = db.Query(ctx,
		`SELECT column_name, kind, position, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?`,
		keyspace, name)
	if err != nil {
		return fail(err)
	}
	keys := map[string][]keyColumn{}
	for _, values := range rows {
		r := row{values: values}
		column, kind := get[string](&r, "column_name"), get[string](&r, "kind")
		t.types[column] = get[string](&r, "type")
		keys[kind] = append(keys[kind], keyColumn{get[int](&r, "position"), column})
		if r.err != nil {
			return fail(r.err)
		}
	}
	t.primaryKey = primaryKey(keys["partition_key"], keys["clustering"])
	return t, nil
}

type keyColumn struct {
	position int
	name     string
}

// primaryKey returns a primary key in CQL's notation.
func primaryKey(partition, clustering []keyColumn) string {
	names := func(columns []keyColumn) (list []string) {
		slices.SortFunc(columns, func(a, b keyColumn) int { return a.position - b.position })
		for _, c := range columns {
			list = append(list, c.name)
		}
		return list
	}
	first := strings.Join(names(partition), ", ")
	if len(partition) > 1 {
		first = "(" + first + ")"
	}
	return "(" + strings.Join(append([]string{first}, names(clustering)...), ", ") + ")"
}

// readSettings returns settings of one node. A setting that is not set, or that its version of Cassandra does not have, is an
// empty string.
func readSettings(ctx context.Context, db DB, address string, names []string) (map[string]string, error) {
	rows, err := db.QueryNode(ctx, address, `SELECT name, value FROM system_views.settings WHERE name IN ?`, names)
	if err != nil {
		return nil, fmt.Errorf("reading the settings of node %s: %w", address, err)
	}
	settings := map[string]string{}
	for _, values := range rows {
		r := row{values: values}
		settings[get[string](&r, "name")] = get[string](&r, "value")
		if r.err != nil {
			return nil, fmt.Errorf("reading the settings of node %s: %w", address, r.err)
		}
	}
	return settings, nil
}

// node is one row of system.local or system.peers.
type node struct {
	address    string
	datacentre string
	version    string // of the schema
}

// String describes the node for an operator.
func (n node) String() string { return n.address + " (" + n.datacentre + ")" }

// readNodes returns the nodes of the cluster as the node that answers knows them: first itself, then its peers, which may
// be down.
func readNodes(ctx context.Context, db DB) (nodes []node, err error) {
	for _, from := range []string{"broadcast_address AS text) AS address FROM system.local", "peer AS text) AS address FROM system.peers"} {
		rows, err := db.Query(ctx, `SELECT data_center, CAST(schema_version AS text) AS version, CAST(`+from)
		if err != nil {
			return nil, fmt.Errorf("reading the nodes of the cluster: %w", err)
		}
		for _, values := range rows {
			r := row{values: values}
			n := node{get[string](&r, "address"), get[string](&r, "data_center"), get[string](&r, "version")}
			if r.err != nil {
				return nil, fmt.Errorf("reading the nodes of the cluster: %w", r.err)
			}
			// A node that has left may stay in system.peers as a row with nothing but its address.
			if n.datacentre != "" {
				nodes = append(nodes, n)
			}
		}
	}
	return nodes, nil
}

// row is one row of a result. err is the first error of the get calls on it.
type row struct {
	values map[string]any
	err    error
}

// get returns the value of a column. If the column has another type, it sets r.err and returns the zero value.
func get[T any](r *row, column string) T {
	value, ok := r.values[column].(T)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("column %s is a %T, but Cassandra 4.0 and later have a %T", column, r.values[column], value)
	}
	return value
}
