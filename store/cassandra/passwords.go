package cassandra

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/gocql/gocql"

	"userinfo/access"
	"userinfo/passwords"
	"userinfo/store"
	"userinfo/store/cassandra/coordinator"
)

// Names of the tables of passwords. See package schema.
const (
	passwordTable = "user_passwords"
	guessTable    = "password_guesses"
)

// decideTimeout limits a lightweight transaction, so that its client gets an answer.
const decideTimeout = 2 * time.Second

// PasswordTable holds the rows of passwords.Users:
//
//	user_passwords     key blob PRIMARY KEY, decided blob, written blob, reset_token blob
//	password_guesses   budget blob, instance text, failures int, last bigint, PRIMARY KEY (budget, instance)
//
// The column decided is written by lightweight transactions only, and the other columns are never written by one. So
// Cassandra never compares a timestamp of a transaction, which Cassandra's clocks have made, with a timestamp of the
// service.
//
// A write that some datacentre has not confirmed is pending in the same tables as the deletes of collections, under the name
// of the passwords. To finish it, the newest row of all datacentres is read and written again with its old timestamp.
//
// All methods are safe for concurrent use. All errors wrap store.ErrUnavailable.
type PasswordTable struct {
	connections
	cql     passwordStatements
	pending *Table // only for its list of pending deletes
}

var _ passwords.Rows = (*PasswordTable)(nil)

// passwordStatements are the CQL statements of a PasswordTable.
type passwordStatements struct {
	read, readWritten, ready, decide, write, writeToken, readGuesses, writeGuesses string
}

func newPasswordStatements(keyspace string) passwordStatements {
	users, guesses := quoteName(keyspace, passwordTable), quoteName(keyspace, guessTable)
	const where = " WHERE key = ?"
	return passwordStatements{
		read:        "SELECT decided, written, reset_token FROM " + users + where,
		readWritten: "SELECT written, WRITETIME(written) FROM " + users + where,
		ready:       "SELECT key FROM " + users + where,
		decide:      "UPDATE " + users + " SET decided = ?" + where + " IF decided = ? AND written = ?",
		// TTL 0 overrides the table's default_time_to_live, if it has one.
		write:        "UPDATE " + users + " USING TIMESTAMP ? AND TTL 0 SET written = ?" + where,
		writeToken:   "UPDATE " + users + " USING TIMESTAMP ? AND TTL ? SET reset_token = ?" + where,
		readGuesses:  "SELECT instance, failures, last FROM " + guesses + " WHERE budget = ?",
		writeGuesses: "UPDATE " + guesses + " USING TIMESTAMP ? AND TTL ? SET failures = ?, last = ? WHERE budget = ? AND instance = ?",
	}
}

// PasswordTable returns the tables of passwords. They must exist.
func (s *Session) PasswordTable() *PasswordTable {
	return &PasswordTable{
		connections: s.connections, cql: newPasswordStatements(s.keyspace),
		pending: s.Table(store.CollectionConfig{Name: passwords.Name, Table: passwordTable}),
	}
}

// Read implements passwords.Rows.
func (t *PasswordTable) Read(ctx context.Context, key access.Key) (passwords.Row, error) {
	return t.readRow(ctx, key, readPolicy("read password", key), gocql.LocalQuorum)
}

// ReadEverywhere implements passwords.Rows. Cassandra repairs the replicas that it reads before it answers (read_repair is
// BLOCKING).
func (t *PasswordTable) ReadEverywhere(ctx context.Context, key access.Key) (passwords.Row, error) {
	policy := coordinator.CallPolicy{PartitionKey: []byte(key), Kind: coordinator.EachQuorum, Statement: "read password everywhere", Consistency: gocql.EachQuorum}
	return t.readRow(ctx, key, policy, gocql.EachQuorum)
}

func (t *PasswordTable) readRow(ctx context.Context, key access.Key, p coordinator.CallPolicy, c gocql.Consistency) (passwords.Row, error) {
	return run(ctx, t.runner, p, func(ctx context.Context) (passwords.Row, error) {
		var decided, written, token blobCell
		err := t.query(ctx, c, t.cql.read, []byte(key)).Scan(&decided, &written, &token)
		if errors.Is(err, gocql.ErrNotFound) {
			return passwords.Row{}, nil
		}
		return passwords.Row{Decided: decided, Written: written, Token: token}, err
	})
}

// Decide implements passwords.Rows. The transaction is repeated like any other statement. If an earlier attempt has
// succeeded without an answer, a later one finds the record. Then nobody knows whether every datacentre has it, so Decide
// reads the row at EACH_QUORUM: Cassandra repairs the replicas that it reads before it answers (read_repair is BLOCKING).
func (t *PasswordTable) Decide(ctx context.Context, key access.Key, seen passwords.Row, record []byte) (decided bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, decideTimeout)
	defer cancel()
	policy := coordinator.CallPolicy{PartitionKey: []byte(key), Kind: coordinator.Transaction, Statement: "decide password", Consistency: gocql.EachQuorum}
	return run(ctx, t.runner, policy, func(ctx context.Context) (bool, error) {
		found := make(map[string]any)
		q := t.query(ctx, gocql.EachQuorum, t.cql.decide, record, []byte(key), nullable(seen.Decided), nullable(seen.Written))
		applied, err := q.SerialConsistency(gocql.Serial).MapScanCAS(found)
		if err != nil || applied {
			return applied, err
		}
		now, _ := found["decided"].([]byte)
		if !bytes.Equal(now, record) {
			return false, nil
		}
		return true, t.query(ctx, gocql.EachQuorum, t.cql.read, []byte(key)).Exec()
	})
}

// nullable returns b as a value to bind: null if b is nil.
func nullable(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// Write implements passwords.Rows.
func (t *PasswordTable) Write(ctx context.Context, key access.Key, record []byte, timestamp int64, c store.Consistency) error {
	return t.writeColumn(ctx, key, c, t.cql.write, timestamp, record, []byte(key))
}

// WriteToken implements passwords.Rows.
func (t *PasswordTable) WriteToken(ctx context.Context, key access.Key, token []byte, timestamp int64, ttl time.Duration) error {
	return t.writeColumn(ctx, key, store.EachQuorum, t.cql.writeToken, timestamp, seconds(ttl), token, []byte(key))
}

// writeColumn runs a statement that writes one column.
func (t *PasswordTable) writeColumn(ctx context.Context, key access.Key, c store.Consistency, cql string, args ...any) error {
	policy := writePolicy("write password", key, 0)
	if c == store.EachQuorum {
		policy.Kind, policy.Consistency = coordinator.EachQuorum, gocql.EachQuorum
	}
	return t.exec(ctx, policy, cql, args...)
}

// Ready implements passwords.Rows.
func (t *PasswordTable) Ready(ctx context.Context) error {
	return t.exec(ctx, coordinator.CallPolicy{PartitionKey: []byte(readyKey), Consistency: gocql.LocalQuorum}, t.cql.ready, []byte(readyKey))
}

// ReadGuesses implements passwords.Rows.
func (t *PasswordTable) ReadGuesses(ctx context.Context, budget access.Key) ([]passwords.Count, error) {
	return run(ctx, t.runner, readPolicy("read guesses", budget), func(ctx context.Context) ([]passwords.Count, error) {
		rows := t.query(ctx, gocql.LocalQuorum, t.cql.readGuesses, []byte(budget)).Iter().Scanner()
		var all []passwords.Count
		for rows.Next() {
			var c passwords.Count
			if err := rows.Scan(&c.Instance, &c.Failures, &c.Last); err != nil {
				return nil, err
			}
			all = append(all, c)
		}
		return all, rows.Err()
	})
}

// WriteGuesses implements passwords.Rows.
func (t *PasswordTable) WriteGuesses(ctx context.Context, budget access.Key, c passwords.Count, ttl time.Duration) error {
	return t.exec(ctx, writePolicy("write guesses", budget, 0), t.cql.writeGuesses, c.Last, seconds(ttl), c.Failures, c.Last, []byte(budget), c.Instance)
}

// exec runs a statement at the consistency of its policy. It returns no rows, or none that matter.
func (t *PasswordTable) exec(ctx context.Context, p coordinator.CallPolicy, cql string, args ...any) error {
	_, err := run(ctx, t.runner, p, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, t.query(ctx, p.Consistency, cql, args...).Exec()
	})
	return err
}

// query returns a query without pages.
func (t *PasswordTable) query(ctx context.Context, c gocql.Consistency, cql string, args ...any) *gocql.Query {
	q := t.driver.Query(cql, args...)
	defer q.Release() // WithContext returns a copy
	return q.WithContext(ctx).Consistency(c).PageSize(0)
}

// RecordPending implements passwords.Rows.
func (t *PasswordTable) RecordPending(ctx context.Context, key access.Key, timestamp int64) error {
	return t.pending.RecordPending(ctx, key, store.Deletion{Tombstone: timestamp, Marker: timestamp})
}

// PendingLists returns the pending writes of passwords for a store.Replayer.
func (t *PasswordTable) PendingLists() []store.PendingList {
	return []store.PendingList{{Collection: passwords.Name, Table: segmentTable, Deletes: pendingPasswords{t}}}
}

// pendingPasswords are the pending writes of a PasswordTable.
type pendingPasswords struct{ table *PasswordTable }

var _ store.PendingDeletes = pendingPasswords{}

// ListPending implements store.PendingDeletes.
func (p pendingPasswords) ListPending(ctx context.Context, bucket, limit int) ([]store.PendingDelete, error) {
	return p.table.pending.ListPending(ctx, bucket, limit)
}

// RemovePending implements store.PendingDeletes.
func (p pendingPasswords) RemovePending(ctx context.Context, entry store.PendingDelete) error {
	return p.table.pending.RemovePending(ctx, entry)
}

// Delete implements store.PendingDeletes. It finishes a pending write: it reads the newest record of all datacentres, and
// writes it again with its timestamp. A quorum of its own datacentre had confirmed the write before it was recorded as pending,
// so the read finds it or a later one.
func (p pendingPasswords) Delete(ctx context.Context, key access.Key, _ store.Deletion, c store.Consistency) error {
	t := p.table
	policy := coordinator.CallPolicy{PartitionKey: []byte(key), Kind: coordinator.EachQuorum, Statement: "read password everywhere", Consistency: gocql.EachQuorum}
	newest, err := run(ctx, t.runner, policy, func(ctx context.Context) (cells, error) {
		var row cells
		err := t.query(ctx, gocql.EachQuorum, t.cql.readWritten, []byte(key)).Scan(&row.value, &row.timestamp)
		if errors.Is(err, gocql.ErrNotFound) {
			return cells{}, nil
		}
		return row, err
	})
	if err != nil || !newest.timestamp.valid {
		return err
	}
	return t.Write(ctx, key, bytes.Clone(newest.value), newest.timestamp.value, c)
}
