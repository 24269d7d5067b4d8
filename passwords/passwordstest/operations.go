package passwordstest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/passwords"
	"userinfo/store"
)

const (
	first  passwords.Secret = "correct horse battery"
	second passwords.Secret = "staple, and another word"
)

func testLife(t *testing.T, s *suite) {
	i, other := s.instance(t, settings{}), s.instance(t, settings{})
	user := newUser()
	i.want(i.verify(user, first), passwords.ErrWrong)
	i.want(i.create(user, first), nil)
	i.want(other.create(user, second), passwords.ErrExists)
	i.want(other.verify(user, first), nil)
	i.want(other.verify(user, second), passwords.ErrWrong)
	i.want(other.change(user, second, second), passwords.ErrWrong)
	i.want(other.change(user, first, second), nil)
	i.want(i.verify(user, first), passwords.ErrWrong)
	i.want(i.verify(user, second), nil)
	i.want(i.delete(user), nil)
	i.want(i.delete(user), nil)
	i.want(other.verify(user, second), passwords.ErrWrong)
	i.want(other.change(user, second, first), passwords.ErrWrong)
	i.want(other.create(user, first), nil)
	i.want(i.verify(user, first), nil)
	i.want(i.verify(user, second), passwords.ErrWrong)
}

func testDenied(t *testing.T, s *suite) {
	i := s.instance(t, settings{})
	user, another := newUser(), newUser()
	i.want(i.create(user, first), nil)
	ctx := t.Context()
	for name, caller := range map[string]func(access.Action) access.Caller{
		"the zero Caller":              func(access.Action) access.Caller { return access.Caller{} },
		"a Caller for another user":    func(a access.Action) access.Caller { return i.caller(a, another) },
		"a Caller for another action":  func(a access.Action) access.Caller { return i.caller(otherAction(a), user) },
		"a Caller for a session's key": func(access.Action) access.Caller { return sessionCaller(t, user) },
	} {
		t.Run(name, func(t *testing.T) {
			guess := passwords.Guess{Secret: first, Address: home}
			_, _, tokenErr := i.users.NewResetToken(ctx, caller(access.Reset), user)
			for what, err := range map[string]error{
				"verify": i.users.Verify(ctx, caller(access.Verify), user, guess),
				"change": i.users.Change(ctx, caller(access.Change), user, guess, second),
				"token":  i.users.ChangeWithToken(ctx, caller(access.Change), user, guess, second),
				"create": i.users.Create(ctx, caller(access.Create), user, second),
				"import": i.users.Import(ctx, caller(access.Import), user, ""),
				"delete": i.users.Delete(ctx, caller(access.Delete), user),
				"reset":  tokenErr,
			} {
				if !errors.Is(err, access.ErrDenied) {
					t.Errorf("%s: error %v, want %v", what, err, access.ErrDenied)
				}
			}
		})
	}
	i.want(i.verify(user, first), nil)
}

func otherAction(a access.Action) access.Action {
	if a == access.Verify {
		return access.Change
	}
	return access.Verify
}

func testWrong(t *testing.T, s *suite) {
	i := s.instance(t, settings{})
	known, disabled, deleted := newUser(), newUser(), newUser()
	i.want(i.create(known, first), nil)
	i.want(i.importHash(disabled, ""), nil)
	i.want(i.create(deleted, first), nil)
	i.want(i.delete(deleted), nil)
	text := ""
	for name, user := range map[string]access.Key{"wrong": known, "disabled": disabled, "deleted": deleted, "unknown": newUser()} {
		for what, err := range map[string]error{
			"verify": i.verify(user, second), "change": i.change(user, second, first), "token": i.changeWithToken(user, "no token", first),
		} {
			if !errors.Is(err, passwords.ErrWrong) || text != "" && err.Error() != text {
				t.Errorf("%s, %s: error %v, want %v", name, what, err, passwords.ErrWrong)
			}
			text = err.Error()
		}
	}
	i.want(i.create(disabled, first), passwords.ErrExists)
}

func testInput(t *testing.T, s *suite) {
	i := s.instance(t, settings{})
	user := newUser()
	for name, password := range map[string]passwords.Secret{
		"empty": "", "a zero byte": "pass\x00word", "not UTF-8": "password\xff", "too long": passwords.Secret(strings.Repeat("p", 4097)),
		"31 combining characters": passwords.Secret("a" + strings.Repeat("\u0316", 31) + "b"),
	} {
		for what, err := range map[string]error{"create": i.create(user, password), "verify": i.verify(user, password), "change": i.change(user, password, first)} {
			if !errors.Is(err, passwords.ErrPassword) {
				t.Errorf("%s, %s: error %v, want %v", name, what, err, passwords.ErrPassword)
			}
		}
	}
	for name, password := range map[string]passwords.Secret{"short": "1234567", "7 characters of many bytes": "ääääääö", "the user's name": passwords.Secret(strings.ToUpper(string(user)))} {
		var weak *passwords.WeakError
		if err := i.create(user, password); !errors.As(err, &weak) || weak.Rule == "" || strings.Contains(weak.Rule, string(password)) {
			t.Errorf("%s: error %v, want a WeakError", name, err)
		}
	}
	longest := passwords.Secret(strings.Repeat("p", 4096))
	i.want(i.create(user, longest), nil)
	i.want(i.verify(user, longest), nil)
	i.want(i.verify(user, longest[1:]), passwords.ErrWrong)

	composed := newUser()
	i.want(i.create(composed, "Ångström and more"), nil)             // A with ring, o with diaeresis: one character each
	i.want(i.verify(composed, "A\u030angstro\u0308m and more"), nil) // the same text in normalisation form D
}

func testCreateConcurrency(t *testing.T, s *suite) {
	user := newUser()
	var created atomic.Int64
	create := func(i *instance) (decided bool) {
		err := i.create(user, first)
		switch {
		case err == nil:
			created.Add(1)
		case !errors.Is(err, passwords.ErrExists) && !errors.Is(err, store.ErrUnavailable): // contention
			t.Errorf("error %v", err)
		}
		return !errors.Is(err, store.ErrUnavailable)
	}
	var all sync.WaitGroup
	for range 6 {
		i := s.instance(t, settings{})
		all.Go(func() { create(i) })
	}
	all.Wait()
	i := s.instance(t, settings{})
	await(t, "the creation is decided", func() bool { return create(i) })
	if n := created.Load(); n > 1 {
		t.Errorf("%d creations have succeeded", n)
	}
	i.want(i.verify(user, first), nil)
}

func testCancellation(t *testing.T, s *suite) {
	i := s.instance(t, settings{})
	user := newUser()
	i.want(i.create(user, first), nil)
	guess := passwords.Guess{Secret: first, Address: home}
	_, _, tokenErr := i.users.NewResetToken(cancelled(), i.caller(access.Reset, user), user)
	for what, err := range map[string]error{
		"verify": i.users.Verify(cancelled(), i.caller(access.Verify, user), user, guess),
		"change": i.users.Change(cancelled(), i.caller(access.Change, user), user, guess, second),
		"delete": i.users.Delete(cancelled(), i.caller(access.Delete, user), user),
		"create": i.users.Create(cancelled(), i.caller(access.Create, user), user, second),
		"reset":  tokenErr,
	} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: error %v, want %v", what, err, store.ErrUnavailable)
		}
	}
	i.want(i.verify(user, first), nil)
}

// testClocks changes a password with an instance whose clock is an hour behind.
func testClocks(t *testing.T, s *suite) {
	ahead := s.instance(t, settings{})
	behind := s.instance(t, settings{clock: &clock{now: s.clock.Now().Add(-time.Hour)}})
	user := newUser()
	ahead.want(ahead.create(user, first), nil)
	ahead.want(ahead.change(user, first, second), nil)
	behind.want(behind.change(user, second, "the third password"), nil)
	ahead.want(ahead.verify(user, second), passwords.ErrWrong)
	ahead.want(ahead.verify(user, "the third password"), nil)
	behind.want(behind.delete(user), nil)
	ahead.want(ahead.verify(user, "the third password"), passwords.ErrWrong)
	behind.want(behind.create(user, first), nil)
	ahead.want(ahead.verify(user, first), nil)
	token := behind.newToken(user)
	behind.want(behind.changeWithToken(user, token, second), nil)
	ahead.want(ahead.verify(user, second), nil)
	_, token = ahead.newToken(user), ahead.newToken(user)
	behind.want(behind.changeWithToken(user, token, first), nil)
	behind.want(behind.changeWithToken(user, token, second), passwords.ErrWrong) // used up, whatever the clocks say
	_, token = ahead.newToken(user), ahead.newToken(user)
	behind.want(behind.change(user, first, second), nil)
	behind.want(behind.changeWithToken(user, token, first), passwords.ErrWrong)
}

// remoteDown is rows whose writes no other datacentre confirms.
type remoteDown struct {
	passwords.Rows
	pending *atomic.Int64
}

// Write implements passwords.Rows.
func (r remoteDown) Write(ctx context.Context, key access.Key, record []byte, timestamp int64, c store.Consistency) error {
	if c == store.EachQuorum {
		return store.ErrUnavailable
	}
	return r.Rows.Write(ctx, key, record, timestamp, c)
}

// RecordPending implements passwords.Rows.
func (r remoteDown) RecordPending(ctx context.Context, key access.Key, timestamp int64) error {
	r.pending.Add(1)
	return r.Rows.RecordPending(ctx, key, timestamp)
}

func testNotEverywhere(t *testing.T, s *suite) {
	var pending atomic.Int64
	i := s.instance(t, settings{rows: func(r passwords.Rows) passwords.Rows { return remoteDown{r, &pending} }})
	user := newUser()
	i.want(i.create(user, first), nil)
	i.want(i.change(user, first, second), passwords.ErrNotEverywhere)
	i.want(i.verify(user, first), passwords.ErrWrong)
	i.want(i.verify(user, second), nil)
	i.want(i.delete(user), passwords.ErrNotEverywhere)
	i.want(i.verify(user, second), passwords.ErrWrong)
	if got := pending.Load(); got != 2 {
		t.Errorf("%d writes were recorded as pending, want 2", got)
	}
}
