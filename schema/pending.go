package schema

import (
	"context"
	"maps"
	"slices"
)

// PendingDeletes is the table of the deletes that have yet to reach every datacentre. Each keyspace has one beside its
// collections' tables; cql/005_pending_deletes.cql says what it is like. Its gc_grace_seconds may be any.
const PendingDeletes = "pending_deletes"

var pendingColumns = map[string]string{
	"bucket": "int", "collection": "text", "key": "blob", "tombstone": "bigint", "marker": "bigint", "marker_ttl": "int",
}

func inspectPending(ctx context.Context, db DB, keyspace, create string) (found []finding, err error) {
	const primaryKey = "(bucket, collection, key)"
	name := keyspace + "." + PendingDeletes
	live, err := readTable(ctx, db, keyspace, PendingDeletes)
	if err != nil {
		return nil, err
	}
	if live == nil {
		return []finding{fixable("table "+name, "a table", "none", create)}, nil
	}
	refuse := func(object, want, have string) {
		found = append(found, finding{Difference: Difference{object, want, have,
			"drop the table if it is not UserInfo's to have, or if nothing is pending in it, and run `userinfo schema apply`"}})
	}
	if live.primaryKey != primaryKey {
		refuse("table "+name+" primary key", primaryKey, live.primaryKey)
	}
	for _, column := range slices.Sorted(maps.Keys(pendingColumns)) {
		if want, have := pendingColumns[column], live.types[column]; have != want {
			if have == "" {
				have = "none"
			}
			refuse("column "+name+"."+column, want, have)
		}
	}
	return found, nil
}
