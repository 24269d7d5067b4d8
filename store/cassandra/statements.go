package cassandra

// statements are the CQL statements of a Table.
type statements struct {
	read, readMarker, ready, write, deleteValue, writeMarker string
	recordPending, listPending, removePending                string
}

func newStatements(keyspace, table string, hasMarker bool) statements {
	name := quoteName(keyspace, table)
	pending := quoteName(keyspace, "pending_deletes")
	marker := ""
	if hasMarker {
		marker = ", gone"
	}
	const bucket = " WHERE bucket = ? AND collection = ?"
	return statements{
		read:        "SELECT value, TTL(value), WRITETIME(value)" + marker + " FROM " + name + " WHERE key = ?",
		readMarker:  "SELECT gone FROM " + name + " WHERE key = ?",
		ready:       "SELECT key FROM " + name + " WHERE key = ?",
		write:       "UPDATE " + name + " USING TIMESTAMP ? AND TTL ? SET value = ? WHERE key = ?",
		deleteValue: "DELETE value FROM " + name + " USING TIMESTAMP ? WHERE key = ?",
		writeMarker: "UPDATE " + name + " USING TIMESTAMP ? AND TTL ? SET gone = true WHERE key = ?",

		// TTL 0 overrides the table's default_time_to_live, if it has one.
		recordPending: "UPDATE " + pending + " USING TIMESTAMP ? AND TTL 0 SET tombstone = ?, marker = ?, marker_ttl = ?" + bucket + " AND key = ?",
		listPending:   "SELECT key, tombstone, marker, marker_ttl FROM " + pending + bucket + " LIMIT ?",
		removePending: "DELETE FROM " + pending + " USING TIMESTAMP ?" + bucket + " AND key = ?",
	}
}

// quoteName returns the quoted name of a table. A quoted name may be a reserved word of CQL. Neither part may contain a
// quotation mark: see store.IsIdentifier.
func quoteName(keyspace, table string) string { return `"` + keyspace + `"."` + table + `"` }
