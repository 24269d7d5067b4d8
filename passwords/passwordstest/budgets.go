package passwordstest

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/passwords"
)

// wantLimited checks that a guess is refused, and returns how long to wait. While the clock stands still, each wrong
// password still has a time of its own, a microsecond after the one before.
func (i *instance) wantLimited(err error) time.Duration {
	i.Helper()
	var limited *passwords.GuessError
	if !errors.As(err, &limited) || limited.RetryAfter <= 0 || limited.RetryAfter > 15*time.Minute+time.Second {
		i.Fatalf("error %v, want a GuessError of at most 15 minutes", err)
	}
	return limited.RetryAfter
}

// fail tries a wrong password this many times.
func (i *instance) fail(user access.Key, from netip.Addr, times int) {
	i.Helper()
	for n := range times {
		if err := i.verifyFrom(user, "not the password", from); !errors.Is(err, passwords.ErrWrong) {
			i.Fatalf("wrong password %d: error %v", n+1, err)
		}
	}
}

// stranger returns an address that is not home.
func stranger(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", n)) }

// testOwnBudget uses up the budget of a user, client and network on two instances.
func testOwnBudget(t *testing.T, s *suite) {
	own := &clock{now: s.clock.Now()}
	a := s.instance(t, settings{clock: own})
	b := s.instance(t, settings{clock: own, client: a.client})
	user := newUser()
	a.want(a.create(user, first), nil)
	a.fail(user, home, 3)
	b.fail(user, home, 2)
	for _, i := range []*instance{a, b} {
		if wait := i.wantLimited(i.verify(user, first)).Round(time.Millisecond); wait != time.Second {
			t.Errorf("the first wait is %v, want 1s", wait)
		}
		i.wantLimited(i.verify(user, "not the password"))
		i.want(i.verifyFrom(user, first, stranger(1)), nil) // another network
	}
	elsewhere := s.instance(t, settings{clock: own}) // another client
	elsewhere.want(elsewhere.verify(user, first), nil)

	wait := a.wantLimited(a.verify(user, first))
	for n := range 14 {
		own.advance(wait)
		i := []*instance{a, b}[n%2]
		i.fail(user, home, 1)
		next := i.wantLimited(i.verify(user, "not the password"))
		if want := min(2*wait, 15*time.Minute).Round(time.Millisecond); next.Round(time.Millisecond) != want {
			t.Errorf("after %v the wait is %v, want %v", wait, next, want)
		}
		wait = next
	}
	own.advance(wait)
	a.want(a.verify(user, first), nil) // a right password is never refused for ever, and ends the wait
	own.advance(time.Microsecond)
	for _, i := range []*instance{a, b} {
		i.fail(user, home, 1)
	}
	b.want(b.verify(user, first), nil)
}

// testKnownNetwork lets strangers guess the password of a user, who is not locked out.
func testKnownNetwork(t *testing.T, s *suite) {
	own := &clock{now: s.clock.Now()}
	i := s.instance(t, settings{clock: own, perMinute: 70})
	user := newUser()
	i.want(i.create(user, first), nil)
	i.want(i.verify(user, first), nil) // home is known from now on
	for n := range 200 {
		_ = i.verifyFrom(user, "not the password", stranger(n))
	}
	i.wantLimited(i.verifyFrom(user, "not the password", stranger(1000)))
	i.want(i.verify(user, first), nil)
	again := s.instance(t, settings{clock: own, perMinute: 70, client: i.client})
	again.want(again.verify(user, first), nil)
	again.wantLimited(again.verifyFrom(user, first, stranger(1000)))
	own.advance(time.Minute) // from a network that is not known, the wait is at most a minute
	again.want(again.verifyFrom(user, first, stranger(1000)), nil)
}

func testUserBudget(t *testing.T, s *suite) {
	own := &clock{now: s.clock.Now()}
	i := s.instance(t, settings{clock: own})
	user := newUser()
	i.want(i.create(user, first), nil)
	for n := range 50 {
		i.fail(user, stranger(n), 1)
	}
	if wait := i.wantLimited(i.verifyFrom(user, first, stranger(50))).Round(time.Millisecond); wait != time.Second {
		t.Errorf("the first wait is %v, want 1s", wait)
	}
	i.want(i.create(newUser(), first), nil)
	unknown := newUser() // an unknown user has the same budgets, so that they say nothing about who exists
	for n := range 50 {
		i.fail(unknown, stranger(n), 1)
	}
	i.wantLimited(i.verifyFrom(unknown, first, stranger(50)))
	tokenErr := i.changeWithToken(unknown, "no token", first)
	i.wantLimited(tokenErr)
}

func testClientBudget(t *testing.T, s *suite) {
	own := &clock{now: s.clock.Now().Truncate(time.Minute).Add(10 * time.Second)}
	i := s.instance(t, settings{clock: own, perMinute: 12})
	for n := range 12 {
		i.fail(newUser(), stranger(n), 1)
	}
	if wait := i.wantLimited(i.verify(newUser(), first)).Round(time.Millisecond); wait != 50*time.Second {
		t.Errorf("the wait is %v, want the rest of the minute, 50s", wait)
	}
	other := s.instance(t, settings{clock: own, perMinute: 12, client: i.client}) // another instance
	other.wantLimited(other.verify(newUser(), first))
	apart := s.instance(t, settings{clock: own, perMinute: 12}) // another client
	apart.want(apart.verify(newUser(), first), passwords.ErrWrong)
	own.advance(50 * time.Second)
	i.fail(newUser(), home, 1)
}
