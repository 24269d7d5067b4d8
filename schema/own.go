package schema

import (
	"context"
	"maps"
	"slices"
)

// Tables that each keyspace has beside its collections'. Their gc_grace_seconds may be any.
const (
	// PendingDeletes are the deletes that have yet to reach every datacentre.
	PendingDeletes = "pending_deletes"
	// InstanceClocks are the notices by which instances compare their clocks.
	InstanceClocks = "instance_clocks"
)

// own is a table of the service's own; cql/ says what it is like.
type own struct {
	name, file string
	primaryKey string
	columns    map[string]string
	// remedy says when the table may be dropped, should it differ.
	remedy string
}

var owns = []own{{
	name: PendingDeletes, file: "005_pending_deletes.cql", primaryKey: "(bucket, collection, key)",
	columns: map[string]string{
		"bucket": "int", "collection": "text", "key": "blob", "tombstone": "bigint", "marker": "bigint", "marker_ttl": "int",
	},
	remedy: "drop the table if it is not UserInfo's to have, or if nothing is pending in it, and run `userinfo schema apply`",
}, {
	name: InstanceClocks, file: "006_instance_clocks.cql", primaryKey: "(board, instance)",
	columns: map[string]string{
		"board": "int", "instance": "text", "datacentre": "text", "wrote": "bigint", "heard": "frozen<map<text, bigint>>",
	},
	remedy: "drop the table, of which nothing needs to be kept if it is UserInfo's, and run `userinfo schema apply`",
}}

// Reserved tells whether a table is the service's own, so that no collection can have it.
func Reserved(table string) bool {
	return slices.ContainsFunc(owns, func(o own) bool { return o.name == table })
}

func (o own) inspect(ctx context.Context, db DB, keyspace, create string) (found []finding, err error) {
	name := keyspace + "." + o.name
	live, err := readTable(ctx, db, keyspace, o.name)
	if err != nil {
		return nil, err
	}
	if live == nil {
		return []finding{fixable("table "+name, "a table", "none", create)}, nil
	}
	refuse := func(object, want, have string) {
		found = append(found, finding{Difference: Difference{object, want, have, o.remedy}})
	}
	if live.primaryKey != o.primaryKey {
		refuse("table "+name+" primary key", o.primaryKey, live.primaryKey)
	}
	for _, column := range slices.Sorted(maps.Keys(o.columns)) {
		if want, have := o.columns[column], live.types[column]; have != want {
			if have == "" {
				have = "none"
			}
			refuse("column "+name+"."+column, want, have)
		}
	}
	return found, nil
}
