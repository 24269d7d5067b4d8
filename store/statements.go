package store

import (
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
	_ rows   = (*table)(nil)
	_ ledger = (*table)(nil)
)

func newTable(session *gocql.Session, r *runner, keyspace string, c CollectionConfig) *table {
	name := `"` + keyspace + `"."` + c.Table + `"` // quoted, so that any name can be one
	t := &table{session: session, runner: r, text: c.Layout == LayoutKask, marked: c.Layout != LayoutKask || c.Fence > 0}
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

// bind is key as the column's type wants it.
func (t *table) bind(key access.Key) any {
	if t.text {
		return string(key)
	}
	return []byte(key)
}

func (t *table) read(ctx context.Context, key access.Key) (row, error) {
	return run(ctx, t.runner, plan{key: []byte(key), read: true}, func(ctx context.Context) (row, error) {
		var (
			r         row
			ttl       *int
			timestamp *int64
			gone      *bool
		)
		into := []any{&r.data, &ttl, &timestamp}
		if t.marked {
			into = append(into, &gone)
		}
		err := t.session.Query(t.readCQL, t.bind(key)).WithContext(ctx).Consistency(gocql.LocalQuorum).Scan(into...)
		if errors.Is(err, gocql.ErrNotFound) {
			return row{}, nil
		}
		if err != nil {
			return row{}, err
		}
		if ttl != nil {
			r.ttl = time.Duration(*ttl) * time.Second
		}
		if timestamp != nil {
			r.timestamp = *timestamp
			if r.data == nil { // the driver does not tell an empty value from none
				r.data = []byte{}
			}
		}
		r.gone = gone != nil && *gone
		return r, nil
	})
}

func (t *table) fenced(ctx context.Context, key access.Key) (bool, error) {
	return run(ctx, t.runner, plan{key: []byte(key), read: true}, func(ctx context.Context) (bool, error) {
		var gone *bool
		err := t.session.Query(t.fencedCQL, t.bind(key)).WithContext(ctx).Consistency(gocql.LocalQuorum).Scan(&gone)
		if errors.Is(err, gocql.ErrNotFound) {
			return false, nil
		}
		return gone != nil && *gone, err
	})
}

func (t *table) write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	_, err := run(ctx, t.runner, plan{key: []byte(key)}, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, t.session.Query(t.writeCQL, timestamp, seconds(ttl), data, t.bind(key)).
			WithContext(ctx).Consistency(gocql.LocalQuorum).Exec()
	})
	return err
}

// remove writes tombstone and marker as one mutation: a batch of a single partition is atomic and costs no log.
func (t *table) remove(ctx context.Context, key access.Key, d removal, everywhere bool) error {
	consistency := gocql.LocalQuorum
	if everywhere {
		consistency = gocql.EachQuorum
	}
	_, err := run(ctx, t.runner, plan{key: []byte(key), everywhere: everywhere}, func(ctx context.Context) (struct{}, error) {
		b := t.session.NewBatch(gocql.UnloggedBatch).WithContext(ctx).DefaultTimestamp(false)
		b.SetConsistency(consistency)
		b.Query(t.tombstoneCQL, d.tombstone, t.bind(key))
		if d.markerTTL > 0 {
			b.Query(t.markCQL, d.marker, seconds(d.markerTTL), t.bind(key))
		}
		return struct{}{}, t.session.ExecuteBatch(b)
	})
	return err
}

// readyKey is no session's: ready reads it for the sake of reading.
const readyKey access.Key = "\x00ready"

func (t *table) ready(ctx context.Context) error {
	_, err := run(ctx, t.runner, plan{key: []byte(readyKey)}, func(ctx context.Context) (struct{}, error) {
		err := t.session.Query(t.readyCQL, t.bind(readyKey)).WithContext(ctx).Consistency(gocql.LocalQuorum).Exec()
		return struct{}{}, err
	})
	if err != nil {
		return fmt.Errorf("reading at LOCAL_QUORUM: %w", err)
	}
	return nil
}

func seconds(d time.Duration) int { return int(d / time.Second) }
