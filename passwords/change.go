package passwords

import (
	"context"
	"errors"
	"fmt"
	"time"

	"userinfo/access"
	"userinfo/passwords/scheme"
	"userinfo/store"
)

// maxDecisions is how often an operation tries to decide. It tries again if the row was changed since it was read.
const maxDecisions = 3

// Change implements Store. Of two changes at the same time, the one that was written later holds.
func (u *Users) Change(ctx context.Context, caller access.Caller, user access.Key, current Guess, replacement Secret) (err error) {
	defer u.options.Metrics.observe(access.Change, &err)
	password, err := u.authorizeNew(caller, access.Change, user, replacement)
	if err != nil {
		return err
	}
	old, err := normalise(current.Secret)
	if err != nil {
		return err
	}
	row, err := u.check(ctx, caller, user, current, func(ctx context.Context, row userRow) (comparison, error) {
		return u.compare(ctx, caller.Client(), row.current, old)
	})
	if err != nil {
		return err
	}
	hash, err := u.hash(ctx, caller.Client(), password)
	if err != nil {
		return err
	}
	return u.replace(ctx, user, func(newest userRow) (record, error) {
		if !isSame(newest.current, row.current) { // another change was faster, or holds in another datacentre
			return record{}, ErrWrong
		}
		return record{state: hasHash, hash: hash.Text()}, nil
	})
}

// isSame reports whether a user still has the record that was compared. A rewrite of the same password is 1 µs younger, and
// changes nothing else. Two different records can have the same time if an instance's clock was ahead, so records of the same time
// are compared completely.
func isSame(newest, compared record) bool {
	if newest.since == compared.since {
		return newest == compared
	}
	return newest.exists() == compared.exists() && newest.since-compared.since < store.TimestampStep
}

// authorizeNew checks the caller of an operation that sets a password, and returns the normalised password. Its errors
// depend on the caller, the user's name and the password only.
func (u *Users) authorizeNew(caller access.Caller, action access.Action, user access.Key, s Secret) ([]byte, error) {
	if err := u.authorize(caller, action, user); err != nil {
		return nil, err
	}
	password, err := normalise(s)
	if err != nil {
		return nil, err
	}
	return password, u.checkStrength(user, password)
}

// ChangeWithToken implements Store. The token is used up by the new record, because that is younger than the token.
func (u *Users) ChangeWithToken(ctx context.Context, caller access.Caller, user access.Key, token Guess, replacement Secret) (err error) {
	defer u.options.Metrics.observe("change_with_token", &err)
	password, err := u.authorizeNew(caller, access.Change, user, replacement)
	if err != nil {
		return err
	}
	if _, err := u.check(ctx, caller, user, token, func(_ context.Context, row userRow) (comparison, error) {
		return comparison{u.compareToken(row, token.Secret), time.Now()}, nil
	}); err != nil {
		return err
	}
	hash, err := u.hash(ctx, caller.Client(), password)
	if err != nil {
		return err
	}
	return u.decide(ctx, user, func(row userRow) (record, error) {
		if !u.compareToken(row, token.Secret) {
			return record{}, ErrWrong // somebody else was faster
		}
		return record{state: hasHash, hash: hash.Text()}, nil
	})
}

// Create implements Store.
func (u *Users) Create(ctx context.Context, caller access.Caller, user access.Key, s Secret) (err error) {
	defer u.options.Metrics.observe(access.Create, &err)
	password, err := u.authorizeNew(caller, access.Create, user, s)
	if err != nil {
		return err
	}
	refuse := func(row userRow) error {
		if row.current.exists() {
			return ErrExists
		}
		return nil
	}
	row, err := u.read(ctx, user)
	if err != nil {
		return err
	}
	if err := refuse(row); err != nil { // saves the hash
		return err
	}
	hash, err := u.hash(ctx, caller.Client(), password)
	if err != nil {
		return err
	}
	return u.decide(ctx, user, func(row userRow) (record, error) {
		return record{state: hasHash, hash: hash.Text()}, refuse(row)
	})
}

// maxImportThreads is the largest number of threads of an imported hash, unless the configuration has more. A worker of the
// Pool runs all threads of a hash at the same time. PHP makes hashes with one or two.
const maxImportThreads = 4

// errSame ends an Import that has nothing to do.
var errSame = errors.New("the user has this hash")

// Import implements Store. It never replaces a password that was set or rewritten here, and never brings a deleted user
// back: an import can be repeated without undoing changes that were made since.
func (u *Users) Import(ctx context.Context, caller access.Caller, user access.Key, hash Secret) (err error) {
	defer u.options.Metrics.observe(access.Import, &err)
	if err := u.authorize(caller, access.Import, user); err != nil {
		return err
	}
	imported := record{state: noPassword, imported: true}
	if hash != "" {
		limits := scheme.Limits{MemoryKiB: u.config.MemoryKiB, Threads: max(maxImportThreads, u.config.Argon2id.Threads)}
		if _, err := scheme.Parse(string(hash), limits); err != nil {
			return fmt.Errorf("%w: %w", ErrHash, err)
		}
		imported.state, imported.hash = hasHash, string(hash)
	}
	err = u.decide(ctx, user, func(row userRow) (record, error) {
		switch c := row.current; {
		case c.state == imported.state && c.hash == imported.hash:
			return record{}, errSame
		case c.exists() && !c.imported:
			return record{}, ErrExists
		case c.state == deleted:
			return record{}, ErrDeleted
		}
		return imported, nil
	})
	if errors.Is(err, errSame) { // decide has read it in every datacentre
		return nil
	}
	return err
}

// decide reads a row and writes the record that next returns for it, in one lightweight transaction of all datacentres. If
// the row was changed meanwhile, it tries again. It sets record.since. It reads all datacentres, because one of them may
// have a younger record that it has made while it was cut off.
func (u *Users) decide(ctx context.Context, user access.Key, next func(userRow) (record, error)) error {
	ctx, cancel, err := carriedThrough(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	for range maxDecisions {
		row, err := u.readEverywhere(ctx, user)
		if err != nil {
			return err
		}
		r, err := next(row)
		if err != nil {
			return err
		}
		r.since = after(row, u.timestamps.Next())
		sealed, err := u.sealRecord(user, r)
		if err != nil {
			return err
		}
		decided, err := u.rows.Decide(ctx, u.records.RowKey(user), row.Row, sealed)
		if err != nil {
			return fmt.Errorf("deciding about a user: %w", err)
		}
		if decided {
			return nil
		}
	}
	return errOvertaken
}

// Delete implements Store. It leaves a small record that says so, for ever: without it, a replica that has missed the
// delete could bring an old hash back.
func (u *Users) Delete(ctx context.Context, caller access.Caller, user access.Key) (err error) {
	defer u.options.Metrics.observe(access.Delete, &err)
	if err := u.authorize(caller, access.Delete, user); err != nil {
		return err
	}
	return u.replace(ctx, user, func(userRow) (record, error) { return record{state: deleted}, nil })
}

// NewResetToken implements Store. It says nothing about whether the user exists: with the token, a password can be set in
// any case.
func (u *Users) NewResetToken(ctx context.Context, caller access.Caller, user access.Key) (token Secret, ttl time.Duration, err error) {
	defer u.options.Metrics.observe(access.Reset, &err)
	if err := u.authorize(caller, access.Reset, user); err != nil {
		return "", 0, err
	}
	row, err := u.readEverywhere(ctx, user) // the token must be younger than every record
	if err != nil {
		return "", 0, err
	}
	now := u.timestamps.Next()
	random, err := randomText(u.options.Random)
	if err != nil {
		return "", 0, err
	}
	token = Secret(random)
	t := resetToken{issued: after(row, now), expires: now + u.config.ResetTTL.Microseconds(), hash: tokenHash(token)}
	sealed, err := u.tokens.Seal(user, t.encode())
	if err != nil {
		return "", 0, err
	}
	if err := u.rows.WriteToken(ctx, u.records.RowKey(user), sealed, t.issued, u.config.ResetTTL); err != nil {
		return "", 0, fmt.Errorf("writing a reset token: %w", err)
	}
	return token, u.config.ResetTTL, nil
}
