package cassandra

import (
	"context"

	"userinfo/store"
)

// ListedSegment is a row of the list of segments.
type ListedSegment = listedSegment

// ListSegments returns the segments of a bucket that are listed.
func (t *Table) ListSegments(ctx context.Context, bucket int) ([]ListedSegment, error) {
	return t.listSegments(ctx, bucket)
}

// UnlistSegment removes a segment's row, unless the segment was used after the row was read.
func (t *Table) UnlistSegment(ctx context.Context, bucket int, s ListedSegment) error {
	return t.unlistSegment(ctx, bucket, s)
}

// ListSegment writes a segment's row as it was read.
func (t *Table) ListSegment(ctx context.Context, bucket int, s ListedSegment) error {
	return t.exec(ctx, intPolicy(bucket), t.cql.listSegment, s.used, s.used, bucket, t.collection, s.name)
}

// TableOnSharedConnections returns a table whose large values share connections with all others.
func (s *Session) TableOnSharedConnections(c store.CollectionConfig) *Table {
	return newTable(twoConnections{s.connections, s.connections}, s.keyspace, c)
}

// TableOnLargeConnections returns a table whose values all use the connections for large values.
func (s *Session) TableOnLargeConnections(c store.CollectionConfig) *Table {
	return newTable(twoConnections{s.large, s.large}, s.keyspace, c)
}
