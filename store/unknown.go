package store

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"userinfo/internal/panics"
)

// unknownInterval is the time between two counts of a bucket's pending deletes of unknown collections.
const unknownInterval = time.Minute

// unknownCounter counts the pending deletes of collections that are not configured. It has a goroutine of its own, so that a
// bucket that cannot be read does not delay a scan. Buckets are independent: a bucket that cannot be read counts with the
// number of its last complete read, and the others are read all the same.
type unknownCounter struct {
	options    *ReplayerOptions
	buckets    [PendingBuckets]unknownBucket
	reported   map[string]bool // collections that are logged and in the gauge
	unreadable atomic.Int64    // buckets that could not be read at the last attempt
	logged     bool            // the warning about unreadable buckets is logged
}

// unknownBucket is what the last reads have found in one bucket.
type unknownBucket struct {
	counts   map[string]int // by collection
	err      error          // of the last attempt to read it
	notUntil time.Time      // it is not read before this time
}

// run counts until ctx ends. It reads each bucket about once a minute, and a bucket that could not be read again after
// scanInterval or later.
func (u *unknownCounter) run(ctx context.Context) {
	for {
		u.readDue(ctx)
		if ctx.Err() == nil {
			u.reportCounts(ctx)
			u.reportUnreadable(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(scanInterval):
		}
	}
}

// readDue reads the buckets that are due, until ctx ends.
func (u *unknownCounter) readDue(ctx context.Context) {
	for number := range u.buckets {
		b := &u.buckets[number]
		if time.Now().Before(b.notUntil) {
			continue
		}
		counts, err := u.read(ctx, number)
		if ctx.Err() != nil {
			return
		}
		if b.err = err; err != nil {
			u.options.Metrics.replay.failed.Inc()
			continue
		}
		b.counts, b.notUntil = counts, time.Now().Add(unknownInterval)
	}
}

// read returns the pending deletes of one bucket by unknown collection, at most scanLimit from each list.
func (u *unknownCounter) read(ctx context.Context, bucket int) (counts map[string]int, err error) {
	defer u.options.Panics.Recover(panics.Replay, &err)
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	lists, err := u.options.Unknown(ctx, bucket)
	if err != nil {
		return nil, err
	}
	counts = make(map[string]int)
	for _, list := range lists {
		page, err := list.Deletes.ListPending(ctx, bucket, scanLimit)
		if err != nil {
			return nil, err
		}
		if len(page) > 0 {
			counts[list.Collection] += len(page)
		}
	}
	return counts, nil
}

// reportCounts sets the gauge of each unknown collection, and logs each collection once.
func (u *unknownCounter) reportCounts(ctx context.Context) {
	total := make(map[string]int)
	for _, b := range u.buckets {
		for collection, n := range b.counts {
			total[collection] += n
		}
	}
	gauge := u.options.Metrics.replay.unknown
	for collection, n := range total {
		gauge.WithLabelValues(collection).Set(float64(n))
		if !u.reported[collection] {
			u.options.Log.ErrorContext(ctx, "deletes of a collection are pending, but the collection is not configured, so nothing finishes them; "+
				"add the collection to the configuration again, with the same settings, and remove it when userinfo_pending_deletes is 0",
				"collection", collection, "pending", n)
			u.reported[collection] = true
		}
	}
	for collection := range u.reported {
		if total[collection] == 0 {
			gauge.DeleteLabelValues(collection)
			delete(u.reported, collection)
		}
	}
}

// reportUnreadable counts the buckets that could not be read, for Replayer.reportUnreadable. It logs a warning when the first
// one fails, and again only after all could be read.
func (u *unknownCounter) reportUnreadable(ctx context.Context) {
	var numbers []string
	var cause error
	for number, b := range u.buckets {
		if b.err != nil {
			numbers, cause = append(numbers, fmt.Sprint(number)), b.err
		}
	}
	u.unreadable.Store(int64(len(numbers)))
	if len(numbers) > 0 && !u.logged {
		u.options.Log.WarnContext(ctx, "buckets of pending deletes cannot be searched for collections that are not configured; trying again",
			"buckets", strings.Join(numbers, ", "), "error", cause.Error())
	}
	u.logged = len(numbers) > 0
}
