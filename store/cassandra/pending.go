package cassandra

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gocql/gocql"

	"userinfo/access"
	"userinfo/store"
	"userinfo/store/cassandra/coordinator"
)

// Pending deletes are in segments. A segment is a partition that one process fills with at most segmentSize entries. A
// second table lists the segments that may have entries:
//
//	pending_delete_segments   bucket int, collection text, segment text, used bigint,
//	                          PRIMARY KEY (bucket, collection, segment)
//	pending_delete_entries    segment text, key blob, tombstone bigint, marker bigint, marker_ttl int,
//	                          PRIMARY KEY (segment, key)
//
// So a read of a segment crosses at most segmentSize tombstones, however many entries there were, and a segment whose
// entries are all finished is not read again. A read of a bucket's list of segments crosses one tombstone for every
// segmentSize entries that were finished recently. Both stay below Cassandra's tombstone_failure_threshold (100,000) up to
// 100 million entries in a bucket, even if no compaction ever runs.
//
// No entry that was recorded is lost. This does not depend on clocks or on the order in which datacentres get writes:
//
//  1. RecordPending writes the entry, waits until it is confirmed, and then writes the segment's row with a timestamp
//     that it takes only now. A row is written by one process only, with growing timestamps. The column used contains the
//     last one.
//  2. A segment's row is removed only after these steps, in this order: read the row; read the segment at EACH_QUORUM and
//     find no entry; remove the row with the timestamp used that was read.
//  3. If the entry was confirmed before the segment was read, that read finds it, in whatever datacentre it was confirmed.
//     If it was confirmed later, then its row has a later timestamp than the removal, and stays.
//
// An entry whose segment has no row is never found. Its delete was reported as not recorded.
//
// An entry has no TTL: while a datacentre is cut off, touches there can keep the deleted value alive for any time.
// A row that reappears after gc_grace_seconds does no harm: an entry is replayed once more, and a segment without entries
// is removed once more.
//
// Earlier versions had one table; see oldPendingDeletes.

// Names of the tables. See package schema.
const (
	segmentTable = "pending_delete_segments"
	entryTable   = "pending_delete_entries"
)

const (
	// segmentSize is the largest number of entries in a segment. Cassandra logs a warning above 1,000 tombstones
	// (tombstone_warn_threshold).
	segmentSize = 1000
	// maxSegments is how many segments of a bucket one call of ListPending reads at most.
	maxSegments = 100
	// maxUnasked is how many empty segments one call of ListPending may fail to ask other datacentres about. It is more than one,
	// so that one partition without a quorum does not keep all segments listed. It is small, because every failure during an
	// unnoticed cut takes segmentTimeout.
	maxUnasked = 2
	// segmentTimeout limits the read of one segment, so that a segment that cannot be read leaves time for the others.
	segmentTimeout = time.Second
)

// RecordPending implements store.Rows. If it fails, the entry may be recorded all the same. Later entries then go to
// another segment, whose replicas are probably on other nodes.
func (t *Table) RecordPending(ctx context.Context, key access.Key, d store.Deletion) error {
	if t.cannotHave(key) {
		return nil
	}
	bucket := store.PendingBucket(key)
	s := t.segments.forEntry(bucket, d)
	entry, list := textPolicy(s.name), intPolicy(bucket)
	entry.Statement, entry.Consistency = "record pending delete", gocql.LocalQuorum
	list.Statement, list.Consistency = "list segment", gocql.LocalQuorum
	err := t.exec(ctx, entry, t.cql.recordPending,
		d.Tombstone, d.Tombstone, d.Marker, seconds(d.MarkerTTL), s.name, []byte(key))
	if err == nil {
		used := s.nextUse(d.Marker) // taken after the entry is confirmed: see 1 above
		err = t.exec(ctx, list, t.cql.listSegment, used, used, bucket, t.collection, s.name)
	}
	if err != nil {
		t.segments.leave(bucket, s)
	}
	return err
}

// RemovePending implements store.PendingDeletes.
func (t *Table) RemovePending(ctx context.Context, p store.PendingDelete) error {
	return t.exec(ctx, textPolicy(p.Segment), t.cql.removePending, p.Tombstone, p.Segment, []byte(p.Key))
}

// ListPending implements store.PendingDeletes. Half of the entries are from the oldest segment, and the rest from other
// segments, in an order that changes with every call. So the age of the oldest entry is known, and entries that cannot be
// replayed do not hide other entries.
func (t *Table) ListPending(ctx context.Context, bucket, limit int) ([]store.PendingDelete, error) {
	segments, err := t.listSegments(ctx, bucket)
	if err != nil {
		return nil, err
	}
	if len(segments) > 2 {
		others := segments[1:]
		turn := int(t.lists.Add(1)) % len(others)
		segments = slices.Concat(segments[:1], others[turn:], others[:turn])
	}
	var all, last []store.PendingDelete
	unasked := 0
	for i, s := range segments {
		if len(all) >= limit {
			break
		}
		page, failed := t.readSegment(ctx, bucket, s, limit-len(all), &unasked)
		if failed != nil && err == nil {
			err = fmt.Errorf("segment %s: %w", s.name, failed)
		}
		if half := (limit + 1) / 2; i == 0 && len(segments) > 1 && len(page) > half {
			page, last = page[:half], page[half:]
		}
		all = append(all, page...)
	}
	if err == nil && unasked > 0 && len(segments) == maxSegments {
		err = fmt.Errorf("%w: %d segments or more, and other datacentres cannot be asked whether the empty ones are finished", store.ErrUnavailable, maxSegments)
	}
	return append(all, last[:min(len(last), limit-len(all))]...), err
}

// listedSegment is a row of pending_delete_segments.
type listedSegment struct {
	name string
	used int64
}

func (t *Table) listSegments(ctx context.Context, bucket int) ([]listedSegment, error) {
	return run(ctx, t.runner, intPolicy(bucket), func(ctx context.Context) ([]listedSegment, error) {
		rows := t.query(ctx, t.cql.listSegments, bucket, t.collection, maxSegments).Iter().Scanner()
		var all []listedSegment
		for rows.Next() {
			var s listedSegment
			if err := rows.Scan(&s.name, &s.used); err != nil {
				return nil, err
			}
			all = append(all, s)
		}
		return all, rows.Err()
	})
}

// readSegment returns up to limit entries of a segment. If no datacentre has an entry of the segment, readSegment removes the
// segment's row. If it cannot ask every datacentre, it adds 1 to *unasked, and above maxUnasked it does not ask.
func (t *Table) readSegment(ctx context.Context, bucket int, s listedSegment, limit int, unasked *int) ([]store.PendingDelete, error) {
	entries, err := t.readEntries(ctx, s.name, limit, gocql.LocalQuorum)
	if err != nil || len(entries) > 0 || *unasked >= maxUnasked {
		return entries, err
	}
	entries, err = t.readEntries(ctx, s.name, limit, gocql.EachQuorum)
	if err != nil {
		*unasked++
		return nil, nil
	}
	if len(entries) == 0 {
		_ = t.unlistSegment(ctx, bucket, s) // the next scan tries it again
	}
	return entries, nil
}

// unlistSegment removes a segment's row, unless the segment was used after the row was read.
func (t *Table) unlistSegment(ctx context.Context, bucket int, s listedSegment) error {
	return t.exec(ctx, intPolicy(bucket), t.cql.unlistSegment, s.used, bucket, t.collection, s.name)
}

func (t *Table) readEntries(ctx context.Context, segment string, limit int, c gocql.Consistency) ([]store.PendingDelete, error) {
	ctx, cancel := context.WithTimeout(ctx, segmentTimeout)
	defer cancel()
	policy := textPolicy(segment)
	if c == gocql.EachQuorum {
		policy.Kind = coordinator.EachQuorum
	}
	return run(ctx, t.runner, policy, func(ctx context.Context) ([]store.PendingDelete, error) {
		return scanEntries(t.query(ctx, t.cql.listEntries, segment, limit).Consistency(c), segment)
	})
}

// scanEntries runs a query for the columns key, tombstone, marker and marker_ttl.
func scanEntries(q *gocql.Query, segment string) ([]store.PendingDelete, error) {
	rows := q.Iter().Scanner()
	var all []store.PendingDelete
	for rows.Next() {
		var (
			key []byte
			ttl int
			p   = store.PendingDelete{Segment: segment}
		)
		if err := rows.Scan(&key, &p.Tombstone, &p.Marker, &ttl); err != nil {
			return nil, err
		}
		p.Key, p.MarkerTTL = access.Key(key), time.Duration(ttl)*time.Second
		all = append(all, p)
	}
	return all, rows.Err()
}

// textPolicy returns the policy for a table whose partition key is a text.
func textPolicy(partition string) coordinator.CallPolicy {
	return coordinator.CallPolicy{PartitionKey: []byte(partition)}
}

// PendingLists returns the collection's lists of pending deletes for a store.Replayer, including the list of earlier versions.
func (t *Table) PendingLists() []store.PendingList {
	return []store.PendingList{
		{Collection: t.collection, Table: segmentTable, Deletes: t},
		{Collection: t.collection, Table: oldPendingTable, Deletes: oldPendingDeletes{t}, Rest: time.Minute},
	}
}
