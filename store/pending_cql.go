package store

import (
	"context"
	"encoding/binary"
	"time"

	"userinfo/access"
)

// ledgerCQL are the statements on the one table of pending deletes that a keyspace has:
//
//	pending_deletes   bucket int, collection text, key blob, tombstone bigint, marker bigint, marker_ttl int,
//	                  PRIMARY KEY (bucket, collection, key)
//
// An entry has no TTL: touches in a datacentre that is cut off can keep the deleted value alive for as long as that
// lasts. TTL 0 is written all the same, lest a default of the table's hold.
type ledgerCQL struct{ pend, pending, settle string }

func newLedgerCQL(keyspace string) ledgerCQL {
	const at = " WHERE bucket = ? AND collection = ?"
	name := `"` + keyspace + `".pending_deletes`
	return ledgerCQL{
		pend:    "UPDATE " + name + " USING TIMESTAMP ? AND TTL 0 SET tombstone = ?, marker = ?, marker_ttl = ?" + at + " AND key = ?",
		pending: "SELECT key, tombstone, marker, marker_ttl FROM " + name + at + " LIMIT ?",
		settle:  "DELETE FROM " + name + " USING TIMESTAMP ?" + at + " AND key = ?",
	}
}

// planOf routes to the replicas of a bucket.
func planOf(bucket int) plan { return plan{key: binary.BigEndian.AppendUint32(nil, uint32(bucket))} }

func (t *table) RecordPending(ctx context.Context, key access.Key, r Deletion) error {
	bucket := PendingBucket(key)
	return t.change(ctx, bucket, t.ledgerCQL.pend,
		r.Tombstone, r.Tombstone, r.Marker, seconds(r.MarkerTTL), bucket, t.collection, []byte(key))
}

func (t *table) RemovePending(ctx context.Context, p PendingDelete) error {
	bucket := PendingBucket(p.Key)
	return t.change(ctx, bucket, t.ledgerCQL.settle, p.Tombstone, bucket, t.collection, []byte(p.Key))
}

func (t *table) change(ctx context.Context, bucket int, cql string, args ...any) error {
	_, err := run(ctx, t.runner, planOf(bucket), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, t.query(ctx, cql, args...).Exec()
	})
	return err
}

func (t *table) ListPending(ctx context.Context, bucket, limit int) ([]PendingDelete, error) {
	return run(ctx, t.runner, planOf(bucket), func(ctx context.Context) ([]PendingDelete, error) {
		rows := t.query(ctx, t.ledgerCQL.pending, bucket, t.collection, limit).Iter().Scanner()
		var all []PendingDelete
		for rows.Next() {
			var (
				key []byte
				p   PendingDelete
				ttl int
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
