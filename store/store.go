// Package store keeps values under keys for a while, in Apache Cassandra or in memory, and makes the promises
// that a login session needs.
//
//	Collection   one kind of data: checks the Caller, takes timestamps, runs the logout fence   (collection.go)
//	   │
//	  rows       timestamped cells that expire, as Cassandra has them                            (rows.go)
//	   ├── sealed.go       rows in other rows, with keys hashed and values encrypted              (format: seal.go)
//	   ├── memory.go       in this process
//	   ├── cassandra/       in Cassandra, through cassandra/coordinator, which repeats and hedges statements
//	   │
//	  ledger     the deletes that some datacentre has not confirmed                              (ledger.go)
//	   │
//	Replayer      finishes them, whichever instance took them                                     (carry.go)
//
//	ClockWatch   compares clocks, which all of this depends on                      (clockwatch.go, skews.go, clockboard.go)
//
// Invariants:
//
//  1. Every operation checks its Caller before anything else; the zero Caller is denied.
//  2. Every write carries a timestamp of this process, in µs, taken once when the operation arrives and the same
//     on every attempt. A retried write can therefore never overtake a later one, and every attempt may be repeated.
//  3. Get, Set and Touch are at LOCAL_QUORUM and asked of the local datacentre alone. Delete is at EACH_QUORUM.
//  4. ErrNotFound means known to be absent. Whatever could not be established is ErrUnavailable.
//  5. A Touch writes the timestamp of the value it read plus one, so that any other write wins over it, and of two at
//     once the one that ends later. It writes nothing where the value lives about as long anyhow.
//  6. A deleted key stays deleted for the collection's fence: a tombstone that lies that far in the future hides
//     any Set that began before, and a marker refuses any that comes after.
//  7. A Delete that ends in ErrNotEverywhere is in a durable list before that is said, and the Replayer of any instance
//     finishes it once every datacentre is there. Where it could not be listed, the log and a metric say so.
//  8. A collection of LayoutUserInfo is sealed: neither a key nor a value leaves this process, and to open a value takes
//     its own session key besides the service's keys. What cannot be opened is ErrSealed, never a value and never absent.
//
// It does not defend against clocks of this service's instances that differ by more than the fence; a ClockWatch says so
// long before. Whoever can write to Cassandra directly can delete rows, or undo a delete by putting a row back that he has
// kept; in a collection that is not sealed he can do anything.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"userinfo/access"
)

// Errors of a Store, to be told apart with errors.Is. They come wrapped with what was being done, and never carry
// a key or a value. access.ErrDenied is one more.
var (
	// ErrNotFound: there is no value; a quorum said so.
	ErrNotFound = errors.New("not found")
	// ErrDeleted: the key was deleted less than the collection's fence ago, so nothing may be set on it.
	ErrDeleted = errors.New("deleted a moment ago")
	// ErrNotEverywhere: the value is deleted in the local datacentre but not known to be in every other. A Replayer
	// finishes that.
	ErrNotEverywhere = errors.New("deleted here, but not yet everywhere")
	// ErrUnavailable: it is not known whether the operation took effect, or what the value is.
	ErrUnavailable = errors.New("unavailable")
	// ErrKey: this collection cannot have such a key.
	ErrKey = errors.New("unusable key")
	// ErrTTL: the TTL is not within what the collection allows.
	ErrTTL = errors.New("TTL out of range")
	// ErrSealed: there is a value, but it cannot be opened: it was changed, moved, or sealed with a key not in force.
	ErrSealed = errors.New("a sealed value cannot be opened")
	// ErrFull: a memory store has no room.
	ErrFull = errors.New("store is full")
)

// unavailable wraps the reason why something could not be established.
func unavailable(cause error) error { return fmt.Errorf("%w: %w", ErrUnavailable, cause) }

// Value is what is kept under a key. It prints as [redacted].
type Value struct {
	// Data are the bytes as they were set.
	Data []byte
	// TTL is how long the value has yet to live, in whole seconds; 0 for a value that another writer set without one.
	TTL time.Duration
}

// Format keeps values out of logs and errors, whatever the verb.
func (Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// Store is one collection of values. All methods are safe for concurrent use and give up when ctx ends.
type Store interface {
	// Get reads the value at LOCAL_QUORUM. Errors: access.ErrDenied, ErrKey, ErrNotFound, ErrSealed,
	// ErrUnavailable.
	Get(ctx context.Context, caller access.Caller, key access.Key) (Value, error)
	// Set writes the value at LOCAL_QUORUM, to live for ttl, of which whole seconds count. On ErrUnavailable it may
	// have been written. Errors: access.ErrDenied, ErrKey, ErrTTL, ErrDeleted, ErrUnavailable, ErrFull.
	Set(ctx context.Context, caller access.Caller, key access.Key, data []byte, ttl time.Duration) error
	// Touch gives the value a new ttl at LOCAL_QUORUM, unless it has about that already (CollectionConfig.TouchSlack).
	// A Set or Delete at the same time or later wins over it, and of two Touches at once the longer.
	// Errors: access.ErrDenied, ErrKey, ErrTTL, ErrNotFound, ErrSealed, ErrUnavailable.
	Touch(ctx context.Context, caller access.Caller, key access.Key, ttl time.Duration) error
	// Delete removes the value, whether there is one or not. It succeeds once a quorum of every datacentre has it.
	// On ErrNotEverywhere a quorum of the local datacentre has it; on ErrUnavailable nothing is known.
	// Errors: access.ErrDenied, ErrKey, ErrNotEverywhere, ErrUnavailable, ErrFull (where there was no value).
	Delete(ctx context.Context, caller access.Caller, key access.Key) error
}
