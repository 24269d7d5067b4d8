package passwords

import (
	"context"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// Name is the name of the passwords in grants, audiences, metrics and sealed rows, and the name under which changes are
// pending.
const Name = access.Passwords

// Rows are the tables behind Users. Memory and store/cassandra implement it. Keys are row keys, and values are sealed.
//
// All methods are safe for concurrent use and give up when ctx ends. Every error wraps store.ErrUnavailable or
// store.ErrFull. A write that fails may have been applied, on some replicas or on all.
type Rows interface {
	// Read returns a row at LOCAL_QUORUM. A row that does not exist is the zero Row, without an error.
	Read(ctx context.Context, key access.Key) (Row, error)
	// ReadEverywhere is Read at EACH_QUORUM. When it returns, a quorum of every datacentre has the row that it returns.
	ReadEverywhere(ctx context.Context, key access.Key) (Row, error)
	// Decide replaces Row.Decided by record in a lightweight transaction of all datacentres (SERIAL), if Decided and Written
	// are equal to those in seen. If they are not, decided is false and nothing was written. Decide returns after a quorum of
	// every datacentre has the record. It may be repeated: a record that is in the row already counts as decided.
	Decide(ctx context.Context, key access.Key, seen Row, record []byte) (decided bool, err error)
	// Write replaces Row.Written, unless that has a larger timestamp.
	Write(ctx context.Context, key access.Key, record []byte, timestamp int64, c store.Consistency) error
	// WriteToken replaces Row.Token at EACH_QUORUM, unless that has a larger timestamp. It expires after ttl.
	WriteToken(ctx context.Context, key access.Key, token []byte, timestamp int64, ttl time.Duration) error
	// RecordPending adds a Write that some datacentre has not confirmed to the list of pending writes, at LOCAL_QUORUM.
	RecordPending(ctx context.Context, key access.Key, timestamp int64) error
	// Ready returns nil if a read at LOCAL_QUORUM works.
	Ready(ctx context.Context) error

	// ReadGuesses returns the counts of a budget at LOCAL_QUORUM, one for each instance that has counted.
	ReadGuesses(ctx context.Context, budget access.Key) ([]Count, error)
	// WriteGuesses writes the count of one instance at LOCAL_QUORUM, with Count.Last as its timestamp. It expires after ttl.
	WriteGuesses(ctx context.Context, budget access.Key, c Count, ttl time.Duration) error
}

// Row is a user's row. Its fields are nil if they have no value.
type Row struct{ Decided, Written, Token []byte }

// Count is how many wrong passwords one instance has seen in a budget.
type Count struct {
	// Instance is a random name of the instance. The empty name is the row that every instance writes after a right password.
	Instance string
	Failures int
	// Last is when the count was written last, in µs.
	Last int64
}
