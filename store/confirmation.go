package store

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"userinfo/internal/panics"
)

const (
	// unconfirmedLimit is the number of unconfirmed deletes in a row after which deletes are hurried.
	unconfirmedLimit = 2
	// overdueAfter is the time after which an attempt that still runs counts as unconfirmed. It is twice the average duration
	// of confirmed deletes, if that is longer.
	overdueAfter = 450 * time.Millisecond
	// A hurried delete waits for every datacentre for twice the average duration of confirmed deletes, within these limits.
	shortestWait = 50 * time.Millisecond
	longestWait  = 300 * time.Millisecond
	// forgetAfter is how long after the last unconfirmed delete the next delete is normal again.
	forgetAfter = time.Minute
	// maxHurriedAttempts limits the attempts that run when a hurried delete begins. Above it, the delete makes no attempt
	// and is left to the Replayer.
	maxHurriedAttempts = 256
)

var (
	// errUnconfirmed is the cause of ErrNotEverywhere if the attempt still runs.
	errUnconfirmed = unavailable(errors.New("a datacentre has not confirmed the delete in the usual time"))
	// errNotTried is the cause of ErrNotEverywhere if no attempt was made.
	errNotTried = unavailable(errors.New("too many unconfirmed deletes are running, or the service is stopping"))
)

// Confirmations runs the attempts of deletes to reach every datacentre (EACH_QUORUM), and knows whether they succeed. It
// exists because Cassandra needs about 20 s to notice that a datacentre is unreachable. Until then every attempt takes
// 2 s to fail. All collections of a cluster share one Confirmations, because a cut concerns all of them.
//
// It has two states:
//
//	normal    A delete waits for its attempt for almost the whole time of its request. Only if the attempt fails, the value
//	          is deleted in the local datacentre and the delete is recorded as pending.
//	hurried   A delete does all three at the same time, and waits for its attempt only as long as a confirmed delete
//	          usually takes. After that it is answered, and its attempt goes on.
//
//	          ── two deletes are unconfirmed ────────────────────────▶
//	   normal                                                           hurried
//	          ◀── a delete is confirmed, or a minute without deletes ──
//
// Deletes that wait while the state becomes hurried are hurried, too.
//
// A delete is unconfirmed if its attempt fails or is overdue, and no other delete was confirmed since it began. So if only
// the replicas of one partition are down in another datacentre, the state stays normal while deletes of other partitions are
// confirmed. If the state is hurried, the first of those ends it.
//
// Hurried deletes keep all guarantees: the delete is recorded before its answer, and ErrNotEverywhere needs the
// confirmation of the local datacentre. The attempt, the local delete and a replay may run in any order or at the same
// time, because all write the same Deletion with the same timestamps. An attempt that runs until after the answer writes
// its marker up to 3 s late, so the marker lives that much longer; the tombstone hides the same sets as before.
//
// An attempt does not end with its request. It ends after its own deadline, at most 2.5 s, or with Close.
//
// All methods are safe for concurrent use.
type Confirmations struct {
	now      func() time.Time
	log      *slog.Logger
	panics   *panics.Recorder
	root     context.Context // ends with Close
	cancel   context.CancelFunc
	attempts sync.WaitGroup

	mu          sync.Mutex // guards the fields below
	closed      bool
	running     int           // attempts
	confirmed   uint64        // deletes since the start
	unconfirmed int           // deletes since the last confirmed one
	last        time.Time     // when the last delete was unconfirmed
	average     time.Duration // moving average of the durations of confirmed deletes
	hurry       chan struct{} // closed when the state becomes hurried; replaced when it becomes normal
}

// NewConfirmations returns Confirmations in the state normal. now is the clock that measures attempts and forgetAfter. p recovers
// from panics of attempts.
func NewConfirmations(now func() time.Time, log *slog.Logger, p *panics.Recorder) *Confirmations {
	c := &Confirmations{now: now, log: log, panics: p, average: longestWait / 2, hurry: make(chan struct{})}
	c.root, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close cancels the attempts that still run, and returns when they have ended. Deletes that begin after Close make no
// attempt.
func (c *Confirmations) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.attempts.Wait()
}

// attempt is the attempt of one delete to reach every datacentre.
type attempt struct {
	started time.Time
	before  uint64          // Confirmations.confirmed at the start
	hurry   <-chan struct{} // Confirmations.hurry at the start
	wait    time.Duration   // how long a hurried delete waits for this attempt
	overdue time.Duration   // after which it counts as unconfirmed
	counted bool            // it counts as unconfirmed already; guarded by Confirmations.mu
	ended   chan struct{}   // closed at the end
	err     error           // nil if every datacentre has confirmed; must not be read before the end
}

// start calls do in a goroutine. The context of do has the values of ctx, and a deadline that leaves localReserve of the
// time of ctx.
func (c *Confirmations) start(ctx context.Context, do func(context.Context) error) *attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.unconfirmed > 0 && now.Sub(c.last) > forgetAfter {
		c.calm()
	}
	a := &attempt{started: now, before: c.confirmed, hurry: c.hurry, ended: make(chan struct{})}
	a.wait = min(max(2*c.average, shortestWait), longestWait)
	a.overdue = max(2*c.average, overdueAfter)
	if err := ctx.Err(); err != nil {
		a.end(unavailable(err))
	} else if c.closed || c.unconfirmed >= unconfirmedLimit && c.running >= maxHurriedAttempts {
		a.end(errNotTried)
	} else {
		c.running++
		c.attempts.Go(func() {
			defer c.panics.Recover(panics.Store, nil)
			c.run(ctx, a, do)
		})
	}
	return a
}

func (c *Confirmations) run(ctx context.Context, a *attempt, do func(context.Context) error) {
	ctx, cancel := attemptContext(ctx)
	defer cancel()
	defer context.AfterFunc(c.root, cancel)()
	overdue := time.AfterFunc(a.overdue, func() {
		defer c.panics.Recover(panics.Store, nil)
		c.countUnconfirmed(a)
	})
	err := c.try(ctx, do)
	overdue.Stop()
	if err == nil {
		c.countConfirmed(a)
	} else if c.root.Err() == nil {
		c.countUnconfirmed(a)
	}
	c.mu.Lock()
	c.running--
	c.mu.Unlock()
	a.end(err)
}

// try calls do. If do panics, the error is panics.ErrPanic.
func (c *Confirmations) try(ctx context.Context, do func(context.Context) error) (err error) {
	defer c.panics.Recover(panics.Store, &err)
	return do(ctx)
}

// attemptContext returns a context with the values of ctx that does not end when ctx ends. It ends localReserve before the
// deadline of ctx, so that there is time left to delete in the local datacentre.
func attemptContext(ctx context.Context) (context.Context, context.CancelFunc) {
	end := time.Now().Add(longestDelete - localReserve)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-localReserve).Before(end) {
		end = deadline.Add(-localReserve)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}

func (c *Confirmations) countConfirmed(a *attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.average += (c.now().Sub(a.started) - c.average) / 8
	c.confirmed++
	if c.unconfirmed >= unconfirmedLimit {
		c.log.Info("every datacentre confirms deletes again")
	}
	c.calm()
}

func (c *Confirmations) countUnconfirmed(a *attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.counted || a.before != c.confirmed {
		return
	}
	a.counted = true
	c.last = c.now()
	c.unconfirmed++
	if c.unconfirmed == unconfirmedLimit {
		close(c.hurry)
		c.log.Warn("a datacentre does not confirm deletes: until it does, deletes are recorded as pending at once and wait at most 300 ms for it")
	}
}

// calm makes the state normal. The caller holds c.mu.
func (c *Confirmations) calm() {
	if c.unconfirmed >= unconfirmedLimit {
		c.hurry = make(chan struct{})
	}
	c.unconfirmed = 0
}

func (a *attempt) end(err error) {
	a.err = err
	close(a.ended)
}

// await waits until the attempt has ended or deletes are hurried.
func (a *attempt) await(ctx context.Context) error {
	select {
	case <-a.ended:
	case <-a.hurry:
	case <-ctx.Done():
	}
	return a.result()
}

// awaitUsual waits until the attempt has ended, or has run as long as a confirmed delete usually takes.
func (a *attempt) awaitUsual(ctx context.Context, now time.Time) error {
	usual, cancel := context.WithTimeout(ctx, a.started.Add(a.wait).Sub(now))
	defer cancel()
	select {
	case <-a.ended:
	case <-usual.Done():
	}
	return a.result()
}

// result returns nil if every datacentre has confirmed the delete. It fails closed: if the attempt still runs, it returns
// errUnconfirmed.
func (a *attempt) result() error {
	select {
	case <-a.ended:
		return a.err
	default:
		return errUnconfirmed
	}
}
