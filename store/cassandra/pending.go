package cassandra

import (
	"context"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// Each keyspace has one table of pending deletes:
//
//	pending_deletes   bucket int, collection text, key blob, tombstone bigint, marker bigint, marker_ttl int,
//	                  PRIMARY KEY (bucket, collection, key)
//
// An entry has no TTL: while a datacentre is cut off, touches there can keep the deleted value alive for any time.

// RecordPending implements store.Rows.
func (t *Table) RecordPending(ctx context.Context, key access.Key, d store.Deletion) error {
	bucket := store.PendingBucket(key)
	return t.exec(ctx, intPolicy(bucket), t.cql.recordPending,
		d.Tombstone, d.Tombstone, d.Marker, seconds(d.MarkerTTL), bucket, t.collection, []byte(key))
}

// RemovePending implements store.PendingDeletes.
func (t *Table) RemovePending(ctx context.Context, p store.PendingDelete) error {
	bucket := store.PendingBucket(p.Key)
	return t.exec(ctx, intPolicy(bucket), t.cql.removePending, p.Tombstone, bucket, t.collection, []byte(p.Key))
}

// ListPending implements store.PendingDeletes.
func (t *Table) ListPending(ctx context.Context, bucket, limit int) ([]store.PendingDelete, error) {
	return run(ctx, t.runner, intPolicy(bucket), func(ctx context.Context) ([]store.PendingDelete, error) {
		rows := t.query(ctx, t.cql.listPending, bucket, t.collection, limit).Iter().Scanner()
		var all []store.PendingDelete
		for rows.Next() {
			var (
				key []byte
				ttl int
				p   store.PendingDelete
			)
			if err := rows.Scan(&key, &p.Tombstone, &p.Marker, &ttl); err != nil {
				return nil, err
			}
			p.Key, p.MarkerTTL = access.Key(key), time.Duration(ttl)*time.Second
			all = append(all, p)
		}
		return all, rows.Err()
	})
}

// PendingLists returns the collection's pending deletes for a store.Replayer.
func (t *Table) PendingLists() []store.PendingList {
	return []store.PendingList{{Collection: t.collection, Deletes: t}}
}
