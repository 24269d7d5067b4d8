// Package seal hashes the keys and encrypts the values of a table, so that neither can be read from the database.
//
// Rows wraps another store.Rows, usually a table in Cassandra:
//
//	store.Collection ── session key, value ──▶ Rows ── row key, sealed value ──▶ table
//
// Invariants:
//
//  1. The wrapped table never gets a session key or a value. A row key is an HMAC of the session key; a sealed value is
//     encrypted with AES-256-GCM. The format is drawn in format.go.
//  2. To open a value, one needs both the seal key and the session key. Somebody who has stolen the table and the
//     service's keys cannot open a session without the user's cookie.
//  3. A sealed value opens only in its own collection and row.
//  4. A value that cannot be opened is store.ErrSealed. It is never reported as a value, and never as absent.
//  5. Equal values look different in the table, and so do the rows of one session key in two collections.
//
// The package does not hide the number of rows, the length of a value, or the times of its last write and its expiry.
// It does not stop anyone who can write to the table from removing a row, or from restoring an earlier state of the same
// row.
package seal

import (
	"context"
	"fmt"
	"io"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// Config configures Rows. All fields are required.
type Config struct {
	// Collection is the name of the collection. It goes into the hash of every row key.
	Collection string
	// Keys returns the keys in force. Every method of Rows calls it once, so that keys can be rotated. All results must
	// have the same IndexKey; see Keys.Replace.
	Keys func() *Keys
	// Random must be cryptographically secure. It makes nonces.
	Random  io.Reader
	Metrics *Metrics
}

// Rows is a store.Rows that hashes keys and encrypts values before it passes them to another store.Rows.
type Rows struct {
	// inner is not embedded, so that no method can pass a session key through by accident.
	inner   store.Rows
	config  Config
	results openResults
}

var _ store.Rows = (*Rows)(nil)

// NewRows returns rows whose keys and values are sealed before inner gets them. It fails closed: it panics if a field of
// c is missing, because the collection must never be stored unsealed.
func NewRows(inner store.Rows, c Config) *Rows {
	if c.Collection == "" || c.Keys == nil || c.Keys() == nil || c.Random == nil || c.Metrics == nil {
		panic("seal: NewRows needs a collection, keys, randomness and metrics")
	}
	return &Rows{inner: inner, config: c, results: c.Metrics.results(c.Collection)}
}

// rowKey returns the key of a row in the wrapped table.
func (r *Rows) rowKey(key access.Key) access.Key {
	return r.config.Keys().locate(r.config.Collection, key).rowKey
}

// Read implements store.Rows. If the value cannot be opened, Read returns the row without Data, and store.ErrSealed.
func (r *Rows) Read(ctx context.Context, key access.Key) (store.Row, error) {
	keys := r.config.Keys()
	location := keys.locate(r.config.Collection, key)
	row, err := r.inner.Read(ctx, location.rowKey)
	if err != nil || row.Absent() {
		return row, err
	}
	row.Data, row.OldSealKey, err = keys.open(location, row.Data)
	r.results.count(row.OldSealKey, err)
	return row, err
}

// Deleted implements store.Rows.
func (r *Rows) Deleted(ctx context.Context, key access.Key) (bool, error) {
	return r.inner.Deleted(ctx, r.rowKey(key))
}

// Write implements store.Rows. It seals once, so that every attempt of the inner Write writes the same bytes.
func (r *Rows) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	keys := r.config.Keys()
	location := keys.locate(r.config.Collection, key)
	sealed, err := keys.seal(r.config.Random, location, data)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return r.inner.Write(ctx, location.rowKey, sealed, timestamp, ttl)
}

// Delete implements store.Rows.
func (r *Rows) Delete(ctx context.Context, key access.Key, d store.Deletion, c store.Consistency) error {
	return r.inner.Delete(ctx, r.rowKey(key), d, c)
}

// RecordPending implements store.Rows.
func (r *Rows) RecordPending(ctx context.Context, key access.Key, d store.Deletion) error {
	return r.inner.RecordPending(ctx, r.rowKey(key), d)
}

// Ready implements store.Rows.
func (r *Rows) Ready(ctx context.Context) error { return r.inner.Ready(ctx) }

// Sealed implements store.Rows. It returns true.
func (r *Rows) Sealed() bool { return true }
