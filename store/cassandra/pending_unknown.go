package cassandra

import (
	"context"
	"slices"

	"userinfo/store"
)

// maxUnknown is the largest number of unknown collections that are returned.
const maxUnknown = 100

// UnknownPendingLists returns the lists of the collections that have pending deletes in a bucket and are not in known, at most
// 100 collections. It skips the rows of known collections, so that it does not cross their tombstones.
func (s *Session) UnknownPendingLists(ctx context.Context, bucket int, known []string) ([]store.PendingList, error) {
	t := newTable(s.twoConnections, s.keyspace, store.CollectionConfig{})
	statements := []string{t.cql.nextCollection}
	exists, err := t.tableExists(ctx, oldPendingTable)
	if err != nil {
		return nil, err
	}
	if exists {
		statements = append(statements, t.cql.nextOldCollection)
	}
	known = slices.Sorted(slices.Values(known))
	var unknown []string
	for _, cql := range statements {
		if unknown, err = t.findUnknown(ctx, cql, bucket, known, unknown); err != nil {
			return nil, err
		}
	}
	var lists []store.PendingList
	for _, name := range unknown {
		lists = append(lists, s.Table(store.CollectionConfig{Name: name}).PendingLists()...)
	}
	return lists, nil
}

// findUnknown returns found and the collections of one bucket that are neither in known nor in found. cql returns the first
// collection between two names. known is sorted.
func (t *Table) findUnknown(ctx context.Context, cql string, bucket int, known, found []string) ([]string, error) {
	const afterAll = "\U0010FFFF" // sorts after every name
	after := ""
	for _, before := range append(slices.Clone(known), afterAll) {
		for len(found) < maxUnknown {
			name, err := run(ctx, t.runner, intPolicy(bucket), func(ctx context.Context) (name string, err error) {
				rows := t.query(ctx, cql, bucket, after, before).Iter()
				rows.Scan(&name)
				return name, rows.Close()
			})
			if err != nil {
				return nil, err
			}
			if name == "" {
				break
			}
			if !slices.Contains(found, name) {
				found = append(found, name)
			}
			after = name
		}
		after = before
	}
	return found, nil
}
