package store

import (
	"context"
	"time"

	"userinfo/access"
)

// Consistency says how many replicas must confirm a Delete.
type Consistency int

const (
	// LocalQuorum is a majority of the replicas in the local datacentre.
	LocalQuorum Consistency = iota
	// EachQuorum is a majority of the replicas in every datacentre.
	EachQuorum
)

// Rows is the table behind a Collection. Memory, ReadThrough, store/cassandra and store/seal implement it.
//
// A row has two cells, each with its own write timestamp in µs since 1970:
//
//	key ──▶ value    the bytes, or a tombstone
//	        marker   exists for a while after a delete; see Deletion
//
// Implementations follow Cassandra's rules for concurrent writes to a cell: the larger timestamp wins. If two timestamps
// are equal, a tombstone wins over a value; of two values, the later expiry wins. An expired value is a tombstone at the
// value's own timestamp.
//
// All methods are safe for concurrent use and give up when ctx ends. Every error wraps ErrUnavailable, ErrKey or ErrFull;
// Read may also return ErrSealed, and Write ErrTooLarge. A write that fails with ErrUnavailable may have been applied, on
// some replicas or on all.
type Rows interface {
	// Read returns a row at LOCAL_QUORUM. A row that does not exist is the zero Row, without an error.
	// If the value exists but cannot be opened, Read returns ErrSealed and a Row without Data.
	// The caller may modify Row.Data.
	Read(ctx context.Context, key access.Key) (Row, error)
	// Deleted reports whether the marker of a delete exists. It reads only the marker, at LOCAL_QUORUM.
	Deleted(ctx context.Context, key access.Key) (bool, error)
	// Write writes the value at LOCAL_QUORUM. ttl is at least a second, and rounded down to whole seconds.
	Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error
	// Delete applies d in one atomic write, and returns when the replicas that c asks for have confirmed it.
	Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error
	// RecordPending adds d to the pending deletes, at LOCAL_QUORUM. It does not apply d. See PendingDeletes.
	RecordPending(ctx context.Context, key access.Key, d Deletion) error
	// Ready returns nil if a read at LOCAL_QUORUM works.
	Ready(ctx context.Context) error
	// Sealed reports whether keys are hashed and values encrypted before they are stored.
	// NewCollection refuses rows that are not sealed for LayoutUserInfo.
	Sealed() bool
}

// Row is the result of Rows.Read.
type Row struct {
	// Data is the value. It is nil if there is no value; an empty value is not nil.
	Data []byte
	// TTL is the remaining time to live, in whole seconds. It is 0 if the value never expires.
	TTL time.Duration
	// Timestamp is the write timestamp of the value in µs.
	Timestamp int64
	// Deleted reports whether the marker of a delete exists. Such a row counts as absent, even if it has Data.
	Deleted bool
	// OldSealKey reports whether the value was sealed with a key other than the one that seals new values.
	OldSealKey bool
}

// Absent reports whether the row counts as absent: it has no value, or a delete is in force.
func (r Row) Absent() bool { return r.Data == nil || r.Deleted }

// Deletion is one delete: a tombstone for the value, and a marker that keeps the key deleted for a while.
// All attempts of a delete use the same Deletion, so that repeating it changes nothing.
type Deletion struct {
	// Tombstone is the timestamp of the value's tombstone in µs. It may be in the future.
	Tombstone int64
	// Marker is the timestamp of the marker in µs.
	Marker int64
	// MarkerTTL is how long the marker lives, in whole seconds. 0 means that no marker is written.
	MarkerTTL time.Duration
}
