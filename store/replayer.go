package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// The Replayer looks every carryInterval, a fifth more or less, so that a delete is finished well within a minute of a
// datacentre's return. One look takes up to carryPage entries of a bucket, and up to carryAtOnce are carried at once.
const (
	carryInterval = 5 * time.Second
	carryPage     = 64
	carryAtOnce   = 32
)

// carryPatience bounds a look and an attempt. It is longer than Cassandra's write timeout (2 s), which is what it takes
// to learn that a datacentre has just gone away.
const carryPatience = 5 * time.Second

// ReplayerOptions are what a Replayer is given rather than reaching for.
type ReplayerOptions struct {
	Now     func() time.Time
	Random  func(n int) int // evenly from 0 to n-1
	Log     *slog.Logger
	Metrics *Metrics
}

// Replayer finishes the deletes that some datacentre refused or did not confirm, whichever instance took them: it tries
// each at EACH_QUORUM, with the timestamps that the delete had, until that succeeds, and then strikes it out. Every
// instance runs one, in every datacentre; to do the same delete twice changes nothing.
//
// It does not defend against a majority of replicas that lose their disks while a delete is pending.
type Replayer struct {
	shelves []shelf
	tools   ReplayerOptions
	waiting bool // entries were left by the last round
	blind   bool // the last round could not look
}

// shelf is one bucket of a collection's ledger.
type shelf struct {
	ledger PendingDeletes
	bucket int
}

// NewReplayer returns a Replayer of the pending deletes of all collections. Start it with Run.
func NewReplayer(ledgers []PendingDeletes, tools ReplayerOptions) *Replayer {
	c := &Replayer{tools: tools}
	for _, l := range ledgers {
		for bucket := range PendingBuckets {
			c.shelves = append(c.shelves, shelf{l, bucket})
		}
	}
	return c
}

// Run carries until ctx ends. What it has begun then may be done or not; another round finds out.
func (c *Replayer) Run(ctx context.Context) {
	for {
		if again := c.round(ctx); again {
			continue
		}
		pause := carryInterval*4/5 + time.Duration(c.tools.Random(int(carryInterval*2/5)))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// round is one look at everything that is pending. Its order is random, so that instances get in each other's way
// little, and an entry that fails again and again does not keep the same others waiting.
type round struct {
	done, left int
	oldest     int64 // the marker's timestamp of the oldest that is left
	full       bool  // there may be more than it saw
	err        error // the first failure; after it nothing more is tried
}

// round tells whether another is due at once: there is more, and it can be done.
func (c *Replayer) round(ctx context.Context) (again bool) {
	var r round
	shuffle(c.shelves, c.tools.Random)
	for _, s := range c.shelves {
		page, err := look(ctx, s)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			c.cannotLook(ctx, err)
			return false
		}
		r.full = r.full || len(page) == carryPage
		shuffle(page, c.tools.Random)
		c.carryAll(ctx, s.ledger, page, &r)
	}
	if ctx.Err() != nil {
		return false
	}
	c.report(ctx, &r)
	return r.full && r.err == nil
}

func look(ctx context.Context, s shelf) ([]PendingDelete, error) {
	ctx, cancel := context.WithTimeout(ctx, carryPatience)
	defer cancel()
	return s.ledger.ListPending(ctx, s.bucket, carryPage)
}

// carryAll carries a page until one fails. The first of a round goes alone: where a datacentre is away, that is all
// that a round asks of the others.
func (c *Replayer) carryAll(ctx context.Context, l PendingDeletes, page []PendingDelete, r *round) {
	for len(page) > 0 && r.err == nil {
		n := 1
		if r.done > 0 {
			n = min(carryAtOnce, len(page))
		}
		c.carrySome(ctx, l, page[:n], r)
		page = page[n:]
	}
	for _, p := range page {
		r.leave(p)
	}
}

func (c *Replayer) carrySome(ctx context.Context, l PendingDeletes, some []PendingDelete, r *round) {
	errs := make([]error, len(some))
	var all sync.WaitGroup
	for i, p := range some {
		all.Go(func() { errs[i] = c.carry(ctx, l, p) })
	}
	all.Wait()
	for i, err := range errs {
		if err == nil {
			r.done++
			c.tools.Metrics.carried.Inc()
			continue
		}
		r.leave(some[i])
		if ctx.Err() == nil {
			c.tools.Metrics.carryFailed.Inc()
		}
		if r.err == nil {
			r.err = err
		}
	}
}

func (c *Replayer) carry(ctx context.Context, l PendingDeletes, p PendingDelete) error {
	ctx, cancel := context.WithTimeout(ctx, carryPatience)
	defer cancel()
	if err := l.Delete(ctx, p.Key, p.Deletion.rest(c.tools.Now()), EachQuorum); err != nil {
		return fmt.Errorf("carrying a delete through: %w", err)
	}
	if err := l.RemovePending(ctx, p); err != nil {
		return fmt.Errorf("striking out a delete that is done: %w", err)
	}
	return nil
}

// rest is what there is to write of d at now: the marker ends when it would have ended.
func (d Deletion) rest(now time.Time) Deletion {
	left := min(d.MarkerTTL, d.MarkerTTL-now.Sub(time.UnixMicro(d.Marker)))
	d.MarkerTTL = max(left, 0).Truncate(time.Second)
	return d
}

func (r *round) leave(p PendingDelete) {
	if r.left == 0 || p.Marker < r.oldest {
		r.oldest = p.Marker
	}
	r.left++
}

// report tells metrics and log what a round found.
func (c *Replayer) report(ctx context.Context, r *round) {
	age := time.Duration(0)
	if r.left > 0 {
		age = max(0, c.tools.Now().Sub(time.UnixMicro(r.oldest)))
	}
	c.tools.Metrics.pending.Set(float64(r.left))
	c.tools.Metrics.pendingOldest.Set(age.Seconds())
	c.blind = false
	switch {
	case r.left > 0 && !c.waiting:
		c.tools.Log.WarnContext(ctx, "deletes are pending: done in a datacentre, not confirmed by every other; they are tried until they are",
			"pending", r.left, "oldest", age.String(), "cause", r.err.Error())
	case r.left == 0 && (c.waiting || r.done > 0):
		c.tools.Log.InfoContext(ctx, "all pending deletes are done", "last", r.done)
	}
	c.waiting = r.left > 0
}

// cannotLook leaves the gauges as they were: it is not known what is pending.
func (c *Replayer) cannotLook(ctx context.Context, err error) {
	c.tools.Metrics.carryFailed.Inc()
	if !c.blind {
		c.tools.Log.WarnContext(ctx, "cannot look for pending deletes; trying again", "error", err.Error())
	}
	c.blind = true
}

func shuffle[T any](all []T, random func(int) int) {
	for i := len(all) - 1; i > 0; i-- {
		j := random(i + 1)
		all[i], all[j] = all[j], all[i]
	}
}
