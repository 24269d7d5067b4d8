package passwords

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/access/accesstest"
)

// guessRate lets an attacker with these clients try a wrong password of one user every 500 ms for an hour, from another
// network each time, and returns how many were compared.
func guessRate(t *testing.T, clients int) (compared int) {
	t.Helper()
	var mu sync.Mutex
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	u := newTestUsersAt(t, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	})
	u.prepare()
	callers := make([]access.Caller, clients)
	for i := range callers {
		var err error
		if callers[i], err = accesstest.PasswordCaller(fmt.Sprintf("client-%d", i), access.Verify, "Known"); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 7200 {
		for i := range callers {
			address := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i), byte(n >> 8), byte(n)})
			err := u.Verify(t.Context(), callers[i], "Known", Guess{Secret: "not the password", Address: address})
			switch {
			case errors.Is(err, ErrWrong):
				compared++
			case !errors.Is(err, ErrTooManyGuesses):
				t.Fatal(err)
			}
		}
		mu.Lock()
		now = now.Add(500 * time.Millisecond)
		mu.Unlock()
	}
	return compared
}

// TestUsers_BoundsGuessesOfAttackerWithClients checks the rates of docs/passwords.md.
func TestUsers_BoundsGuessesOfAttackerWithClients(t *testing.T) {
	one, ten := guessRate(t, 1), guessRate(t, 10)
	t.Logf("in an hour, of one user: %d guesses with the credentials of one client, %d with those of ten", one, ten)
	if one < 100 || one > 50+66 {
		t.Errorf("one client compares %d passwords of one user in an hour, want 50, and 60 an hour", one)
	}
	if ten != 10*one {
		t.Errorf("ten clients compare %d passwords, want ten times as many as one: %d", ten, 10*one)
	}
}

func TestGuessCounter_EndsRunningGuessAfterPanic(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	for range ownBudget.free + 1 {
		func() {
			defer func() { _ = recover() }()
			_, _ = u.Users.check(t.Context(), u.as(access.Verify, "Known"), "Known", Guess{}, func(context.Context, userRow) (bool, error) { panic("in a comparison") })
		}()
	}
	if err := u.Verify(t.Context(), u.as(access.Verify, "Known"), "Known", Guess{Secret: "correct horse"}); err != nil {
		t.Errorf("after panics, the right password is refused: %v", err)
	}
}

func TestGuessCounter_MemoryIsBounded(t *testing.T) {
	u := newTestUsers(t)
	for n := range maxBudgets + 100 {
		u.guesses.mu.Lock()
		u.guesses.keep(access.Key(fmt.Sprint(n)), new(ownCount))
		u.guesses.mu.Unlock()
	}
	if n := len(u.guesses.own); n > maxBudgets {
		t.Errorf("%d budgets are in memory, want at most %d", n, maxBudgets)
	}
}
