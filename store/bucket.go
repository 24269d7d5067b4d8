package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"userinfo/internal/panics"
)

// maxConcurrentReads is how many buckets are read at the same time. With n buckets that time out, a scan takes about
// n/maxConcurrentReads times replayTimeout longer.
const maxConcurrentReads = 4

// bucket is one bucket of a PendingList, and what the last scans have found in it.
type bucket struct {
	list   *PendingList
	number int

	known    bool      // it has been read at least once
	left     int       // entries that were still pending after the last scan that read it
	oldest   int64     // smallest Deletion.Marker of the pending entries
	err      error     // of the last attempt to read it
	logged   bool      // err has been logged
	notUntil time.Time // it is not read before this time
}

// readBuckets reads all buckets that are due, some at the same time. It returns their pages by the bucket's index: nil
// for a bucket that is empty, not due or cannot be read.
func (r *Replayer) readBuckets(ctx context.Context) [][]PendingDelete {
	pages := make([][]PendingDelete, len(r.buckets))
	slots := make(chan struct{}, maxConcurrentReads)
	var reads sync.WaitGroup
	for i, b := range r.buckets {
		if time.Now().Before(b.notUntil) {
			continue
		}
		slots <- struct{}{}
		reads.Go(func() {
			defer r.options.Panics.Recover(panics.Replay, &b.err)
			defer func() { <-slots }()
			pages[i] = r.read(ctx, b)
		})
	}
	reads.Wait()
	return pages
}

// read returns up to scanLimit entries of a bucket. After an error, it returns the entries that it could read, and the bucket
// keeps the count of its last complete read.
//
// It reads the time from the machine, not from ReplayerOptions.Now: a clock that is set back must not stop the scans.
func (r *Replayer) read(ctx context.Context, b *bucket) []PendingDelete {
	limited, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	b.notUntil = time.Now().Add(scanInterval * 4 / 5) // if it fails or panics: not in a scan that follows at once
	page, err := b.list.Deletes.ListPending(limited, b.number, scanLimit)
	if ctx.Err() != nil {
		return nil // the Replayer stops; this says nothing about the bucket
	}
	if b.err = err; err != nil {
		r.options.Metrics.replay.failed.Inc()
		return page
	}
	b.known, b.logged, b.left, b.oldest, b.notUntil = true, false, 0, 0, time.Time{}
	if len(page) == 0 {
		b.notUntil = time.Now().Add(b.list.Rest)
	}
	return page
}

// name returns the bucket's name for the log.
func (b *bucket) name() string {
	name := fmt.Sprintf("%s/%d", b.list.Collection, b.number)
	if b.list.Table != "" {
		name += " in " + b.list.Table
	}
	return name
}

// addLeft counts an entry that is still pending, if the last read had no error.
func (b *bucket) addLeft(p PendingDelete) {
	if b.err != nil {
		return
	}
	if b.left == 0 || p.Marker < b.oldest {
		b.oldest = p.Marker
	}
	b.left++
}

// reportUnreadable counts the buckets that cannot be read, also those of unknown collections. It logs each bucket of its own
// lists once, until it can be read again.
func (r *Replayer) reportUnreadable(ctx context.Context) {
	unreadable := float64(r.unknown.unreadable.Load())
	var names []string
	var cause error
	for _, b := range r.buckets {
		if b.err == nil {
			continue
		}
		unreadable++
		if !b.logged {
			names, cause, b.logged = append(names, b.name()), b.err, true
		}
	}
	r.options.Metrics.replay.unreadable.Set(unreadable)
	if len(names) > 0 {
		slices.Sort(names)
		r.options.Log.ErrorContext(ctx, "buckets of pending deletes cannot be read, so their deletes wait; trying again every few seconds; the other buckets are replayed; "+
			"if this goes on although Cassandra's nodes are up, do what docs/monitoring.md says about userinfo_pending_deletes_unreadable_buckets",
			"buckets", strings.Join(names, ", "), "error", cause.Error())
	}
}
