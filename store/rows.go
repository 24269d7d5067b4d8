package store

import (
	"context"
	"time"

	"userinfo/access"
)

// rows are the cells that a Collection works on, with Cassandra's rules: of two writes to a cell the larger
// timestamp wins, and of two with the same a tombstone over a value, then the later expiry. An expired value is
// a tombstone at its own timestamp.
//
//	key ──▶ value    the bytes; or a tombstone
//	        gone     the marker of the logout fence: exists for a while after a delete
//
// Its errors are ErrUnavailable, ErrKey and ErrFull, and ErrSealed from read. A failed write may have been applied, in part or whole.
type rows interface {
	// read is at LOCAL_QUORUM. A row that does not exist is the zero row and no error. On ErrSealed all of the row is
	// there but its data. The data is the reader's to overwrite.
	read(ctx context.Context, key access.Key) (row, error)
	// fenced reads the marker alone, at LOCAL_QUORUM.
	fenced(ctx context.Context, key access.Key) (bool, error)
	// write is at LOCAL_QUORUM.
	write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error
	// remove is at a quorum of each datacentre where everywhere is set, at LOCAL_QUORUM otherwise.
	remove(ctx context.Context, key access.Key, r removal, everywhere bool) error
	// pend records, at LOCAL_QUORUM and for as long as it takes, that a removal has yet to reach every datacentre.
	pend(ctx context.Context, key access.Key, r removal) error
	// ready tells whether a read at LOCAL_QUORUM works.
	ready(ctx context.Context) error
}

// row is what a read sees.
type row struct {
	data      []byte        // nil where there is no value
	ttl       time.Duration // left; 0 where the value has none
	timestamp int64         // of the value, µs
	gone      bool          // the marker of the fence is there
	older     bool          // the value is sealed with another key than would seal it now
}

func (r row) absent() bool { return r.data == nil || r.gone }

// removal is a delete, in one atomic write.
type removal struct {
	tombstone int64         // timestamp of the value's tombstone, µs
	marker    int64         // timestamp of the marker
	markerTTL time.Duration // 0: no marker
}
