package schema_test

import "testing"

func TestCheck_WarnsOfPendingDeletesOfEarlierVersions(t *testing.T) {
	f := asWanted(t)
	f.createTable("people", "pending_deletes", "600", oldPendingDeletes...)
	warnings(t, f, twoTables(), []string{"table people.pending_deletes: want none, have the table of earlier versions"}, "run DROP TABLE people.pending_deletes")
}
