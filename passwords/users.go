package passwords

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/internal/panics"
	"userinfo/passwords/scheme"
	"userinfo/store"
	"userinfo/store/seal"
)

// Config describes how passwords are kept.
type Config struct {
	// Argon2id are the parameters of new hashes. They must be valid.
	Argon2id scheme.Argon2id
	// MemoryKiB is the largest memory that a hash may need, in KiB, so that it can be imported. It is at least
	// Argon2id.MemoryKiB.
	MemoryKiB uint32
	// MinLength is the smallest length of a new password in characters.
	MinLength int
	// ResetTTL is how long a reset token lives, in whole seconds.
	ResetTTL time.Duration
	// GuessesPerMinute is how many wrong passwords a client may try in a minute, not counting known networks. 0: no limit.
	GuessesPerMinute int
}

// Options are the dependencies of Users. All fields are required, except FailureStep and Panics.
type Options struct {
	// Now is the clock of records, budgets and reset tokens.
	Now func() time.Time
	// Random must be cryptographically secure. It makes salts, nonces and reset tokens.
	Random io.Reader
	Log    *slog.Logger
	// Metrics are also those of Pool.
	Metrics *Metrics
	// Pool computes hashes. The caller closes it. After that, everything that needs a hash fails with ErrBusy.
	Pool *Pool
	// Keys returns the keys in force. SealMetrics counts how opening records ends.
	Keys        func() *seal.Keys
	SealMetrics *seal.Metrics
	// Confirmations is shared with the collections of the same cluster.
	Confirmations *store.Confirmations
	// FailureStep is the unit of the time of wrong passwords: the answer comes at the first multiple of it after a worker
	// has begun to compare, at which the work is done. It is longer than the work of most requests. 0: the answer comes
	// at once.
	FailureStep time.Duration
	// Panics recovers from panics in goroutines.
	Panics *panics.Recorder
}

// Users implements Store on Rows. The package comment lists its guarantees.
type Users struct {
	rows       Rows
	config     Config
	options    Options
	timestamps *store.Timestamps
	records    *seal.Cells
	tokens     *seal.Cells
	guesses    *guessCounter
	decoy      scheme.Hash // of the configured scheme; no password is known for it
	rewriter   *rewriter

	grants map[access.Action]access.Grant
}

var _ Store = (*Users)(nil)

// NewUsers returns Users on rows, and starts the goroutine that rewrites old hashes, which belongs to Users. It makes one
// hash, which takes a moment. The caller must call Close.
func NewUsers(rows Rows, config Config, o Options) (*Users, error) {
	if err := config.Argon2id.Validate(); err != nil {
		return nil, err
	}
	cells := func(kind string) *seal.Cells {
		return seal.NewCells(seal.Config{Collection: kind, Keys: o.Keys, Random: o.Random, Metrics: o.SealMetrics})
	}
	u := &Users{
		rows: rows, config: config, options: o, timestamps: store.NewTimestamps(o.Now),
		records: cells(Name), tokens: cells(Name + "_reset_tokens"), grants: make(map[access.Action]access.Grant),
	}
	secret := make([]byte, 32)
	if _, err := io.ReadFull(o.Random, secret); err != nil {
		return nil, fmt.Errorf("reading random bytes: %w", err)
	}

	start := time.Now()
	decoy, err := config.Argon2id.New(secret, o.Random)
	if err != nil {
		return nil, err
	}
	u.warnIfGuessesFillPool(time.Since(start))
	instance, err := randomText(o.Random)
	if err != nil {
		return nil, err
	}
	u.guesses = &guessCounter{
		rows: rows, hash: cells(Name + "_guesses").RowKey, now: o.Now, instance: instance, perMinute: config.GuessesPerMinute,
		log: o.Log, metrics: o.Metrics, panics: o.Panics, own: make(map[access.Key]*ownCount),
	}
	u.decoy = decoy
	for _, action := range access.PasswordActions {
		u.grants[action] = access.GrantOn(Name, action)
	}
	u.rewriter = newRewriter(u)
	return u, nil
}

// warnIfGuessesFillPool warns if the wrong passwords of one client can keep the pool busy for more than half of the time.
// hash is how long a hash takes.
func (u *Users) warnIfGuessesFillPool(hash time.Duration) {
	if busy := time.Duration(u.config.GuessesPerMinute) * hash; busy > time.Duration(u.options.Pool.size)*time.Minute/2 {
		u.options.Log.Warn("the wrong passwords that one client may try can keep more than half of the workers busy: raise passwords.workers, or lower passwords.guesses_per_minute",
			"hash", hash.String(), "workers", u.options.Pool.size, "guesses_per_minute", u.config.GuessesPerMinute)
	}
}

// Close ends the goroutine that rewrites old hashes, and returns when it has ended.
func (u *Users) Close() { u.rewriter.close() }

// Ready returns nil if a read at LOCAL_QUORUM works. It reads no user.
func (u *Users) Ready(ctx context.Context) error { return u.rows.Ready(ctx) }

// authorize checks the caller and the user of an operation. It fails closed: a Caller for another operation or user, or the
// zero Caller, is denied.
func (u *Users) authorize(caller access.Caller, action access.Action, user access.Key) error {
	if err := caller.Check(u.grants[action], user); err != nil {
		return err
	}
	if user == "" {
		return fmt.Errorf("%w: empty user name", store.ErrKey)
	}
	return nil
}

// userRow is what a row says.
type userRow struct {
	Row
	current record
	token   resetToken // zero without a token
}

// read reads the row of a user at LOCAL_QUORUM.
func (u *Users) read(ctx context.Context, user access.Key) (userRow, error) {
	row, err := u.rows.Read(ctx, u.records.RowKey(user))
	return u.open(ctx, user, row, err)
}

// readEverywhere reads the row of a user at EACH_QUORUM.
func (u *Users) readEverywhere(ctx context.Context, user access.Key) (userRow, error) {
	row, err := u.rows.ReadEverywhere(ctx, u.records.RowKey(user))
	return u.open(ctx, user, row, err)
}

// open opens a row that was read, unless reading it has failed with err.
func (u *Users) open(ctx context.Context, user access.Key, row Row, err error) (userRow, error) {
	if err != nil {
		return userRow{}, fmt.Errorf("reading a user: %w", err)
	}
	found, err := u.openRow(user, row)
	if err != nil {
		u.options.Log.ErrorContext(ctx, "the row of a user cannot be opened: is an old key missing in passwords.seal.keys?", "error", err.Error())
	}
	return found, err
}

// openRow opens a row. It fails closed: if a record cannot be opened, the error wraps store.ErrSealed.
func (u *Users) openRow(user access.Key, row Row) (userRow, error) {
	found := userRow{Row: row}
	for _, sealed := range [][]byte{row.Decided, row.Written} {
		if sealed == nil {
			continue
		}
		data, _, err := u.records.Open(user, sealed)
		if err != nil {
			return userRow{}, err
		}
		r, err := decodeRecord(data)
		if err != nil {
			return userRow{}, err
		}
		if r.since > found.current.since {
			found.current = r
		}
	}
	if row.Token != nil {
		data, _, err := u.tokens.Open(user, row.Token)
		if err != nil {
			return userRow{}, err
		}
		if found.token, err = decodeToken(data); err != nil {
			return userRow{}, err
		}
	}
	return found, nil
}

// parse returns the hash of a record. Without a usable hash, it returns the zero Hash, which no password matches.
func (u *Users) parse(ctx context.Context, r record) scheme.Hash {
	if r.state != hasHash {
		return scheme.Hash{}
	}
	h, err := scheme.Parse(r.hash, scheme.Limits{MemoryKiB: u.config.MemoryKiB})
	if err != nil { // the configuration allowed more memory before
		u.options.Log.ErrorContext(ctx, "the hash of a user cannot be compared", "error", err.Error())
	}
	return h
}

// after returns the time of a record that follows what row says, whatever the clocks say. now is a new timestamp.
func after(row userRow, now int64) int64 {
	return max(now, row.current.since+store.TimestampStep, row.token.issued+store.TimestampStep)
}

// sealRecord returns the sealed record of a user.
func (u *Users) sealRecord(user access.Key, r record) ([]byte, error) {
	return u.records.Seal(user, r.encode())
}

// readBeforeWrite limits reading all datacentres before a write, so that there is time for the write if one cannot be
// reached.
const readBeforeWrite = 500 * time.Millisecond

// readNewest reads the row of a user in all datacentres, or in the local one if another one cannot be reached.
func (u *Users) readNewest(ctx context.Context, user access.Key) (userRow, error) {
	short, cancel := context.WithTimeout(ctx, readBeforeWrite)
	defer cancel()
	row, err := u.readEverywhere(short, user)
	if err == nil || errors.Is(err, store.ErrSealed) {
		return row, err
	}
	return u.read(ctx, user)
}

// carriedThrough returns a context that ends at the deadline of ctx, but not when the client leaves. What has begun to be
// written must be carried through: written everywhere, or recorded as pending. It returns an error if ctx has ended.
func carriedThrough(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	end, ok := ctx.Deadline()
	if ctx = context.WithoutCancel(ctx); !ok {
		return ctx, func() {}, nil
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	return ctx, cancel, nil
}

// errOvertaken means that another record has become true at the same time. It wraps store.ErrUnavailable: the client asks
// again, and learns which one holds.
var errOvertaken = fmt.Errorf("%w: the user was changed at the same time", store.ErrUnavailable)

// replace writes the record that next returns for the newest row of a user, so that every datacentre has it. next returns
// an error if the record must not be written. replace returns nil only if the record is the newest one in every datacentre.
//
// Two reads at EACH_QUORUM make sure of that, whatever the clocks say. The first one finds a younger record that another
// datacentre has made while it was cut off; the new record follows it. The second one finds a record that was made since.
// The time of the record is taken between the first read and the write, as late as possible: a transaction that was decided
// before, such as an import, has an older time.
func (u *Users) replace(ctx context.Context, user access.Key, next func(userRow) (record, error)) error {
	ctx, cancel, err := carriedThrough(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	row, err := u.readNewest(ctx, user)
	if err != nil {
		return err
	}
	r, err := next(row)
	if err != nil {
		return err
	}
	r.since = after(row, u.timestamps.Next())
	if err := u.writeEverywhere(ctx, user, r); err != nil {
		return err
	}
	switch row, err = u.readEverywhere(ctx, user); {
	case err != nil:
		return err
	case !isSame(row.current, r):
		return errOvertaken
	}
	return nil
}

// writeEverywhere writes a record that every datacentre must confirm. It returns ErrNotEverywhere if only the local datacentre
// has confirmed it and a Replayer finishes it. If it could not be recorded as pending, the error is store.ErrUnavailable.
func (u *Users) writeEverywhere(ctx context.Context, user access.Key, r record) error {
	sealed, err := u.sealRecord(user, r)
	if err != nil {
		return err
	}
	key := u.records.RowKey(user)
	write := func(c store.Consistency) func(context.Context) error {
		return func(ctx context.Context) error { return u.rows.Write(ctx, key, sealed, r.since, c) }
	}
	here := sync.OnceValue(func() error { return write(store.LocalQuorum)(ctx) })
	err = u.options.Confirmations.Write(ctx, store.Everywhere{
		Each:  write(store.EachQuorum),
		Local: func(context.Context) error { return here() },
		Record: func(ctx context.Context) error {
			// A replay writes the newest record that it reads. If it ran before this record can be read, it would remove the
			// entry and finish nothing.
			if err := here(); err != nil {
				return err
			}
			return u.rows.RecordPending(ctx, key, r.since)
		},
	})
	unconfirmed, ok := errors.AsType[*store.Unconfirmed](err)
	if !ok {
		return err
	}
	if unconfirmed.RecordErr != nil {
		u.options.Metrics.unrecorded.Inc()
		u.options.Log.ErrorContext(ctx, "a password was changed in the local datacentre only, and the change could not be recorded as pending; only another change finishes it",
			"cause", unconfirmed.Cause.Error(), "error", unconfirmed.RecordErr.Error())
		return fmt.Errorf("%w: %w", store.ErrUnavailable, unconfirmed.Cause)
	}
	u.options.Log.WarnContext(ctx, "a password was changed in the local datacentre only, and the change is now pending", "cause", unconfirmed.Cause.Error())
	return fmt.Errorf("%w: %w", ErrNotEverywhere, unconfirmed.Cause)
}

// hash returns a new hash of a normalised password, computed in the pool for a client.
func (u *Users) hash(ctx context.Context, client string, password []byte) (h scheme.Hash, err error) {
	var hashErr error
	if err := u.options.Pool.Do(ctx, client, func() { h, hashErr = u.config.Argon2id.New(password, u.options.Random) }); err != nil {
		return scheme.Hash{}, err
	}
	return h, hashErr
}

// randomText returns a text with 160 random bits.
func randomText(random io.Reader) (string, error) {
	b := make([]byte, 20)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", fmt.Errorf("reading random bytes: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// tokenHash returns what the service stores of a reset token. A token has 160 random bits, so a plain hash is enough.
func tokenHash(token Secret) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }
