package passwordstest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/passwords"
	"userinfo/store"
)

// Datacentres are two datacentres of one cluster.
type Datacentres struct {
	Near, Far Open
	// Cut cuts the link between them, and Heal restores it.
	Cut, Heal func(*testing.T)
	// Replay replays pending writes until its context ends.
	Replay func(context.Context)
}

// RunDatacentres runs the tests that need two datacentres.
func RunDatacentres(t *testing.T, d Datacentres) {
	keys, now := newKeys(t), &clock{now: time.Now().Truncate(time.Microsecond)}
	near := &suite{open: d.Near, keys: keys, clock: now}
	far := &suite{open: d.Far, keys: keys, clock: now}
	t.Run("one creation wins", func(t *testing.T) { createsOnce(t, near, far) })
	t.Run("a reset token is used once", func(t *testing.T) { usesTokenOnce(t, near, far) })
	t.Run("a change is true everywhere when it is answered", func(t *testing.T) { changesEverywhere(t, near, far) })
	t.Run("wrong passwords add up", func(t *testing.T) { countsEverywhere(t, near, far) })
	t.Run("a change during a cut is carried through", func(t *testing.T) { carriesThrough(t, near, far, d) })
}

// inBoth calls do in both datacentres at the same moment, and returns how often it has succeeded. lost is its error for the
// one that comes too late.
func inBoth(t *testing.T, near, far *suite, lost error, do func(*instance) error) int64 {
	t.Helper()
	var succeeded atomic.Int64
	var both sync.WaitGroup
	for _, s := range []*suite{near, far} {
		i := s.instance(t, settings{})
		both.Go(func() {
			switch err := do(i); {
			case err == nil:
				succeeded.Add(1)
			case !errors.Is(err, lost) && !errors.Is(err, store.ErrUnavailable): // contention
				t.Errorf("error %v", err)
			}
		})
	}
	both.Wait()
	return succeeded.Load()
}

func createsOnce(t *testing.T, near, far *suite) {
	created := int64(0)
	for range 10 {
		created += createsAtMostOnce(t, near, far)
	}
	if created == 0 {
		t.Error("no creation has succeeded")
	}
}

// createsAtMostOnce creates one user in both datacentres at the same moment, and returns how many creations have succeeded.
func createsAtMostOnce(t *testing.T, near, far *suite) int64 {
	user := newUser()
	var password atomic.Int64 // each has a password of its own
	created := inBoth(t, near, far, passwords.ErrExists, func(i *instance) error {
		return i.create(user, passwords.Secret(fmt.Sprintf("password number %d", password.Add(1))))
	})
	switch created {
	case 0:
		return 0 // contention; Cassandra may decide later
	case 2:
		t.Fatal("both creations have succeeded")
	}
	right := 0
	for n := range 2 {
		here, there := near.instance(t, settings{}), far.instance(t, settings{})
		secret := passwords.Secret(fmt.Sprintf("password number %d", n+1))
		one, other := here.verify(user, secret), there.verify(user, secret)
		if (one == nil) != (other == nil) {
			t.Errorf("the datacentres disagree: %v and %v", one, other)
		}
		if one == nil {
			right++
		}
	}
	if right != 1 {
		t.Errorf("one creation has succeeded, and %d passwords are right", right)
	}
	return created
}

func usesTokenOnce(t *testing.T, near, far *suite) {
	for range 5 {
		i, user := near.instance(t, settings{}), newUser()
		i.want(i.create(user, first), nil)
		token := i.newToken(user)
		if used := inBoth(t, near, far, passwords.ErrWrong, func(i *instance) error { return i.changeWithToken(user, token, second) }); used > 1 {
			t.Fatal("the token was used in both datacentres")
		}
	}
}

func changesEverywhere(t *testing.T, near, far *suite) {
	here, there := near.instance(t, settings{}), far.instance(t, settings{})
	user, password := newUser(), first
	here.want(here.create(user, password), nil)
	for n := range 20 {
		next := passwords.Secret(fmt.Sprintf("password number %d", n))
		here.want(here.change(user, password, next), nil)
		there.want(there.verify(user, password), passwords.ErrWrong)
		there.want(there.verify(user, next), nil)
		here, there, password = there, here, next
	}
	here.want(here.delete(user), nil)
	there.want(there.verify(user, password), passwords.ErrWrong)
}

// forgetful is rows to which no counts of wrong passwords are written.
type forgetful struct{ passwords.Rows }

// WriteGuesses implements passwords.Rows.
func (forgetful) WriteGuesses(context.Context, access.Key, passwords.Count, time.Duration) error {
	return nil
}

func countsEverywhere(t *testing.T, near, far *suite) {
	here, user := near.instance(t, settings{}), newUser()
	here.fail(user, home, 5)
	awaitEvery(t, 250*time.Millisecond, "the other datacentre knows the wrong passwords", func() bool {
		// Each instance asks once and leaves no count, so that only those of the first datacentre can refuse it.
		there := far.instance(t, settings{client: here.client, rows: func(r passwords.Rows) passwords.Rows { return forgetful{r} }})
		return errors.Is(there.verify(user, first), passwords.ErrTooManyGuesses)
	})
}

// carriesThrough changes a password, and deletes a user, while the datacentres are cut off from each other.
func carriesThrough(t *testing.T, near, far *suite, d Datacentres) {
	here, there := near.instance(t, settings{}), far.instance(t, settings{})
	changed, gone := newUser(), newUser()
	for _, user := range []access.Key{changed, gone} {
		here.want(here.create(user, first), nil)
	}
	d.Cut(t)
	here.want(here.change(changed, first, second), passwords.ErrNotEverywhere)
	here.want(here.delete(gone), passwords.ErrNotEverywhere)
	here.want(here.verify(changed, first), passwords.ErrWrong)
	here.want(here.verify(changed, second), nil)
	here.want(here.verify(gone, first), passwords.ErrWrong)
	there.want(there.verify(changed, first), nil) // as the answer has said: the old password may still hold there
	there.want(there.create(newUser(), first), store.ErrUnavailable)
	d.Heal(t)
	ctx, stop := context.WithCancel(t.Context())
	var replaying sync.WaitGroup
	replaying.Go(func() { d.Replay(ctx) })
	defer func() { stop(); replaying.Wait() }()
	awaitEvery(t, 250*time.Millisecond, "the other datacentre has the change and the delete", func() bool {
		after := far.instance(t, settings{}) // with budgets of its own: it may ask too early often
		return after.verify(changed, second) == nil && errors.Is(after.verify(gone, first), passwords.ErrWrong)
	})
	there.want(there.verify(changed, first), passwords.ErrWrong)
}
