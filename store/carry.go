package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// The Carrier looks every carryInterval, a fifth more or less, so that a delete is finished well within a minute of a
// datacentre's return. One look takes up to carryPage entries of a bucket, and up to carryAtOnce are carried at once.
const (
	carryInterval = 5 * time.Second
	carryPage     = 64
	carryAtOnce   = 32
)

// carryPatience bounds a look and an attempt. It is longer than Cassandra's write timeout (2 s), which is what it takes
// to learn that a datacentre has just gone away.
const carryPatience = 5 * time.Second

// CarrierTools are what a Carrier is given rather than reaching for.
type CarrierTools struct {
	Now     func() time.Time
	Random  func(n int) int // evenly from 0 to n-1
	Log     *slog.Logger
	Metrics *Metrics
}

// Carrier finishes the deletes that some datacentre refused or did not confirm, whichever instance took them: it tries
// each at EACH_QUORUM, with the timestamps that the delete had, until that succeeds, and then strikes it out. Every
// instance runs one, in every datacentre; to do the same delete twice changes nothing. Make it with Cassandra.Carrier.
//
// It does not defend against a majority of replicas that lose their disks while a delete is pending.
type Carrier struct {
	shelves []shelf
	tools   CarrierTools
	waiting bool // entries were left by the last round
	blind   bool // the last round could not look
}

// shelf is one bucket of a collection's ledger.
type shelf struct {
	ledger ledger
	bucket int
}

func newCarrier(ledgers []ledger, tools CarrierTools) *Carrier {
	c := &Carrier{tools: tools}
	for _, l := range ledgers {
		for bucket := range buckets {
			c.shelves = append(c.shelves, shelf{l, bucket})
		}
	}
	return c
}

// Run carries until ctx ends. What it has begun then may be done or not; another round finds out.
func (c *Carrier) Run(ctx context.Context) {
	for {
		if again := c.round(ctx); again {
			continue
		}
		pause := carryInterval*4/5 + time.Duration(c.tools.Random(int(carryInterval*2/5)))
		if !sleep(ctx, pause) {
			return
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
func (c *Carrier) round(ctx context.Context) (again bool) {
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

func look(ctx context.Context, s shelf) ([]pendingDelete, error) {
	ctx, cancel := context.WithTimeout(ctx, carryPatience)
	defer cancel()
	return s.ledger.pending(ctx, s.bucket, carryPage)
}

// carryAll carries a page until one fails. The first of a round goes alone: where a datacentre is away, that is all
// that a round asks of the others.
func (c *Carrier) carryAll(ctx context.Context, l ledger, page []pendingDelete, r *round) {
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

func (c *Carrier) carrySome(ctx context.Context, l ledger, some []pendingDelete, r *round) {
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

func (c *Carrier) carry(ctx context.Context, l ledger, p pendingDelete) error {
	ctx, cancel := context.WithTimeout(ctx, carryPatience)
	defer cancel()
	if err := l.remove(ctx, p.key, p.removal.rest(c.tools.Now()), true); err != nil {
		return fmt.Errorf("carrying a delete through: %w", err)
	}
	if err := l.settle(ctx, p); err != nil {
		return fmt.Errorf("striking out a delete that is done: %w", err)
	}
	return nil
}

// rest is what there is to write of d at now: the marker ends when it would have ended.
func (d removal) rest(now time.Time) removal {
	left := min(d.markerTTL, d.markerTTL-now.Sub(time.UnixMicro(d.marker)))
	d.markerTTL = max(left, 0).Truncate(time.Second)
	return d
}

func (r *round) leave(p pendingDelete) {
	if r.left == 0 || p.removal.marker < r.oldest {
		r.oldest = p.removal.marker
	}
	r.left++
}

// report tells metrics and log what a round found.
func (c *Carrier) report(ctx context.Context, r *round) {
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
func (c *Carrier) cannotLook(ctx context.Context, err error) {
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
