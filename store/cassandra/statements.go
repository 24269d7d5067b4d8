package cassandra

// statements are the CQL statements of a Table.
type statements struct {
	read, readMarker, ready, write, deleteValue, writeMarker string
	recordPending, removePending, listEntries                string
	listSegment, unlistSegment, listSegments, nextCollection string
	listOldPending, removeOldPending, nextOldCollection      string
}

func newStatements(keyspace, table string, hasMarker bool) statements {
	name := quoteName(keyspace, table)
	segments, entries, old := quoteName(keyspace, segmentTable), quoteName(keyspace, entryTable), quoteName(keyspace, oldPendingTable)
	marker := ""
	if hasMarker {
		marker = ", gone"
	}
	const (
		bucket  = " WHERE bucket = ? AND collection = ?"
		between = " WHERE bucket = ? AND collection > ? AND collection < ? LIMIT 1"
	)
	return statements{
		read:        "SELECT value, TTL(value), WRITETIME(value)" + marker + " FROM " + name + " WHERE key = ?",
		readMarker:  "SELECT gone FROM " + name + " WHERE key = ?",
		ready:       "SELECT key FROM " + name + " WHERE key = ?",
		write:       "UPDATE " + name + " USING TIMESTAMP ? AND TTL ? SET value = ? WHERE key = ?",
		deleteValue: "DELETE value FROM " + name + " USING TIMESTAMP ? WHERE key = ?",
		writeMarker: "UPDATE " + name + " USING TIMESTAMP ? AND TTL ? SET gone = true WHERE key = ?",

		// TTL 0 overrides the table's default_time_to_live, if it has one.
		recordPending: "UPDATE " + entries + " USING TIMESTAMP ? AND TTL 0 SET tombstone = ?, marker = ?, marker_ttl = ? WHERE segment = ? AND key = ?",
		removePending: "DELETE FROM " + entries + " USING TIMESTAMP ? WHERE segment = ? AND key = ?",
		listEntries:   "SELECT key, tombstone, marker, marker_ttl FROM " + entries + " WHERE segment = ? LIMIT ?",

		listSegment:    "UPDATE " + segments + " USING TIMESTAMP ? AND TTL 0 SET used = ?" + bucket + " AND segment = ?",
		unlistSegment:  "DELETE FROM " + segments + " USING TIMESTAMP ?" + bucket + " AND segment = ?",
		listSegments:   "SELECT segment, used FROM " + segments + bucket + " LIMIT ?",
		nextCollection: "SELECT collection FROM " + segments + between,

		listOldPending:    "SELECT key, tombstone, marker, marker_ttl FROM " + old + bucket + " LIMIT ?",
		removeOldPending:  "DELETE FROM " + old + " USING TIMESTAMP ?" + bucket + " AND key = ?",
		nextOldCollection: "SELECT collection FROM " + old + between,
	}
}

// quoteName returns the quoted name of a table. A quoted name may be a reserved word of CQL. Neither part may contain a
// quotation mark: see store.IsIdentifier.
func quoteName(keyspace, table string) string { return `"` + keyspace + `"."` + table + `"` }
