package schema

import (
	"context"
	"maps"
	"slices"
)

// Names of the tables that the service itself needs in every keyspace. Any gc_grace_seconds is accepted for them.
const (
	// PendingSegments is the table of the segments of PendingEntries that may have entries.
	PendingSegments = "pending_delete_segments"
	// PendingEntries is the table of deletes that some datacentre has not confirmed.
	PendingEntries = "pending_delete_entries"
	// OldPendingDeletes is the table that earlier versions have instead of PendingSegments and PendingEntries. It is not
	// created, and need not exist.
	OldPendingDeletes = "pending_deletes"
	// InstanceClocks is the table of heartbeats, with which instances compare their clocks.
	InstanceClocks = "instance_clocks"
	// UserPasswords and PasswordGuesses are the tables of passwords. They are needed only with Spec.Passwords.
	UserPasswords   = "user_passwords"
	PasswordGuesses = "password_guesses"
)

// serviceTable is a table that the service itself needs. Its file in cql/ describes it. A table without a file is from
// earlier versions, and need not exist.
type serviceTable struct {
	name, file string
	primaryKey string
	columns    map[string]string // CQL type by column
	remedy     string            // what an operator should do if the table differs
	passwords  bool              // needed only with Spec.Passwords
}

const remedyPending = "drop the table if UserInfo did not create it or if it is empty, and run `userinfo schema apply`"

var serviceTables = []serviceTable{{
	name: PendingSegments, file: "005_pending_delete_segments.cql", primaryKey: "(bucket, collection, segment)",
	columns: map[string]string{"bucket": "int", "collection": "text", "segment": "text", "used": "bigint"},
	remedy:  remedyPending,
}, {
	name: PendingEntries, file: "006_pending_delete_entries.cql", primaryKey: "(segment, key)",
	columns: map[string]string{"segment": "text", "key": "blob", "tombstone": "bigint", "marker": "bigint", "marker_ttl": "int"},
	remedy:  remedyPending,
}, {
	name: OldPendingDeletes, primaryKey: "(bucket, collection, key)",
	columns: map[string]string{
		"bucket": "int", "collection": "text", "key": "blob", "tombstone": "bigint", "marker": "bigint", "marker_ttl": "int",
	},
	remedy: "drop the table if UserInfo did not create it or if it is empty",
}, {
	name: InstanceClocks, file: "007_instance_clocks.cql", primaryKey: "(board, instance)",
	columns: map[string]string{
		"board": "int", "instance": "text", "datacentre": "text", "wrote": "bigint", "heard": "frozen<map<text, bigint>>",
	},
	remedy: "drop the table (if UserInfo created it, its rows are not needed), and run `userinfo schema apply`",
}, {
	name: UserPasswords, file: "008_user_passwords.cql", primaryKey: "(key)", passwords: true,
	columns: map[string]string{"key": "blob", "decided": "blob", "written": "blob", "reset_token": "blob"},
	remedy:  "drop the table if UserInfo did not create it, and run `userinfo schema apply`",
}, {
	name: PasswordGuesses, file: "009_password_guesses.cql", primaryKey: "(budget, instance)", passwords: true,
	columns: map[string]string{"budget": "blob", "instance": "text", "failures": "int", "last": "bigint"},
	remedy:  "drop the table if UserInfo did not create it, and run `userinfo schema apply`",
}}

// serviceTables returns the service tables that s needs.
func (s Spec) serviceTables() []serviceTable {
	var needed []serviceTable
	for _, t := range serviceTables {
		if !t.passwords || s.Passwords {
			needed = append(needed, t)
		}
	}
	return needed
}

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
	if live == nil && t.file == "" {
		return nil, nil
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
	if t.passwords { // somebody waits for reads of these tables
		found = append(found, inspectSpeculation(keyspace, t.name, live)...)
	}
	if t.file == "" && len(found) == 0 {
		found = append(found, warning("table "+name, "none", "the table of earlier versions", "when every instance has been upgraded and userinfo_pending_deletes "+
			"has been 0 for some minutes in every datacentre, run DROP TABLE "+name))
	}
	return found, nil
}
