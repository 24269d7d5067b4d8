package cassandra

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gocql/gocql"

	"userinfo/access"
	"userinfo/store"
	"userinfo/store/cassandra/coordinator"
)

// Table holds the rows of one collection:
//
//	store.LayoutUserInfo   key blob PRIMARY KEY, value blob, gone boolean
//	store.LayoutKask       key text PRIMARY KEY, value blob [, gone boolean, if the collection has a fence]
//
// The column gone is the marker of a delete. Rows are written with UPDATE, never with INSERT: a row without a row
// marker disappears together with its last cell.
//
// A Table also adds, lists and removes the collection's pending deletes. These are in tables of their own, which all
// collections of the keyspace share.
//
// All methods are safe for concurrent use. All errors wrap store.ErrUnavailable or store.ErrTooLarge.
type Table struct {
	twoConnections
	keyspace   string
	collection string
	textKeys   bool // the key column is text
	hasMarker  bool // there is a gone column
	cql        statements

	segments openSegments  // of pending deletes
	lists    atomic.Uint32 // number of calls of ListPending
}

var (
	_ store.Rows           = (*Table)(nil)
	_ store.PendingDeletes = (*Table)(nil)
)

func newTable(two twoConnections, keyspace string, c store.CollectionConfig) *Table {
	hasMarker := c.Layout.HasMarker(c.Fence)
	return &Table{
		twoConnections: two, keyspace: keyspace, collection: c.Name,
		textKeys: c.Layout == store.LayoutKask, hasMarker: hasMarker,
		cql: newStatements(keyspace, c.Table, hasMarker),
	}
}

// Sealed implements store.Rows. Cassandra seals nothing: see package seal.
func (*Table) Sealed() bool { return false }

// cannotHave reports whether the table cannot have a row of this key: Kask's keys are UTF-8. A store.Collection refuses
// such keys itself. But the table can be one of the two tables of a store.ReadThrough, and the keys can be those of the
// other table.
func (t *Table) cannotHave(key access.Key) bool { return t.textKeys && !utf8.ValidString(string(key)) }

// Read implements store.Rows.
func (t *Table) Read(ctx context.Context, key access.Key) (store.Row, error) {
	if t.cannotHave(key) {
		return store.Row{}, nil
	}
	return run(ctx, t.of(ctx).runner, readPolicy("read", key), func(ctx context.Context) (store.Row, error) {
		var c cells
		columns := []any{&c.value, &c.ttl, &c.timestamp, &c.gone}
		if !t.hasMarker {
			columns = columns[:3]
		}
		err := t.query(ctx, t.cql.read, t.keyColumn(key)).Scan(columns...)
		if errors.Is(err, gocql.ErrNotFound) {
			return store.Row{}, nil
		}
		if err != nil {
			return store.Row{}, err
		}
		r := c.row()
		if t.textKeys {
			// The value lies in the driver's frame. Should the driver ever reuse a frame, a sealed value could not be
			// opened, but nothing would notice a changed plain value.
			r.Data = bytes.Clone(r.Data)
		}
		return r, nil
	})
}

// Deleted implements store.Rows.
func (t *Table) Deleted(ctx context.Context, key access.Key) (bool, error) {
	if t.cannotHave(key) {
		return false, nil
	}
	return run(ctx, t.runner, readPolicy("read marker", key), func(ctx context.Context) (bool, error) {
		var gone flagCell
		err := t.query(ctx, t.cql.readMarker, t.keyColumn(key)).Scan(&gone)
		if errors.Is(err, gocql.ErrNotFound) {
			return false, nil
		}
		return bool(gone), err
	})
}

// Write implements store.Rows. data must not be modified after Write has returned, because an attempt that was cancelled
// may still read it.
func (t *Table) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	err := t.exec(ctx, writePolicy("write", key, len(data)), t.cql.write, timestamp, seconds(ttl), data, t.keyColumn(key))
	if isOversized(err) {
		// Cassandra's message contains the key, so it must not be wrapped.
		return fmt.Errorf("%w: %d bytes are above Cassandra's max_mutation_size, native_transport_max_frame_size or a guardrail", store.ErrTooLarge, len(data))
	}
	return err
}

// isOversized reports whether Cassandra has refused a write because of its size. There is no error code for this, so it
// compares the texts of Cassandra's messages about max_mutation_size, native_transport_max_frame_size and the guardrail
// column_value_size_fail_threshold.
func isOversized(err error) bool {
	var refused gocql.RequestError
	return errors.As(err, &refused) && refused.Code() == gocql.ErrCodeInvalid &&
		(strings.Contains(refused.Message(), "oversized mutation") || strings.Contains(refused.Message(), "Request is too big") ||
			strings.Contains(refused.Message(), "column_value_size"))
}

// Delete implements store.Rows. Tombstone and marker are written in an unlogged batch on one partition, which Cassandra
// applies atomically.
func (t *Table) Delete(ctx context.Context, key access.Key, d store.Deletion, c store.Consistency) error {
	if t.cannotHave(key) {
		return nil
	}
	policy := writePolicy("delete", key, 0)
	if c == store.EachQuorum {
		policy.Kind, policy.Consistency = coordinator.EachQuorum, gocql.EachQuorum
	}
	_, err := run(ctx, t.runner, policy, func(ctx context.Context) (struct{}, error) {
		b := t.driver.NewBatch(gocql.UnloggedBatch).WithContext(ctx).DefaultTimestamp(false)
		b.SetConsistency(policy.Consistency)
		b.Query(t.cql.deleteValue, d.Tombstone, t.keyColumn(key))
		if d.MarkerTTL > 0 {
			b.Query(t.cql.writeMarker, d.Marker, seconds(d.MarkerTTL), t.keyColumn(key))
		}
		return struct{}{}, t.driver.ExecuteBatch(b)
	})
	return err
}

// readyKey is the key that Ready reads. It is not the key of a session.
const readyKey access.Key = "\x00ready"

// Ready implements store.Rows.
func (t *Table) Ready(ctx context.Context) error {
	if err := t.exec(ctx, coordinator.CallPolicy{PartitionKey: []byte(readyKey)}, t.cql.ready, t.keyColumn(readyKey)); err != nil {
		return fmt.Errorf("reading at LOCAL_QUORUM: %w", err)
	}
	return nil
}

// keyColumn returns key as a value of the key column's type.
func (t *Table) keyColumn(key access.Key) any {
	if t.textKeys {
		return string(key)
	}
	return []byte(key)
}

// exec runs a statement at LOCAL_QUORUM that returns no rows, or none that matter.
func (t *Table) exec(ctx context.Context, p coordinator.CallPolicy, cql string, args ...any) error {
	_, err := run(ctx, t.of(ctx).runner, p, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, t.query(ctx, cql, args...).Exec()
	})
	return err
}

// query returns a query at LOCAL_QUORUM. It has no pages, which saves Cassandra work.
func (t *Table) query(ctx context.Context, cql string, args ...any) *gocql.Query {
	q := t.of(ctx).driver.Query(cql, args...)
	defer q.Release() // WithContext returns a copy
	return q.WithContext(ctx).Consistency(gocql.LocalQuorum).PageSize(0)
}

// run is coordinator.Run with an error that wraps store.ErrUnavailable.
func run[T any](ctx context.Context, r *coordinator.Runner, p coordinator.CallPolicy, statement func(context.Context) (T, error)) (T, error) {
	value, err := coordinator.Run(ctx, r, p, statement)
	if err != nil {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return value, err
}

// readPolicy returns the policy for reading one row at LOCAL_QUORUM. statement is its name in spans.
func readPolicy(statement string, key access.Key) coordinator.CallPolicy {
	return coordinator.CallPolicy{PartitionKey: []byte(key), Kind: coordinator.Read, Statement: statement, Consistency: gocql.LocalQuorum}
}

// maxSmallValue is the length in bytes up to which writing a value takes about as long as writing an empty one.
const maxSmallValue = 64 << 10

// writePolicy returns the policy for writing one row at LOCAL_QUORUM, with a value of a length in bytes. statement is its name in
// spans.
func writePolicy(statement string, key access.Key, length int) coordinator.CallPolicy {
	p := coordinator.CallPolicy{PartitionKey: []byte(key), Kind: coordinator.Write, Statement: statement, Consistency: gocql.LocalQuorum}
	if length > maxSmallValue {
		p.Kind = coordinator.Other
	}
	return p
}

// intPolicy returns the policy for a table whose partition key is an int.
func intPolicy(partition int) coordinator.CallPolicy {
	return coordinator.CallPolicy{PartitionKey: binary.BigEndian.AppendUint32(nil, uint32(partition))}
}

// seconds returns d in whole seconds, as CQL's TTL wants it.
func seconds(d time.Duration) int { return int(d / time.Second) }
