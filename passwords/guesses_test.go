package passwords

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/store"
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
			address := netip.AddrFrom16([16]byte{0x20, 1, 0xd, byte(i), byte(n >> 8), byte(n)}) // another site each time
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

// TestUsers_OneStrangerKeepsNobodyOut lets one stranger guess passwords of made-up names, and then of one user from many
// networks of one site. The user's password is right from a network that nobody knows.
func TestUsers_OneStrangerKeepsNobodyOut(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	u := newTestUsersAt(t, func() time.Time { return now })
	u.prepare()
	verify := func(user access.Key, password Secret, address netip.Addr) error {
		return u.Verify(t.Context(), u.as(access.Verify, user), user, Guess{Secret: password, Address: address})
	}
	network := func(n byte) netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, n}) }
	for minute := range 3 {
		compared := 0
		for n := range 1200 {
			if err := verify(access.Key(fmt.Sprintf("nobody %d in minute %d", n, minute)), "a guess", network(byte(n))); errors.Is(err, ErrWrong) {
				compared++
			}
		}
		if compared != 1000/strangerShare {
			t.Errorf("one site has %d guesses of 1000 that a client has", compared)
		}
		if err := verify("Known", "correct horse", netip.AddrFrom4([4]byte{198, 51, 100, byte(minute)})); err != nil {
			t.Errorf("minute %d: the right password is refused: %v", minute, err)
		}
		now = now.Add(time.Minute)
	}
	compared := 0
	for range 600 { // ten minutes
		for n := range byte(12) {
			if errors.Is(verify("Known", "a guess", network(n)), ErrWrong) {
				compared++
			}
		}
		now = now.Add(time.Second)
	}
	if err := verify("Known", "correct horse", netip.MustParseAddr("203.0.113.1")); err != nil || compared > siteBudget.free+10 {
		t.Errorf("after %d guesses from one site, the right password is refused: %v", compared, err)
	}
}

func TestUsers_WaitIsBoundedWhateverClocksSay(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	u := newTestUsersAt(t, func() time.Time { return now })
	u.prepare()
	for range ownBudget.free {
		if err := u.check("Known", "not the password"); !errors.Is(err, ErrWrong) {
			t.Fatal(err)
		}
	}
	now = now.Add(-10 * time.Hour)
	var limited *GuessError
	if err := u.check("Known", "correct horse"); !errors.As(err, &limited) || limited.RetryAfter != ownBudget.first {
		t.Fatalf("the clock was set back: error %v, %+v, want a wait of %v", err, limited, ownBudget.first)
	}
	now = now.Add(limited.RetryAfter)
	if err := u.check("Known", "correct horse"); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

// TestUsers_RightPasswordEndsCountsOfInstanceWhoseClockIsAhead lets an instance count wrong passwords an hour in the future.
func TestUsers_RightPasswordEndsCountsOfInstanceWhoseClockIsAhead(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	u := newTestUsersAt(t, func() time.Time { return now })
	u.prepare()
	own := u.guesses.budgets(now, "Known", "wiki", netip.MustParseAddr("192.0.2.1"))[0].key
	ahead := Count{Instance: "ahead", Failures: ownBudget.free - 1, Last: now.Add(time.Hour).UnixMicro()}
	if err := u.rows.WriteGuesses(t.Context(), own, ahead, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := u.check("Known", "correct horse"); err != nil {
		t.Fatal(err)
	}
	for n := range ownBudget.free {
		if err := u.check("Known", "not the password"); !errors.Is(err, ErrWrong) {
			t.Errorf("wrong password %d after a right one: %v", n+1, err)
		}
	}
}

func TestGuessCounter_EndsRunningGuessAfterPanic(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	for range ownBudget.free + 1 {
		func() {
			defer func() { _ = recover() }()
			_, _ = u.Users.check(t.Context(), u.as(access.Verify, "Known"), "Known", Guess{}, func(context.Context, userRow) (comparison, error) { panic("in a comparison") })
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

// TestGuessCounter_KeepsNothingOfRightPasswords checks that logins do not take the memory of counts of wrong passwords.
func TestGuessCounter_KeepsNothingOfRightPasswords(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	for range 2 {
		if err := u.check("Known", "correct horse"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(u.guesses.own); n != 0 {
		t.Errorf("%d budgets are in memory", n)
	}
}

// TestUsers_RefusedGuessCostsNoReads checks what a guess costs that must be refused: the instance knows enough already.
func TestUsers_RefusedGuessCostsNoReads(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	u := newTestUsersAt(t, func() time.Time { return now })
	u.prepare()
	want := func(what string, err, wantErr error, calls map[string]int) {
		t.Helper()
		if got := u.rows.take(); !errors.Is(err, wantErr) || fmt.Sprint(got) != fmt.Sprint(calls) {
			t.Errorf("%s: error %v and calls %v, want %v and %v", what, err, got, wantErr, calls)
		}
	}
	if err := u.check("Known", "correct horse"); err != nil { // its network is known
		t.Fatal(err)
	}
	from := func(n byte, password Secret) error {
		return u.Verify(t.Context(), u.as(access.Verify, "Known"), "Known", Guess{Secret: password, Address: netip.AddrFrom4([4]byte{10, 0, 0, n})})
	}
	for n := range byte(userBudget.free) {
		if err := from(n, "not the password"); !errors.Is(err, ErrWrong) {
			t.Fatal(err)
		}
	}
	u.rows.take()
	want("the budget of the user is used up", from(200, "correct horse"), ErrTooManyGuesses, map[string]int{"read guesses": 1})
	if err := u.check("Known", "correct horse"); err != nil {
		t.Errorf("the right password from a known network: %v", err)
	}
	for range ownBudget.free {
		if err := u.check("Nobody", "not the password"); !errors.Is(err, ErrTooManyGuesses) && !errors.Is(err, ErrWrong) {
			t.Fatal(err)
		}
	}
	u.rows.take()
	want("the own budget is used up", u.check("Nobody", "not the password"), ErrTooManyGuesses, map[string]int{})

	release := occupy(t, u.options.Pool, 2)
	defer release()
	var queued sync.WaitGroup
	defer queued.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range u.options.Pool.most {
		queued.Go(func() { _ = u.options.Pool.Do(ctx, "wiki", func() {}) })
	}
	awaitWaiting(t, u.options.Pool, u.options.Pool.most)
	want("the pool is full", from(201, "correct horse"), ErrBusy, map[string]int{})
}

// TestUsers_RightPasswordsAtOneMomentDoNotRefuseEachOther sends more right passwords at the same moment than wrong ones are
// free.
func TestUsers_RightPasswordsAtOneMomentDoNotRefuseEachOther(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	release := occupy(t, u.options.Pool, 2)
	own := u.guesses.budgets(time.Now(), "Known", "wiki", netip.MustParseAddr("192.0.2.1"))[0].key
	const logins = 8
	results := make(chan error, logins)
	for range logins {
		go func() { results <- u.check("Known", "correct horse") }()
	}
	for arrived := 0; arrived < logins; runtime.Gosched() {
		select {
		case err := <-results:
			release()
			t.Fatalf("a right password is answered before it is compared: %v", err)
		default:
		}
		u.guesses.mu.Lock()
		if o := u.guesses.own[own]; o != nil {
			arrived = o.running + o.waiting
		}
		u.guesses.mu.Unlock()
	}
	release()
	for range logins {
		if err := <-results; err != nil {
			t.Errorf("a right password: %v", err)
		}
	}
}

// TestUsers_FewGuessesWaitForOthers sends more guesses at the same moment than may wait.
func TestUsers_FewGuessesWaitForOthers(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	release := occupy(t, u.options.Pool, 2)
	refused := make(chan error)
	var all sync.WaitGroup
	for range ownBudget.free + maxWaiting + 1 {
		all.Go(func() {
			if err := u.check("Known", "correct horse"); err != nil {
				refused <- err
			}
		})
	}
	var limited *GuessError
	if err := <-refused; !errors.As(err, &limited) || limited.RetryAfter != time.Second {
		t.Errorf("one guess too many: error %v, %+v, want a wait of a second", err, limited)
	}
	release()
	go func() { all.Wait(); close(refused) }()
	for err := range refused {
		t.Errorf("a guess that may wait: %v", err)
	}
}

func TestUsers_GuessThatWaitsEndsWithItsRequest(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	release := occupy(t, u.options.Pool, 2)
	ctx, cancel := context.WithCancel(t.Context())
	caller, guess := u.as(access.Verify, "Known"), Guess{Secret: "correct horse", Address: netip.MustParseAddr("192.0.2.1")}
	own := u.guesses.budgets(time.Now(), "Known", "wiki", guess.Address)[0].key
	results := make(chan error, ownBudget.free+1)
	for range ownBudget.free + 1 {
		go func() { results <- u.Verify(ctx, caller, "Known", guess) }()
	}
	for waiting := 0; waiting == 0; runtime.Gosched() {
		u.guesses.mu.Lock()
		if o := u.guesses.own[own]; o != nil {
			waiting = o.waiting
		}
		u.guesses.mu.Unlock()
	}
	cancel()
	for range ownBudget.free + 1 {
		if err := <-results; !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("error %v, want %v", err, store.ErrUnavailable)
		}
	}
	release()
	if err := u.check("Known", "correct horse"); err != nil {
		t.Errorf("after requests that have ended: %v", err)
	}
}
