package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"userinfo/internal/panics"
)

const (
	// scanInterval is the time between two scans, on average; it varies by a fifth. If few deletes are pending, they are
	// finished within seconds after a datacentre's return. A backlog takes longer: see scanLimit.
	scanInterval = 5 * time.Second
	// scanLimit is how many entries of a bucket one scan reads.
	scanLimit = 64
	// maxConcurrentReplays is how many deletes are replayed at the same time.
	maxConcurrentReplays = 32
	// replayTimeout limits reading a bucket, and replaying a delete. It is longer than Cassandra's write timeout (2 s),
	// because it takes that long to notice that a datacentre has just become unreachable.
	replayTimeout = 5 * time.Second
)

// ReplayerOptions are the dependencies of a Replayer. All fields are required, except Unknown and Panics.
type ReplayerOptions struct {
	// Now is the clock that timestamps writes.
	Now func() time.Time
	// Random returns an evenly distributed number from 0 to n-1.
	Random  func(n int) int
	Log     *slog.Logger
	Metrics *Metrics
	// Unknown returns the lists of collections that are not configured and have entries in a bucket. The entries are counted,
	// not replayed, because the table of such a collection is not known. nil: they are not counted.
	Unknown func(ctx context.Context, bucket int) ([]PendingList, error)
	// Panics recovers from panics in the goroutines of a Replayer.
	Panics *panics.Recorder
}

// PendingList is a list of pending deletes that a Replayer replays.
type PendingList struct {
	// Collection and Table are names for the log. A collection may have lists in several tables.
	Collection, Table string
	Deletes           PendingDeletes
	// Rest is how long a bucket that was empty is not read again. 0 means that every scan reads it.
	Rest time.Duration
}

// Replayer finishes pending deletes, no matter which instance has recorded them. It repeats each one at EACH_QUORUM, with
// its original timestamps, until every datacentre has confirmed it, and then removes it from the list.
//
// Every instance in every datacentre runs a Replayer. Two of them may replay the same delete, which changes nothing.
//
// Buckets are independent: a bucket that cannot be read is counted and named in the log, and the others are replayed.
//
// A Replayer does not help if a majority of the replicas of a datacentre lose their disks while a delete is pending.
type Replayer struct {
	buckets []*bucket
	options ReplayerOptions
	waiting bool // "deletes are pending" is logged, and "all pending deletes are done" not yet
	unknown unknownCounter
}

// NewReplayer returns a Replayer for these lists. It does nothing before Run.
func NewReplayer(lists []PendingList, options ReplayerOptions) *Replayer {
	r := &Replayer{options: options}
	r.unknown = unknownCounter{options: &r.options, reported: make(map[string]bool)}
	for i := range lists {
		for number := range PendingBuckets {
			r.buckets = append(r.buckets, &bucket{list: &lists[i], number: number})
		}
	}
	return r
}

// Run replays pending deletes until ctx ends. It must be called only once. If ctx interrupts a replay before it is
// finished, a later scan, perhaps of another instance, tries it again.
func (r *Replayer) Run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	var counting sync.WaitGroup
	defer counting.Wait()
	defer stop() // also if a scan panics
	if r.options.Unknown != nil {
		counting.Go(func() {
			defer r.options.Panics.Recover(panics.Replay, nil)
			r.options.Panics.Loop(ctx, panics.Replay, r.unknown.run)
		})
	}
	for {
		if r.scan(ctx) {
			continue
		}
		pause := scanInterval*4/5 + time.Duration(r.options.Random(int(scanInterval*2/5)))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// scanResult is the result of the replays of one scan.
type scanResult struct {
	done int
	err  error // the first failed replay; after it the scan replays nothing more
}

// scan reads all buckets and replays what it finds. It returns true if the next scan must follow at once: there may be more
// entries, and replaying works.
//
// The order is random. So instances rarely replay the same delete, and a delete that fails again and again does not keep
// the same others waiting.
func (r *Replayer) scan(ctx context.Context) (again bool) {
	shuffle(r.buckets, r.options.Random)
	pages := r.readBuckets(ctx)
	var result scanResult
	more := false
	for i, b := range r.buckets {
		if pages[i] == nil || ctx.Err() != nil {
			continue
		}
		more = more || len(pages[i]) >= scanLimit
		shuffle(pages[i], r.options.Random)
		r.replayPage(ctx, b, pages[i], &result)
	}
	if ctx.Err() != nil {
		return false
	}
	r.reportUnreadable(ctx)
	if more && result.err == nil {
		return true // the next scan reports: how many deletes are left is not known yet
	}
	r.report(ctx, result)
	return false
}

// replayPage replays a page until one replay fails. The first replay of a scan runs alone: while a datacentre is
// unreachable, it is the only request of the scan to the other datacentres.
func (r *Replayer) replayPage(ctx context.Context, b *bucket, page []PendingDelete, result *scanResult) {
	for len(page) > 0 && result.err == nil {
		n := 1
		if result.done > 0 {
			n = min(maxConcurrentReplays, len(page))
		}
		r.replayAll(ctx, b, page[:n], result)
		page = page[n:]
	}
	for _, p := range page {
		b.addLeft(p)
	}
}

// replayAll replays several deletes at the same time.
func (r *Replayer) replayAll(ctx context.Context, b *bucket, all []PendingDelete, result *scanResult) {
	errs := make([]error, len(all))
	var replays sync.WaitGroup
	for i, p := range all {
		replays.Go(func() {
			defer r.options.Panics.Recover(panics.Replay, &errs[i])
			errs[i] = r.replay(ctx, b.list.Deletes, p)
		})
	}
	replays.Wait()
	for i, err := range errs {
		if err == nil {
			result.done++
			r.options.Metrics.replay.done.Inc()
			continue
		}
		b.addLeft(all[i])
		if ctx.Err() == nil {
			r.options.Metrics.replay.failed.Inc()
		}
		if result.err == nil {
			result.err = err
		}
	}
}

func (r *Replayer) replay(ctx context.Context, deletes PendingDeletes, p PendingDelete) error {
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	if err := deletes.Delete(ctx, p.Key, p.Deletion.remaining(r.options.Now()), EachQuorum); err != nil {
		return fmt.Errorf("replaying a delete: %w", err)
	}
	if err := deletes.RemovePending(ctx, p); err != nil {
		return fmt.Errorf("removing a delete that every datacentre has confirmed: %w", err)
	}
	return nil
}

// remaining returns what a replay at the time now must write: the same timestamps, and a marker that expires when the
// original marker does.
func (d Deletion) remaining(now time.Time) Deletion {
	left := min(d.MarkerTTL, d.MarkerTTL-now.Sub(time.UnixMicro(d.Marker)))
	d.MarkerTTL = max(left, 0).Truncate(time.Second)
	return d
}

// report publishes and logs how many deletes are pending. A bucket that cannot be read counts with the number of its last
// complete read. If a bucket has never been read, the gauges are NaN: unknown. report logs only changes.
func (r *Replayer) report(ctx context.Context, result scanResult) {
	left, oldest, known, complete := 0, r.options.Now().UnixMicro(), true, true
	for _, b := range r.buckets {
		known, complete = known && b.known, complete && b.err == nil
		if left += b.left; b.left > 0 {
			oldest = min(oldest, b.oldest)
		}
	}
	age := r.options.Now().Sub(time.UnixMicro(oldest))
	r.options.Metrics.replay.publish(left, age, known)
	switch {
	case left > 0 && !r.waiting:
		r.options.Log.WarnContext(ctx, "deletes are pending: a datacentre has not confirmed them; they are replayed until it has",
			"pending", left, "oldest", age.String(), "cause", fmt.Sprint(result.err))
	case left == 0 && complete && (r.waiting || result.done > 0):
		r.options.Log.InfoContext(ctx, "all pending deletes are done", "replayed", result.done)
	}
	r.waiting = left > 0 || r.waiting && !complete
}

func shuffle[T any](all []T, random func(int) int) {
	for i := len(all) - 1; i > 0; i-- {
		j := random(i + 1)
		all[i], all[j] = all[j], all[i]
	}
}
