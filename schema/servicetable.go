package schema

import (
	"context"
	"maps"
	"slices"
)

// Names of the tables that the service itself needs in every keyspace. Any gc_grace_seconds is accepted for them.
const (
	// PendingDeletes is the table of deletes that some datacentre has not confirmed.
	PendingDeletes = "pending_deletes"
	// InstanceClocks is the table of heartbeats, with which instances compare their clocks.
	InstanceClocks = "instance_clocks"
)

// serviceTable is a table that the service itself needs. Its file in cql/ describes it.
type serviceTable struct {
	name, file string
	primaryKey string
	columns    map[string]string // CQL type by column
	remedy     string            // what an operator should do if the table differs
}

var serviceTables = []serviceTable{{
	name: PendingDeletes, file: "005_pending_deletes.cql", primaryKey: "(bucket, collection, key)",
	columns: map[string]string{
		"bucket": "int", "collection": "text", "key": "blob", "tombstone": "bigint", "marker": "bigint", "marker_ttl": "int",
	},
	remedy: "drop the table if UserInfo did not create it or if it is empty, and run `userinfo schema apply`",
}, {
	name: InstanceClocks, file: "006_instance_clocks.cql", primaryKey: "(board, instance)",
	columns: map[string]string{
		"board": "int", "instance": "text", "datacentre": "text", "wrote": "bigint", "heard": "frozen<map<text, bigint>>",
	},
	remedy: "drop the table (if UserInfo created it, its rows are not needed), and run `userinfo schema apply`",
}}

// Reserved reports whether a table name is taken by the service itself, so that no collection can use it.
func Reserved(table string) bool {
	return slices.ContainsFunc(serviceTables, func(t serviceTable) bool { return t.name == table })
}

// inspect compares the live table with t. create is the script that creates it.
func (t serviceTable) inspect(ctx context.Context, db DB, keyspace, create string) (found []finding, err error) {
	name := keyspace + "." + t.name
	live, err := readTable(ctx, db, keyspace, t.name)
	if err != nil {
		return nil, err
	}
	if live == nil {
		return []finding{fixable("table "+name, "a table", "none", create)}, nil
	}
	refuse := func(object, want, have string) {
		found = append(found, forOperator(object, want, have, t.remedy))
	}
	if live.primaryKey != t.primaryKey {
		refuse("table "+name+" primary key", t.primaryKey, live.primaryKey)
	}
	for _, column := range slices.Sorted(maps.Keys(t.columns)) {
		if want, have := t.columns[column], live.types[column]; have != want {
			if have == "" {
				have = "none"
			}
			refuse("column "+name+"."+column, want, have)
		}
	}
	return found, nil
}
