// Package passwords keeps the password hashes of users. It answers whether a password is right, and hands out no hash.
//
//	Store .................. interface: what package api calls
//	   │
//	   ▼
//	Users .................. checks the access.Caller, counts guesses, compares and makes hashes in a Pool
//	   │        └── scheme   MediaWiki's hash formats                            (package passwords/scheme)
//	   │ seal.Cells          hashes user names and encrypts records              (package store/seal)
//	   ▼
//	Rows ................... interface: one row for each user, and counts of guesses
//	   ├── cassandra.PasswordTable   tables in Cassandra                         (package store/cassandra)
//	   └── Memory                    tables in this process
//
// # A user's row
//
//	row key ──▶ decided   a record that a lightweight transaction has written: the creation of the user, an import, or a
//	                      password that was set with a reset token
//	            written   a record that was written with a timestamp: a change, a delete, a rewrite
//	            token     the hash of the newest reset token, until it expires
//
// A record has a state (password, no password, deleted), the time when it became true, and the hash. The record with the
// larger time counts. The time of a new record is always larger than the time of the record that it follows, whatever the
// clocks say.
//
// # Guarantees
//
//  1. Every operation checks its access.Caller before it does anything else. The zero Caller is denied.
//  2. A hash never leaves the process in clear: not in a result, an error, a log line or a metric. Rows are sealed; user
//     names, networks and reset tokens are stored as keyed hashes or hashes. All sealed records have one of few lengths.
//  3. A wrong password, an unknown user, a deleted user and a user without a password (disabled) have the same error, after
//     hardly different work: the hash of the configured scheme is computed for each of them, unless the user's own hash
//     costs more. The answer comes at a multiple of Options.FailureStep after that work has begun. A user whose row
//     cannot be opened has another error, at the same time.
//  4. Change and Delete return nil after a quorum of every datacentre has the new record (EACH_QUORUM), and no datacentre
//     has a younger one. Verify reads a quorum of its datacentre, so it never accepts a password that is older than a
//     change that has returned nil.
//  5. ErrNotEverywhere means that the new record holds in the local datacentre, and that another datacentre may still have
//     the old one. The change is recorded as pending, and a store.Replayer finishes it. If it cannot be recorded, the error
//     is store.ErrUnavailable, the failure is logged and counted, and only another change finishes it. A write that has
//     begun goes on after its client has left.
//  6. Create, Import and ChangeWithToken are decided by one lightweight transaction of all datacentres (SERIAL, not
//     LOCAL_SERIAL). Of two at the same time, one wins. A reset token is used once. While a datacentre cannot be reached
//     and the others have no majority of all replicas, they fail with store.ErrUnavailable.
//  7. A right password whose hash has an old scheme is hashed again in the background, with a record that is 1 µs younger
//     than the old record. Every change is at least store.TimestampStep younger than the record that it follows, so it
//     wins.
//  8. Guesses are counted for each user, network and client, and together. See budgets.go for the budgets, for how
//     long an attacker has to wait, and for what strangers cannot do.
//  9. Hashes are computed in a Pool of few goroutines, which serves clients in turn. If its queue is full, the client with
//     the most waiting hashes loses one, with the error ErrBusy. The hash of a request that was cancelled is not computed.
//
// # Limits
//
//   - Somebody who has a dump of the tables and the keys of the service can guess the password of one user at a time,
//     offline. Only the cost of the hash makes that slow.
//   - Somebody who can write to Cassandra can restore an earlier record of the same user, or delete counts of guesses.
//   - A client that may verify and chooses the addresses can find out from which of them a user has logged in: once the
//     other budgets are used up, only guesses from known networks are compared.
//   - A wrong password of a user whose old hash costs more than Options.FailureStep is answered one step later, until a
//     right password has rewritten the hash. The other requests that wait for the same pool can measure how long it works.
//   - While datacentres are cut apart, each of them can change the same password. When the link is back, the later change
//     holds everywhere. So somebody who knows the old password, which another datacentre still accepts, can undo a change or
//     a delete whose error was ErrNotEverywhere.
//   - Two changes of one password at the same moment: the one that was written later holds. Both may return nil, or one of
//     them an error that wraps store.ErrUnavailable.
//   - A transaction that Cassandra has begun and left unfinished may become true later, when another transaction finishes
//     it. Changes that were made meanwhile win by their time. So the clocks of instances must not differ by more than the
//     time between such a transaction and the next change; seconds are far too much, milliseconds are not.
//   - Passwords are Go strings and byte slices. They stay in the memory of the process until it is used again.
package passwords

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"userinfo/access"
)

// The errors of a Store. They are wrapped with more details; test for them with errors.Is. access.ErrDenied,
// store.ErrUnavailable, store.ErrNotReady and store.ErrSealed are other possible errors. No error contains a user name, a
// password, a hash or a token.
var (
	// ErrWrong means that the password or the reset token is not right. It is also the error for a user who does not
	// exist or has no password.
	ErrWrong = errors.New("wrong password")
	// ErrTooManyGuesses means that there were too many wrong passwords. A GuessError says when the next guess is allowed.
	ErrTooManyGuesses = errors.New("too many wrong passwords")
	// ErrWeak means that the new password is against the rules. A WeakError says which rule.
	ErrWeak = errors.New("weak password")
	// ErrPassword means that a text cannot be a password: it is empty, too long, not UTF-8, contains a zero
	// byte, or has more than 30 combining characters in a row.
	ErrPassword = errors.New("unusable password")
	// ErrHash means that an imported hash cannot be used.
	ErrHash = errors.New("unusable hash")
	// ErrExists means that the user exists already, with a password that was set here.
	ErrExists = errors.New("the user exists")
	// ErrDeleted means that the user was deleted here, so that an import does not bring him back.
	ErrDeleted = errors.New("the user was deleted")
	// ErrNotEverywhere means that the new password, or the delete, holds in the local datacentre, and that another
	// datacentre has not confirmed it. A store.Replayer finishes it.
	ErrNotEverywhere = errors.New("changed here, but not yet everywhere")
	// ErrBusy means that as many hashes are being computed as the configuration allows. Nothing was done.
	ErrBusy = errors.New("too many hashes are being computed")
)

// GuessError is an ErrTooManyGuesses.
type GuessError struct {
	// RetryAfter is the time until the next guess is allowed.
	RetryAfter time.Duration
}

// Error implements error.
func (e *GuessError) Error() string { return ErrTooManyGuesses.Error() }

// Unwrap returns ErrTooManyGuesses.
func (e *GuessError) Unwrap() error { return ErrTooManyGuesses }

// WeakError is an ErrWeak.
type WeakError struct {
	// Rule is the rule in words, for users. It contains nothing of the password.
	Rule string
}

// Error implements error.
func (e *WeakError) Error() string { return ErrWeak.Error() + ": " + e.Rule }

// Unwrap returns ErrWeak.
func (e *WeakError) Unwrap() error { return ErrWeak }

// Secret is a password, a hash or a reset token as a client sends it. It prints as [redacted] with every fmt verb, in slog
// and in JSON. string(s) reveals it.
type Secret string

const redacted = "[redacted]"

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// Format implements fmt.Formatter for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Guess is a password or a reset token that must be checked, and where the person is who knows it.
type Guess struct {
	Secret Secret
	// Address is the address of the person, as the client says. Each address has a budget of guesses of its own for each
	// user. IPv6 addresses of one network of 64 bits count as one. The zero Addr is an address, too.
	Address netip.Addr
}

// Store keeps passwords; Users implements it. All methods are safe for concurrent use, and return store.ErrUnavailable when
// ctx ends. caller must be authorized for the operation and the user, otherwise the error is access.ErrDenied. All methods
// that get a password may also return ErrPassword and ErrBusy.
type Store interface {
	// Verify returns nil if the password is right. Further errors: ErrWrong, ErrTooManyGuesses.
	Verify(ctx context.Context, caller access.Caller, user access.Key, current Guess) error
	// Change replaces the current password. It returns nil after every datacentre has confirmed the change. Further errors:
	// ErrWrong, ErrTooManyGuesses, ErrWeak, ErrNotEverywhere.
	Change(ctx context.Context, caller access.Caller, user access.Key, current Guess, replacement Secret) error
	// ChangeWithToken sets a password and uses up a reset token. Further errors: ErrWrong, ErrTooManyGuesses, ErrWeak.
	ChangeWithToken(ctx context.Context, caller access.Caller, user access.Key, token Guess, replacement Secret) error
	// NewResetToken returns a token with which the password can be set once, and how long the token lives. The tokens
	// that were made before become useless.
	NewResetToken(ctx context.Context, caller access.Caller, user access.Key) (Secret, time.Duration, error)
	// Create makes a user. Further errors: ErrWeak, ErrExists.
	Create(ctx context.Context, caller access.Caller, user access.Key, password Secret) error
	// Import makes a user with a hash of MediaWiki's. An empty hash makes a user without a password. If the user exists
	// with this hash, nothing changes. Another imported hash that no verify has rewritten is replaced. Further errors:
	// ErrHash, ErrExists, ErrDeleted.
	Import(ctx context.Context, caller access.Caller, user access.Key, hash Secret) error
	// Delete removes a user. It succeeds if there is no such user. Further errors: ErrNotEverywhere.
	Delete(ctx context.Context, caller access.Caller, user access.Key) error
}
