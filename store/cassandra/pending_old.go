package cassandra

import (
	"context"

	"userinfo/store"
	"userinfo/store/cassandra/coordinator"
)

// oldPendingTable is the table in which earlier versions record pending deletes.
const oldPendingTable = "pending_deletes"

// oldPendingDeletes are the pending deletes that earlier versions of the service have recorded:
//
//	pending_deletes   bucket int, collection text, key blob, tombstone bigint, marker bigint, marker_ttl int,
//	                  PRIMARY KEY (bucket, collection, key)
//
// A read crosses the tombstones of all entries that were finished recently, so it may fail for a while after a backlog.
// Once all instances have this version, nothing adds to the table. When it is empty, it may be dropped while instances run.
// New installations do not have it.
type oldPendingDeletes struct{ *Table }

var _ store.PendingDeletes = oldPendingDeletes{}

// ListPending implements store.PendingDeletes. If there is no such table, the list is empty.
func (o oldPendingDeletes) ListPending(ctx context.Context, bucket, limit int) ([]store.PendingDelete, error) {
	exists, err := o.tableExists(ctx, oldPendingTable)
	if err != nil || !exists {
		return nil, err
	}
	return run(ctx, o.runner, intPolicy(bucket), func(ctx context.Context) ([]store.PendingDelete, error) {
		return scanEntries(o.query(ctx, o.cql.listOldPending, bucket, o.collection, limit), "")
	})
}

// RemovePending implements store.PendingDeletes.
func (o oldPendingDeletes) RemovePending(ctx context.Context, p store.PendingDelete) error {
	bucket := store.PendingBucket(p.Key)
	return o.exec(ctx, intPolicy(bucket), o.cql.removeOldPending, p.Tombstone, bucket, o.collection, []byte(p.Key))
}

// tableExists reports whether the keyspace has a table, as far as the node that answers knows.
func (t *Table) tableExists(ctx context.Context, name string) (bool, error) {
	const cql = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
	return run(ctx, t.runner, coordinator.CallPolicy{Kind: coordinator.OneNode, PartitionKey: []byte(t.keyspace)}, func(ctx context.Context) (bool, error) {
		rows := t.query(ctx, cql, t.keyspace, name).Iter()
		return rows.NumRows() > 0, rows.Close()
	})
}
