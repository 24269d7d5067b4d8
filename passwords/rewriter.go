package passwords

import (
	"context"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/internal/panics"
	"userinfo/store"
)

const (
	// maxRewrites is how many hashes wait to be rewritten. Beyond it, a hash stays as it is until the next right password.
	maxRewrites = 64
	// rewriteTimeout limits one rewrite.
	rewriteTimeout = 10 * time.Second
)

// rewriter replaces hashes of old schemes after a right password. It has one goroutine, from newRewriter to close.
//
// A rewrite is a record that is 1 µs younger than the record that was compared. Every change is younger than that, so a
// rewrite never undoes a change, however late it is. Two rewrites of one record have the same time; the row keeps one, and
// both are of the same password.
type rewriter struct {
	users  *Users
	queue  chan rewrite
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex // guards waiting
	waiting map[access.Key]bool
}

// rewrite is one hash to replace.
type rewrite struct {
	user     access.Key
	password []byte // normalised
	seen     record // that has this password
}

func newRewriter(u *Users) *rewriter {
	ctx, cancel := context.WithCancel(context.Background())
	r := &rewriter{users: u, queue: make(chan rewrite, maxRewrites), cancel: cancel, waiting: make(map[access.Key]bool)}
	r.ended.Go(func() {
		defer u.options.Panics.Recover(panics.Passwords, nil)
		u.options.Panics.Loop(ctx, panics.Passwords, r.run)
	})
	return r
}

// close ends the goroutine, and returns when it has ended. Hashes that wait are not rewritten.
func (r *rewriter) close() {
	r.cancel()
	r.ended.Wait()
}

// offer adds a user to the queue, if the record's hash was not made with the configured parameters. It never waits.
func (r *rewriter) offer(user access.Key, password []byte, seen record) {
	hash := r.users.parse(context.Background(), seen)
	if r.users.config.Argon2id.Made(hash) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[user] {
		return
	}
	select {
	case r.queue <- rewrite{user, password, seen}:
		r.waiting[user] = true
	default:
		r.users.options.Metrics.rewrites.WithLabelValues("postponed").Inc()
	}
}

// run rewrites hashes until ctx ends.
func (r *rewriter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-r.queue:
			r.rewrite(ctx, w)
		}
	}
}

// rewrite replaces one hash, unless requests wait for the pool.
func (r *rewriter) rewrite(ctx context.Context, w rewrite) {
	defer clear(w.password)
	defer r.forget(w.user)
	u := r.users
	ctx, cancel := context.WithTimeout(ctx, rewriteTimeout)
	defer cancel()
	if !u.options.Pool.idle() {
		u.options.Metrics.rewrites.WithLabelValues("postponed").Inc()
		return
	}
	if err := r.replace(ctx, w); err != nil {
		u.options.Metrics.rewrites.WithLabelValues("failed").Inc()
		u.options.Log.WarnContext(ctx, "a hash of an old scheme could not be rewritten; the next right password tries it again", "error", err.Error())
		return
	}
	u.options.Metrics.rewrites.WithLabelValues("rewritten").Inc()
}

func (r *rewriter) replace(ctx context.Context, w rewrite) error {
	u := r.users
	hash, err := u.hash(ctx, "", w.password)
	if err != nil {
		return err
	}
	next := record{state: hasHash, since: w.seen.since + 1, hash: hash.Text()}
	sealed, err := u.sealRecord(w.user, next)
	if err != nil {
		return err
	}
	return u.rows.Write(ctx, u.records.RowKey(w.user), sealed, next.since, store.LocalQuorum)
}

func (r *rewriter) forget(user access.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, user)
}
