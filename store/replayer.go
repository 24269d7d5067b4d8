package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
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

// ReplayerOptions are the dependencies of a Replayer. All fields are required.
type ReplayerOptions struct {
	// Now is the clock that timestamps writes.
	Now func() time.Time
	// Random returns an evenly distributed number from 0 to n-1.
	Random  func(n int) int
	Log     *slog.Logger
	Metrics *Metrics
}

// Replayer finishes pending deletes, no matter which instance has recorded them. It repeats each one at EACH_QUORUM, with
// its original timestamps, until every datacentre has confirmed it, and then removes it from the list.
//
// Every instance in every datacentre runs a Replayer. Two of them may replay the same delete, which changes nothing.
//
// A Replayer does not help if a majority of the replicas of a datacentre lose their disks while a delete is pending.
type Replayer struct {
	buckets []bucket
	options ReplayerOptions
	waiting bool // the last scan left deletes pending
	blind   bool // the last scan failed
}

// bucket is one bucket of a collection's pending deletes.
type bucket struct {
	deletes PendingDeletes
	number  int
}

// NewReplayer returns a Replayer for the pending deletes of all collections. It does nothing before Run.
func NewReplayer(collections []PendingDeletes, options ReplayerOptions) *Replayer {
	r := &Replayer{options: options}
	for _, deletes := range collections {
		for number := range PendingBuckets {
			r.buckets = append(r.buckets, bucket{deletes, number})
		}
	}
	return r
}

// Run replays pending deletes until ctx ends. It must be called only once. If ctx interrupts a replay before it is
// finished, a later scan, perhaps of another instance, tries it again.
func (r *Replayer) Run(ctx context.Context) {
	for {
		if again := r.scan(ctx); again {
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

// scanResult is what one scan has found.
type scanResult struct {
	done, left int
	oldest     int64 // the smallest Deletion.Marker of the deletes that are left
	more       bool  // a bucket may have more entries than the scan has read
	err        error // the first failed replay; after it the scan replays nothing more
}

// scan reads all buckets and replays what it finds. It returns true if the next scan should follow at once: there may be
// more entries, and replaying works.
//
// The order is random. So instances rarely replay the same delete, and a delete that fails again and again does not keep
// the same others waiting.
func (r *Replayer) scan(ctx context.Context) (again bool) {
	var result scanResult
	shuffle(r.buckets, r.options.Random)
	for _, b := range r.buckets {
		page, err := b.list(ctx)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			r.reportScanError(ctx, err)
			return false
		}
		result.more = result.more || len(page) == scanLimit
		shuffle(page, r.options.Random)
		r.replayPage(ctx, b.deletes, page, &result)
	}
	if ctx.Err() != nil {
		return false
	}
	r.report(ctx, &result)
	return result.more && result.err == nil
}

func (b bucket) list(ctx context.Context) ([]PendingDelete, error) {
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	return b.deletes.ListPending(ctx, b.number, scanLimit)
}

// replayPage replays a page until one replay fails. The first replay of a scan runs alone: while a datacentre is
// unreachable, it is the only request of the scan to the other datacentres.
func (r *Replayer) replayPage(ctx context.Context, deletes PendingDeletes, page []PendingDelete, result *scanResult) {
	for len(page) > 0 && result.err == nil {
		n := 1
		if result.done > 0 {
			n = min(maxConcurrentReplays, len(page))
		}
		r.replayAll(ctx, deletes, page[:n], result)
		page = page[n:]
	}
	for _, p := range page {
		result.addLeft(p)
	}
}

// replayAll replays several deletes at the same time.
func (r *Replayer) replayAll(ctx context.Context, deletes PendingDeletes, all []PendingDelete, result *scanResult) {
	errs := make([]error, len(all))
	var replays sync.WaitGroup
	for i, p := range all {
		replays.Go(func() { errs[i] = r.replay(ctx, deletes, p) })
	}
	replays.Wait()
	for i, err := range errs {
		if err == nil {
			result.done++
			r.options.Metrics.replay.done.Inc()
			continue
		}
		result.addLeft(all[i])
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

func (s *scanResult) addLeft(p PendingDelete) {
	if s.left == 0 || p.Marker < s.oldest {
		s.oldest = p.Marker
	}
	s.left++
}

// report publishes and logs what a scan has found. It logs only changes.
func (r *Replayer) report(ctx context.Context, result *scanResult) {
	age := time.Duration(0)
	if result.left > 0 {
		age = max(0, r.options.Now().Sub(time.UnixMicro(result.oldest)))
	}
	r.options.Metrics.replay.pending.Set(float64(result.left))
	r.options.Metrics.replay.oldest.Set(age.Seconds())
	r.blind = false
	switch {
	case result.left > 0 && !r.waiting:
		r.options.Log.WarnContext(ctx, "deletes are pending: a datacentre has not confirmed them; they are replayed until it has",
			"pending", result.left, "oldest", age.String(), "cause", result.err.Error())
	case result.left == 0 && (r.waiting || result.done > 0):
		r.options.Log.InfoContext(ctx, "all pending deletes are done", "last", result.done)
	}
	r.waiting = result.left > 0
}

// reportScanError leaves the gauges unchanged, because it is not known how many deletes are pending.
func (r *Replayer) reportScanError(ctx context.Context, err error) {
	r.options.Metrics.replay.failed.Inc()
	if !r.blind {
		r.options.Log.WarnContext(ctx, "cannot read pending deletes; trying again", "error", err.Error())
	}
	r.blind = true
}

func shuffle[T any](all []T, random func(int) int) {
	for i := len(all) - 1; i > 0; i-- {
		j := random(i + 1)
		all[i], all[j] = all[j], all[i]
	}
}
