package passwordstest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/access/accesstest"
	"userinfo/passwords"
	"userinfo/store"
)

// oldHashes are hashes of the password "password", by scheme.
var oldHashes = map[string]passwords.Secret{
	"A":      ":A:5f4dcc3b5aa765d61d8327deb882cf99",
	"B":      ":B:salt:9842afc7cb949c440c51347ed809362f",
	"pbkdf2": ":pbkdf2:sha1:4096:20:c2FsdA==:SwB5AbdlSJq+rUnZJvch0GWkKcE=",
	"argon2": ":argon2:$argon2i$v=19$m=1024,t=2,p=2$RHpGTXJPeFlSV2NDTEswNA$VeW7rumZY4pL8XO4KeQkKD43r5uX3eazVJRtrFN7lNc",
}

func sessionCaller(t *testing.T, key access.Key) access.Caller {
	t.Helper()
	c, err := accesstest.Caller("client", "sessions", access.Get, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// testSchemes imports a hash of each scheme, and checks that a right password rewrites it once.
func testSchemes(t *testing.T, s *suite) {
	for name, hash := range oldHashes {
		t.Run(name, func(t *testing.T) {
			i := s.instance(t, settings{})
			user := newUser()
			i.want(i.importHash(user, hash), nil)
			i.want(i.verify(user, "Password"), passwords.ErrWrong)
			if n := i.rewritten(); n != 0 {
				t.Fatalf("a wrong password has rewritten %v hashes", n)
			}
			i.want(i.verify(user, "password"), nil)
			await(t, "the hash is rewritten", func() bool { return i.rewritten() == 1 })
			i.want(i.verify(user, "password"), nil)
			i.want(i.verify(user, "Password"), passwords.ErrWrong)
			other := newUser() // the queue is in order: if the first user were rewritten again, that would be before this one
			i.want(i.importHash(other, oldHashes["A"]), nil)
			i.want(i.verify(other, "password"), nil)
			await(t, "another hash is rewritten", func() bool { return i.rewritten() >= 2 })
			if n := i.rewritten(); n != 2 {
				t.Errorf("%v hashes were rewritten, want 2", n)
			}
			i.want(i.importHash(user, hash), passwords.ErrExists)
			i.want(i.change(user, "password", first), nil)
			i.want(i.verify(user, first), nil)
		})
	}
}

func testImport(t *testing.T, s *suite) {
	i := s.instance(t, settings{})
	user, created := newUser(), newUser()
	for name, hash := range map[string]passwords.Secret{
		"not a hash": "password", "an unknown scheme": ":C:5f4dcc3b5aa765d61d8327deb882cf99",
		"many threads":    ":argon2:$argon2id$v=19$m=1024,t=1,p=5$RHpGTXJPeFlSV2NDTEswNA$VeW7rumZY4pL8XO4KeQkKD43r5uX3eazVJRtrFN7lNc",
		"too much memory": ":argon2:$argon2id$v=19$m=1000000,t=1,p=1$RHpGTXJPeFlSV2NDTEswNA$VeW7rumZY4pL8XO4KeQkKD43r5uX3eazVJRtrFN7lNc",
	} {
		if err := i.importHash(user, hash); !errors.Is(err, passwords.ErrHash) {
			t.Errorf("%s: error %v, want %v", name, err, passwords.ErrHash)
		}
	}
	i.want(i.importHash(user, oldHashes["A"]), nil)
	i.want(i.importHash(user, oldHashes["A"]), nil) // an import may be repeated
	i.want(i.importHash(user, ":A:d529e941509eb9e9b9cfaeae1fe7ca23"), nil)
	i.want(i.verify(user, "password"), passwords.ErrWrong)
	i.want(i.importHash(user, oldHashes["B"]), nil)
	i.want(i.importHash(user, ""), nil) // disabled
	i.want(i.verify(user, "password"), passwords.ErrWrong)
	i.want(i.importHash(user, oldHashes["B"]), nil)
	i.want(i.change(user, "password", first), nil)
	i.want(i.importHash(user, oldHashes["B"]), passwords.ErrExists)
	i.want(i.verify(user, first), nil)
	i.want(i.create(created, first), nil)
	i.want(i.importHash(created, oldHashes["A"]), passwords.ErrExists)
	i.want(i.delete(created), nil)
	i.want(i.importHash(created, oldHashes["A"]), passwords.ErrDeleted) // a repeated migration does not bring the user back
	i.want(i.importHash(created, ""), passwords.ErrDeleted)
	i.want(i.verify(created, "password"), passwords.ErrWrong)
	i.want(i.create(created, second), nil)
	i.want(i.verify(created, second), nil)
}

// slowRewrites is rows whose writes at LOCAL_QUORUM wait for a signal.
type slowRewrites struct {
	passwords.Rows
	begun, mayWrite chan struct{}
}

// Write implements passwords.Rows.
func (r slowRewrites) Write(ctx context.Context, key access.Key, record []byte, timestamp int64, c store.Consistency) error {
	if c == store.LocalQuorum {
		close(r.begun)
		<-r.mayWrite
	}
	return r.Rows.Write(ctx, key, record, timestamp, c)
}

// testRewriteLoses changes a password while its old hash is being rewritten. The rewrite is written last.
func testRewriteLoses(t *testing.T, s *suite) {
	begun, mayWrite := make(chan struct{}), make(chan struct{})
	slow := s.instance(t, settings{rows: func(r passwords.Rows) passwords.Rows { return slowRewrites{r, begun, mayWrite} }})
	// The clock of the other instance is behind, so the change does not win by its clock.
	fast := s.instance(t, settings{clock: &clock{now: s.clock.Now().Add(-time.Hour)}})
	user := newUser()
	slow.want(slow.importHash(user, oldHashes["B"]), nil)
	slow.want(slow.verify(user, "password"), nil)
	<-begun
	fast.want(fast.change(user, "password", first), nil)
	close(mayWrite)
	await(t, "the rewrite is written", func() bool { return slow.rewritten() == 1 })
	for _, i := range []*instance{slow, fast} {
		i.want(i.verify(user, "password"), passwords.ErrWrong)
		i.want(i.verify(user, first), nil)
	}
}

func testResetToken(t *testing.T, s *suite) {
	own := &clock{now: s.clock.Now()}
	i := s.instance(t, settings{clock: own})
	user := newUser()
	i.want(i.create(user, first), nil)
	old, token := i.newToken(user), i.newToken(user)
	i.want(i.verify(user, first), nil) // a token changes nothing by itself
	i.want(i.changeWithToken(user, old, second), passwords.ErrWrong)
	i.want(i.changeWithToken(user, "", second), passwords.ErrWrong)
	i.want(i.changeWithToken(newUser(), token, second), passwords.ErrWrong)
	i.want(i.changeWithToken(user, token, "short"), passwords.ErrWeak)
	i.want(i.changeWithToken(user, token, second), nil)
	i.want(i.verify(user, second), nil)
	i.want(i.verify(user, first), passwords.ErrWrong)
	i.want(i.changeWithToken(user, token, first), passwords.ErrWrong)
	i.want(i.verify(user, second), nil)

	token = i.newToken(user)
	i.want(i.change(user, second, first), nil)
	i.want(i.changeWithToken(user, token, second), passwords.ErrWrong) // a change makes older tokens useless

	token = i.newToken(user)
	own.advance(time.Hour + time.Second)
	i.want(i.changeWithToken(user, token, second), passwords.ErrWrong) // too late
	i.want(i.verify(user, first), nil)

	disabled := newUser()
	i.want(i.importHash(disabled, ""), nil)
	i.want(i.changeWithToken(disabled, i.newToken(disabled), first), nil)
	i.want(i.verify(disabled, first), nil)
}

func testTokenConcurrency(t *testing.T, s *suite) {
	i := s.instance(t, settings{})
	user := newUser()
	i.want(i.create(user, first), nil)
	token := i.newToken(user)
	var used atomic.Int64
	use := func(i *instance) (decided bool) {
		err := i.changeWithToken(user, token, second)
		switch {
		case err == nil:
			used.Add(1)
		case !errors.Is(err, passwords.ErrWrong) && !errors.Is(err, store.ErrUnavailable): // contention
			t.Errorf("error %v", err)
		}
		return !errors.Is(err, store.ErrUnavailable)
	}
	var all sync.WaitGroup
	for range 4 {
		one := s.instance(t, settings{})
		all.Go(func() { use(one) })
	}
	all.Wait()
	await(t, "the use of the token is decided", func() bool { return use(i) })
	if n := used.Load(); n > 1 {
		t.Errorf("the token was used %d times", n)
	}
	i.want(i.changeWithToken(user, token, "the third password"), passwords.ErrWrong)
	i.want(i.verify(user, second), nil)
}
