package store

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"time"

	"userinfo/access"
)

// ledger is a collection's list of deletes that some datacentre has not confirmed, in buckets, and what finishing them
// takes. Keys are row keys, as the collection's table has them.
//
// An entry carries its tombstone's timestamp, and is struck out with the same: striking it out leaves a later delete's
// alone. Where a delete has a smaller tombstone than another of its key, its entry is lost to the other's, which hides
// all that its own would.
type ledger interface {
	// pending reads up to limit entries of a bucket, at LOCAL_QUORUM.
	pending(ctx context.Context, bucket, limit int) ([]pendingDelete, error)
	// settle strikes an entry out, at LOCAL_QUORUM. Where that is forgotten, the delete is carried through again, which
	// changes nothing.
	settle(ctx context.Context, p pendingDelete) error
	// remove is that of rows.
	remove(ctx context.Context, key access.Key, r removal, everywhere bool) error
}

// pendingDelete is an entry of a ledger.
type pendingDelete struct {
	key     access.Key
	removal removal
}

// buckets are how many partitions a ledger has, so that none grows large. The number is part of the stored format.
const buckets = 16

// bucketOf is the same in every version of the service.
func bucketOf(key access.Key) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	return int(h.Sum32() % buckets)
}

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

func (t *table) pend(ctx context.Context, key access.Key, r removal) error {
	bucket := bucketOf(key)
	return t.change(ctx, bucket, t.ledgerCQL.pend,
		r.tombstone, r.tombstone, r.marker, seconds(r.markerTTL), bucket, t.collection, []byte(key))
}

func (t *table) settle(ctx context.Context, p pendingDelete) error {
	bucket := bucketOf(p.key)
	return t.change(ctx, bucket, t.ledgerCQL.settle, p.removal.tombstone, bucket, t.collection, []byte(p.key))
}

func (t *table) change(ctx context.Context, bucket int, cql string, args ...any) error {
	_, err := run(ctx, t.runner, planOf(bucket), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, t.query(ctx, cql, args...).Exec()
	})
	return err
}

func (t *table) pending(ctx context.Context, bucket, limit int) ([]pendingDelete, error) {
	return run(ctx, t.runner, planOf(bucket), func(ctx context.Context) ([]pendingDelete, error) {
		rows := t.query(ctx, t.ledgerCQL.pending, bucket, t.collection, limit).Iter().Scanner()
		var all []pendingDelete
		for rows.Next() {
			var (
				key []byte
				p   pendingDelete
				ttl int
			)
			if err := rows.Scan(&key, &p.removal.tombstone, &p.removal.marker, &ttl); err != nil {
				return nil, err
			}
			p.key, p.removal.markerTTL = access.Key(key), time.Duration(ttl)*time.Second
			all = append(all, p)
		}
		return all, rows.Err()
	})
}
