package passwords

import (
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/passwords/scheme"
)

// oldRewrite returns the rewrite of the user Old of testUsers.prepare.
func (u *testUsers) oldRewrite() rewrite {
	u.Helper()
	row, err := u.read(u.Context(), "Old")
	if err != nil {
		u.Fatal(err)
	}
	return rewrite{"Old", []byte("password"), row.current}
}

// rewrites returns how many rewrites have had a result.
func (u *testUsers) rewrites(result string) float64 {
	return testutil.ToFloat64(u.options.Metrics.rewrites.WithLabelValues(result))
}

// TestRewriter_GivesWayToRequests lets a request wait for the pool.
func TestRewriter_GivesWayToRequests(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	old := u.oldRewrite()
	release := occupy(t, u.options.Pool, 2)
	waited := make(chan error)
	go func() { waited <- u.options.Pool.Do(t.Context(), "wiki", func() {}) }()
	awaitWaiting(t, u.options.Pool, 1)
	u.rewriter.rewrite(t.Context(), old)
	release()
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if n := u.rewrites("postponed"); n != 1 {
		t.Errorf("%v rewrites are postponed, want 1", n)
	}
	if hash, err := scheme.Parse(u.oldRewrite().seen.hash, scheme.Limits{}); err != nil || u.config.Argon2id.Made(hash) {
		t.Errorf("the hash was rewritten (%v)", err)
	}
}

// TestRewriter_HasUserInQueueOnce offers a user again while his hash is being rewritten.
func TestRewriter_HasUserInQueueOnce(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	old := u.oldRewrite()
	release := occupy(t, u.options.Pool, 2)
	u.rewriter.offer(old.user, []byte("password"), old.seen)
	awaitWaiting(t, u.options.Pool, 1) // the goroutine waits for the pool, and takes nothing from its queue
	for range 3 {
		u.rewriter.offer(old.user, []byte("password"), old.seen)
	}
	if n := len(u.rewriter.queue); n != 0 {
		t.Errorf("the user is in the queue %d times in addition", n)
	}
	release()
	for u.rewrites("rewritten") == 0 {
		runtime.Gosched()
	}
	if err := u.check("Old", "password"); err != nil {
		t.Errorf("the password of the rewritten hash: %v", err)
	}
}
