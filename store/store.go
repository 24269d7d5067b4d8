// Package store keeps values, such as login sessions, under keys for a limited time. It decides what a read, a write and
// a delete mean if several instances, clocks and datacentres are involved.
//
//	Collection ............. one kind of data: checks the access.Caller, takes timestamps, enforces the logout fence
//	   │
//	   ▼
//	Rows ................... interface: a table of cells with timestamps and TTLs
//	   ├── seal.Rows ....... hashes keys and encrypts values, on top of other Rows   (package store/seal)
//	   ├── cassandra.Table . a table in Cassandra                                    (package store/cassandra)
//	   ├── ReadThrough ..... two tables, while a collection moves from one to the other
//	   └── Memory .......... a table in this process
//
//	Replayer ............... replays deletes until every datacentre has confirmed them
//	   │
//	   ▼
//	PendingDeletes ......... interface: the deletes that some datacentre has not confirmed
//
// # Guarantees
//
//  1. Every operation checks its access.Caller before it does anything else. The zero Caller is denied.
//  2. Set and Delete choose a timestamp in µs when they arrive. Touch uses the timestamp of the value (see 5). All attempts
//     of an operation use the same timestamp. Therefore attempts can be repeated, and a late attempt never overwrites a
//     later operation.
//  3. Get, Set and Touch need a quorum of the local datacentre (LOCAL_QUORUM) and never wait for another datacentre.
//     Delete needs a quorum of every datacentre (EACH_QUORUM).
//  4. ErrNotFound means that a quorum has no value, or that a NotBefore has ended it. If neither is
//     known, the error is ErrUnavailable.
//  5. Touch writes the value with its old timestamp plus one. Any other concurrent write wins over it. Of two concurrent
//     touches, the one with the longer TTL wins. If the remaining TTL is close enough to the requested one, Touch writes
//     nothing (CollectionConfig.TouchSlack).
//  6. The logout fence: after Delete has succeeded, the key stays deleted for CollectionConfig.Fence. A Set that began
//     before the delete and ends after it does not bring the value back. A Set that begins within the fence gets
//     ErrDeleted. Keys that match CollectionConfig.FenceExempt have no fence.
//  7. ErrNotEverywhere means that the local datacentre has applied the delete, but some other datacentre has not
//     confirmed it. The delete is recorded before Delete returns, and the Replayer of any instance finishes it. If
//     recording fails, too, the error is ErrUnavailable, and the failure is logged and counted in
//     userinfo_pending_deletes_unrecorded_total. Then only another Delete finishes it.
//  8. A collection of LayoutUserInfo is sealed: no key and no value leaves this process in clear. See package store/seal.
//  9. Operations on small values do not wait for large values, and one client's large values do not hold up those of another
//     client. See LargeValues for what it does not prevent.
//  10. Rewrites keeps neither keys nor values, and its memory is bounded. See Rewrites for what it keeps.
//
// # Limits
//
//   - After ErrNotEverywhere, another datacentre may not have the marker of the delete yet, so a Set succeeds there. When
//     the delete is replayed, its tombstone has the original timestamp: the fence plus 3 s after the delete. It hides the
//     value of an earlier Set, but not the value of a later Set. So a session that is used there during a long cut can
//     outlive its logout.
//   - The fence only works if the clocks of two instances differ by less than the fence. Package store/clockskew warns
//     long before.
//   - Someone who can write to Cassandra can delete rows, or undo a delete by writing an old row again. In a collection
//     that is not sealed they can also read and change every value.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"userinfo/access"
)

// The errors of a Store. They are wrapped with more details; test for them with errors.Is. access.ErrDenied is another
// possible error. No error contains a key or a value.
var (
	// ErrNotFound means that a quorum of replicas has no value, or that a NotBefore has ended it.
	ErrNotFound = errors.New("not found")
	// ErrDeleted means that the key was deleted so recently that it cannot be set; see CollectionConfig.Fence.
	ErrDeleted = errors.New("deleted a moment ago")
	// ErrNotEverywhere means that the value is deleted in the local datacentre, but another datacentre has not confirmed
	// the delete. It is recorded as pending, and a Replayer finishes it.
	ErrNotEverywhere = errors.New("deleted here, but not yet everywhere")
	// ErrUnavailable means that it is not known whether the operation took effect, or what the value is.
	ErrUnavailable = errors.New("unavailable")
	// ErrKey means that the collection does not support the key: it is empty, or not UTF-8 in LayoutKask.
	ErrKey = errors.New("unusable key")
	// ErrTTL means that the TTL is outside the limits of the collection.
	ErrTTL = errors.New("TTL out of range")
	// ErrSealed means that the value exists but cannot be opened: it was changed, copied from another row, or sealed with
	// a key that is not configured.
	ErrSealed = errors.New("a sealed value cannot be opened")
	// ErrTooLarge means that the database does not accept a value of this size. Nothing was written.
	ErrTooLarge = errors.New("value too large for the database")
	// ErrNotReady means that the store cannot be used yet. Nothing was done.
	ErrNotReady = errors.New("not ready")
	// ErrNotConnected wraps ErrNotReady. It means that the database has not been reached since the start.
	ErrNotConnected = fmt.Errorf("%w: no connection to the database yet", ErrNotReady)
	// ErrSchemaDiffers wraps ErrNotReady. It means that the tables in the database cannot be used as they are.
	ErrSchemaDiffers = fmt.Errorf("%w: the schema of the database differs from what is needed", ErrNotReady)
	// ErrOverloaded means that too many large values are being read or written. Nothing was done.
	ErrOverloaded = errors.New("overloaded")
	// ErrFull means that a Memory has no space left.
	ErrFull = errors.New("store is full")
)

// unavailable wraps cause in ErrUnavailable.
func unavailable(cause error) error { return fmt.Errorf("%w: %w", ErrUnavailable, cause) }

// Value is the result of Get. It prints as [redacted].
type Value struct {
	// Data is the value as it was set.
	Data []byte
	// TTL is the remaining time to live, in whole seconds. It is 0 if the value never expires; only other programs write
	// such values.
	TTL time.Duration
}

// Format keeps values out of logs and errors. It implements fmt.Formatter for every verb.
func (Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// Store is one collection of values; Collection implements it.
//
// All methods are safe for concurrent use, and return ErrUnavailable when ctx ends. caller must be authorized for the
// operation and the key, otherwise the error is access.ErrDenied. All methods may also return ErrKey, ErrUnavailable and
// ErrNotReady. All except Delete may return ErrOverloaded.
type Store interface {
	// Get returns a value, at LOCAL_QUORUM. Further errors: ErrNotFound, ErrSealed.
	Get(ctx context.Context, caller access.Caller, key access.Key) (Value, error)
	// Set writes a value that expires after ttl, at LOCAL_QUORUM. ttl is rounded down to whole seconds. After
	// ErrUnavailable the value may have been written. Further errors: ErrTTL, ErrDeleted, ErrTooLarge, ErrFull.
	Set(ctx context.Context, caller access.Caller, key access.Key, data []byte, ttl time.Duration) error
	// Touch gives an existing value a new TTL, at LOCAL_QUORUM. After ErrUnavailable the TTL may have been changed.
	// Further errors: ErrNotFound, ErrTTL, ErrTooLarge, ErrSealed.
	Touch(ctx context.Context, caller access.Caller, key access.Key, ttl time.Duration) error
	// Delete removes a value. It succeeds if there is no value. It returns nil after a quorum of every datacentre has
	// confirmed the delete, and ErrNotEverywhere if only a quorum of the local datacentre has confirmed it and a Replayer
	// finishes it. After ErrUnavailable the value may or may not be deleted, here or elsewhere: delete again. Further errors:
	// ErrNotEverywhere, ErrFull.
	Delete(ctx context.Context, caller access.Caller, key access.Key) error
}
