package passwords

import (
	"context"
	"crypto/subtle"
	"errors"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/internal/panics"
	"userinfo/passwords/scheme"
	"userinfo/store"
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
	row, err := u.check(ctx, caller, user, current, func(ctx context.Context, row userRow) (comparison, error) {
		return u.compare(ctx, caller.Client(), row.current, password)
	})
	if err != nil {
		return err
	}
	u.rewriter.offer(user, password, row.current)
	return nil
}

// comparison is the result of comparing a guess.
type comparison struct {
	right bool
	began time.Time // after waiting for the pool
}

// compareFunc compares a guess with a row.
type compareFunc func(context.Context, userRow) (comparison, error)

// check decides whether a guess is right, and returns the row that it was compared with. It is the only function that
// decides this. It fails closed: without a nil error, the guess must not be taken as right.
//
// The work is the same for every wrong guess: the same reads, the work of compare, and the same writes. Then check waits
// until a multiple of Options.FailureStep after the beginning of the comparison. A row that cannot be opened is compared
// like an unknown user, and counted, so that its error comes no earlier and is no free guess.
func (u *Users) check(ctx context.Context, caller access.Caller, user access.Key, g Guess, compare compareFunc) (userRow, error) {
	counted, row, unreadable, err := u.beginGuess(ctx, caller, user, g)
	if err != nil {
		return userRow{}, err
	}
	result, err := u.countedCompare(ctx, counted, row, compare)
	switch {
	case err != nil:
		return userRow{}, err
	case unreadable != nil:
		u.awaitFailureStep(ctx, result.began)
		return userRow{}, unreadable
	case !result.right:
		u.awaitFailureStep(ctx, result.began)
		return userRow{}, ErrWrong
	}
	return row, nil
}

// countedCompare calls compare, and counts the result. It fails closed: if compare says nothing about a guess, the guess is
// wrong, or err is not nil. A client that leaves gets no free guess: a comparison that was made is counted.
func (u *Users) countedCompare(ctx context.Context, counted *guess, row userRow, compare compareFunc) (result comparison, err error) {
	var right, wrong bool
	defer func() { // also after a panic: a guess that runs for ever would lock the user out
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), countTimeout)
		defer cancel()
		counted.end(ctx, right, wrong)
	}()
	result, err = compare(ctx, row)
	right, wrong = err == nil && result.right, err == nil && !result.right
	return result, err
}

// beginGuess reads the row of the user and the counts of guesses at the same time, and counts the guess as begun. It refuses
// a guess without reading anything if this instance knows enough, or if the pool is full: neither depends on the user. If
// the row cannot be opened, unreadable says why, and row is the zero userRow, which an unknown user also has.
func (u *Users) beginGuess(ctx context.Context, caller access.Caller, user access.Key, g Guess) (counted *guess, row userRow, unreadable, err error) {
	if u.options.Pool.full(caller.Client()) {
		return nil, userRow{}, nil, ErrBusy
	}
	counted = u.guesses.newGuess(user, caller.Client(), g.Address)
	if err := counted.refuseHere(ctx); err != nil {
		return nil, userRow{}, nil, err
	}
	var readErr error
	var reading sync.WaitGroup
	reading.Go(func() {
		defer u.options.Panics.Recover(panics.Passwords, &readErr)
		row, readErr = u.read(ctx, user)
	})
	err = counted.begin(ctx)
	reading.Wait()
	switch {
	case err != nil:
		return nil, userRow{}, nil, err
	case errors.Is(readErr, store.ErrSealed):
		return counted, userRow{}, readErr, nil
	case readErr != nil:
		counted.end(ctx, false, false)
		return nil, userRow{}, nil, readErr
	}
	return counted, row, nil, nil
}

// compare compares a normalised password with a record, in the pool. If the password is wrong, compare has computed a hash
// that costs at least as much as one of the configured scheme.
func (u *Users) compare(ctx context.Context, client string, r record, password []byte) (c comparison, err error) {
	hash := u.parse(ctx, r)
	err = u.options.Pool.Do(ctx, client, func() {
		c.began = time.Now()
		if c.right = hash.Verify(password); !c.right && u.needsDecoy(hash) {
			u.decoy.Verify(password)
		}
	})
	if err != nil {
		return comparison{}, err
	}
	return c, nil
}

// needsDecoy reports whether a wrong password needs more work than comparing it with this hash. Two costly hashes one after
// the other would take longer than one FailureStep, and so show that the user exists.
func (u *Users) needsDecoy(hash scheme.Hash) bool { return hash.Cost() < u.decoy.Cost() }

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
