package store

import (
	"context"
	"hash/fnv"

	"userinfo/access"
)

// PendingDeletes is the list of a collection's deletes that some datacentre has not confirmed. Memory and
// store/cassandra implement it; Rows.RecordPending adds to it; a Replayer completes its entries.
//
// The list is split into PendingBuckets buckets. Keys are row keys, as the collection's table stores them: for a sealed
// collection they are hashes.
//
// An entry is written and removed with the timestamp of its tombstone. Therefore removing the entry of an earlier delete
// never removes the entry of a later one. If two deletes of a key are pending, the entry with the larger tombstone is
// listed; its tombstone hides everything that the other tombstone would hide. The other entry may be listed too.
//
// All methods are safe for concurrent use. Their errors wrap ErrUnavailable, or ErrFull in Delete.
type PendingDeletes interface {
	// ListPending returns up to limit entries of a bucket, at LOCAL_QUORUM. If it can read only a part of the bucket, it
	// returns the entries of that part, and an error.
	ListPending(ctx context.Context, bucket, limit int) ([]PendingDelete, error)
	// RemovePending removes an entry that ListPending has returned, at LOCAL_QUORUM. If it fails, the delete is replayed
	// once more, which changes nothing.
	RemovePending(ctx context.Context, p PendingDelete) error
	// Delete is Rows.Delete.
	Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error
}

// PendingDelete is one entry of PendingDeletes.
type PendingDelete struct {
	// Key is a row key.
	Key access.Key
	Deletion
	// Segment is the segment in which store/cassandra has found the entry. Other implementations leave it empty.
	Segment string
}

// PendingBuckets is the number of buckets of PendingDeletes. It is part of the stored format and must not change.
const PendingBuckets = 16

// PendingBucket returns the bucket of a row key, from 0 to PendingBuckets-1. It is part of the stored format: another
// version of the service must find and remove what this one has written.
func PendingBucket(key access.Key) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	return int(h.Sum32() % PendingBuckets)
}
