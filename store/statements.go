package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gocql/gocql"

	"userinfo/access"
)

// table holds a collection's rows in Cassandra:
//
//	LayoutUserInfo   key blob PRIMARY KEY, value blob, gone boolean
//	LayoutKask       key text PRIMARY KEY, value blob [, gone boolean where there is a fence]
//
// Rows are made by UPDATE, never by INSERT: without a row marker the row goes when its cells do.
type table struct {
	session *gocql.Session
	runner  *runner
	text    bool // keys are text
	marked  bool // there is a gone column

	collection string // as the ledger has it
	ledgerCQL  ledgerCQL

	readCQL, fencedCQL, readyCQL, writeCQL, tombstoneCQL, markCQL string
}

var (
	_ Rows           = (*table)(nil)
	_ PendingDeletes = (*table)(nil)
)

func newTable(session *gocql.Session, r *runner, keyspace string, c CollectionConfig) *table {
	name := `"` + keyspace + `"."` + c.Table + `"` // quoted, so that any name can be one
	t := &table{session: session, runner: r, text: c.Layout == LayoutKask, marked: c.Layout.HasMarker(c.Fence)}
	t.collection, t.ledgerCQL = c.Name, newLedgerCQL(keyspace)
	gone := ""
	if t.marked {
		gone = ", gone"
	}
	t.readCQL = "SELECT value, TTL(value), WRITETIME(value)" + gone + " FROM " + name + " WHERE key = ?"
	t.fencedCQL = "SELECT gone FROM " + name + " WHERE key = ?"
	t.readyCQL = "SELECT key FROM " + name + " WHERE key = ?"
	t.writeCQL = "UPDATE " + name + " USING TIMESTAMP ? AND TTL ? SET value = ? WHERE key = ?"
	t.tombstoneCQL = "DELETE value FROM " + name + " USING TIMESTAMP ? WHERE key = ?"
	t.markCQL = "UPDATE " + name + " USING TIMESTAMP ? AND TTL ? SET gone = true WHERE key = ?"
	return t
}

// bind is key as the column's type wants it, and as the partition key that it makes.
func (t *table) bind(key access.Key) (column any, partition []byte) {
	partition = []byte(key)
	if t.text {
		return string(key), partition
	}
	return partition, partition
}

// query is a statement at LOCAL_QUORUM. Its answer is one page, which spares Cassandra to keep account of pages.
func (t *table) query(ctx context.Context, cql string, args ...any) *gocql.Query {
	q := t.session.Query(cql, args...)
	defer q.Release() // WithContext makes another
	return q.WithContext(ctx).Consistency(gocql.LocalQuorum).PageSize(0)
}

func (t *table) Read(ctx context.Context, key access.Key) (Row, error) {
	column, partition := t.bind(key)
	return run(ctx, t.runner, plan{key: partition, read: true}, func(ctx context.Context) (Row, error) {
		var c cells
		into := []any{&c.value, &c.ttl, &c.timestamp, &c.gone}
		if !t.marked {
			into = into[:3]
		}
		err := t.query(ctx, t.readCQL, column).Scan(into...)
		if errors.Is(err, gocql.ErrNotFound) {
			return Row{}, nil
		}
		if err != nil {
			return Row{}, err
		}
		r := c.row()
		if t.text { // not sealed: nothing would notice a frame that the driver uses again after all
			r.Data = bytes.Clone(r.Data)
		}
		return r, nil
	})
}

func (t *table) Deleted(ctx context.Context, key access.Key) (bool, error) {
	column, partition := t.bind(key)
	return run(ctx, t.runner, plan{key: partition, read: true}, func(ctx context.Context) (bool, error) {
		var gone flagCell
		err := t.query(ctx, t.fencedCQL, column).Scan(&gone)
		if errors.Is(err, gocql.ErrNotFound) {
			return false, nil
		}
		return bool(gone), err
	})
}

func (t *table) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	column, partition := t.bind(key)
	_, err := run(ctx, t.runner, plan{key: partition}, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, t.query(ctx, t.writeCQL, timestamp, seconds(ttl), data, column).Exec()
	})
	return err
}

// remove writes tombstone and marker as one mutation: a batch of a single partition is atomic and costs no log.
func (t *table) Delete(ctx context.Context, key access.Key, d Deletion, c Consistency) error {
	consistency := gocql.LocalQuorum
	everywhere := c == EachQuorum
	if everywhere {
		consistency = gocql.EachQuorum
	}
	column, partition := t.bind(key)
	_, err := run(ctx, t.runner, plan{key: partition, everywhere: everywhere}, func(ctx context.Context) (struct{}, error) {
		b := t.session.NewBatch(gocql.UnloggedBatch).WithContext(ctx).DefaultTimestamp(false)
		b.SetConsistency(consistency)
		b.Query(t.tombstoneCQL, d.Tombstone, column)
		if d.MarkerTTL > 0 {
			b.Query(t.markCQL, d.Marker, seconds(d.MarkerTTL), column)
		}
		return struct{}{}, t.session.ExecuteBatch(b)
	})
	return err
}

// Sealed implements Rows. Cassandra gets what the table is given.
func (t *table) Sealed() bool { return false }

// readyKey is no session's: ready reads it for the sake of reading.
const readyKey access.Key = "\x00ready"

func (t *table) Ready(ctx context.Context) error {
	column, partition := t.bind(readyKey)
	_, err := run(ctx, t.runner, plan{key: partition}, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, t.query(ctx, t.readyCQL, column).Exec()
	})
	if err != nil {
		return fmt.Errorf("reading at LOCAL_QUORUM: %w", err)
	}
	return nil
}

func seconds(d time.Duration) int { return int(d / time.Second) }
