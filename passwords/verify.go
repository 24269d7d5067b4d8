package passwords

import (
	"context"
	"crypto/subtle"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/internal/panics"
)

// countTimeout limits writing counts of wrong passwords after a comparison.
const countTimeout = time.Second

// Verify implements Store.
func (u *Users) Verify(ctx context.Context, caller access.Caller, user access.Key, current Guess) (err error) {
	defer u.options.Metrics.observe(access.Verify, &err)
	if err := u.authorize(caller, access.Verify, user); err != nil {
		return err
	}
	password, err := normalise(current.Secret)
	if err != nil {
		return err
	}
	row, err := u.check(ctx, caller, user, current, func(ctx context.Context, row userRow) (bool, error) {
		return u.compare(ctx, caller.Client(), row.current, password)
	})
	if err != nil {
		return err
	}
	u.rewriter.offer(user, password, row.current)
	return nil
}

// check decides whether a guess is right, and returns the row that it was compared with. It is the only function that
// decides this. It fails closed: without a nil error, the guess must not be taken as right.
//
// The work is the same for every wrong guess: the same reads, the work of compare, and the same writes. Then check waits
// until a multiple of Options.FailureStep after its beginning.
func (u *Users) check(ctx context.Context, caller access.Caller, user access.Key, g Guess, compare func(context.Context, userRow) (bool, error)) (userRow, error) {
	start := time.Now()
	row, wrong, err := u.countedCompare(ctx, caller, user, g, compare)
	switch {
	case err != nil:
		return userRow{}, err
	case wrong:
		u.awaitFailureStep(ctx, start)
		return userRow{}, ErrWrong
	}
	return row, nil
}

// countedCompare calls compare, unless a budget does not allow it, and counts the result. It fails closed: if compare says
// nothing about a guess, the guess is wrong, or err is not nil. A client that leaves gets no free guess: a comparison that
// was made is counted.
func (u *Users) countedCompare(ctx context.Context, caller access.Caller, user access.Key, g Guess, compare func(context.Context, userRow) (bool, error)) (row userRow, wrong bool, err error) {
	counted, row, err := u.beginGuess(ctx, caller, user, g)
	if err != nil {
		return userRow{}, false, err
	}
	var right bool
	defer func() { // also after a panic: a guess that runs for ever would lock the user out
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), countTimeout)
		defer cancel()
		counted.end(ctx, right, wrong)
	}()
	right, err = compare(ctx, row)
	wrong = err == nil && !right
	return row, wrong, err
}

// beginGuess reads the row of the user and the counts of guesses at the same time, and counts the guess as begun.
func (u *Users) beginGuess(ctx context.Context, caller access.Caller, user access.Key, g Guess) (counted *guess, row userRow, err error) {
	if u.options.Pool.full(caller.Client()) { // saves the reads
		return nil, userRow{}, ErrBusy
	}
	var readErr error
	var reading sync.WaitGroup
	reading.Go(func() {
		defer u.options.Panics.Recover(panics.Passwords, &readErr)
		row, readErr = u.read(ctx, user)
	})
	counted, err = u.guesses.begin(ctx, user, caller.Client(), g.Address)
	reading.Wait()
	if err != nil {
		return nil, userRow{}, err
	}
	if readErr != nil {
		counted.end(ctx, false, false)
		return nil, userRow{}, readErr
	}
	return counted, row, nil
}

// compare reports whether a normalised password is the one of a record, in the pool. If it is not, compare has always
// computed a hash of the configured scheme.
func (u *Users) compare(ctx context.Context, client string, r record, password []byte) (right bool, err error) {
	hash := u.parse(ctx, r)
	err = u.options.Pool.Do(ctx, client, func() {
		if right = hash.Verify(password); !right && !u.config.Argon2id.Made(hash) {
			u.decoy.Verify(password)
		}
	})
	return right && err == nil, err
}

// compareToken reports whether a reset token is the one in a row and can still be used. It needs no pool.
func (u *Users) compareToken(row userRow, token Secret) bool {
	sum := tokenHash(token)
	same := subtle.ConstantTimeCompare(sum[:], row.token.hash[:]) == 1
	return same && row.token.issued > row.current.since && u.options.Now().UnixMicro() < row.token.expires
}

// awaitFailureStep waits until a multiple of FailureStep after start, or until ctx ends.
func (u *Users) awaitFailureStep(ctx context.Context, start time.Time) {
	step := u.options.FailureStep
	if step <= 0 {
		return
	}
	timer := time.NewTimer(step - time.Since(start)%step)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
