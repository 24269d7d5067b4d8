package store

import (
	"context"
	"time"
)

// unknownInterval is the time between two counts of the pending deletes of unknown collections.
const unknownInterval = time.Minute

// unknownCollections is the state of a Replayer's count of pending deletes of collections that are not configured.
type unknownCollections struct {
	notUntil time.Time       // they are not counted before this time
	logged   map[string]bool // by collection: it has been logged
}

// countUnknown counts the pending deletes of unknown collections, once a minute, and logs each such collection once. If
// it fails, the gauge keeps its values.
func (r *Replayer) countUnknown(ctx context.Context) {
	if r.options.Unknown == nil || time.Now().Before(r.unknown.notUntil) {
		return
	}
	r.unknown.notUntil = time.Now().Add(unknownInterval)
	counts, err := r.readUnknown(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.options.Metrics.replay.failed.Inc()
		r.options.Log.WarnContext(ctx, "cannot look for pending deletes of collections that are not configured; trying again in a minute", "error", err.Error())
		return
	}
	r.options.Metrics.replay.unknown.Reset()
	logged := make(map[string]bool)
	for collection, n := range counts {
		r.options.Metrics.replay.unknown.WithLabelValues(collection).Set(float64(n))
		if !r.unknown.logged[collection] {
			r.options.Log.ErrorContext(ctx, "deletes of a collection are pending, but the collection is not configured, so nothing finishes them; "+
				"configure it again with its old name and table until userinfo_pending_deletes is 0",
				"collection", collection, "pending", n)
		}
		logged[collection] = true
	}
	r.unknown.logged = logged
}

// readUnknown returns the number of pending deletes by unknown collection. It counts at most scanLimit entries of a bucket.
func (r *Replayer) readUnknown(ctx context.Context) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, unknownInterval/2)
	defer cancel()
	lists, err := r.options.Unknown(ctx)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int)
	for _, list := range lists {
		for bucket := range PendingBuckets {
			page, err := list.Deletes.ListPending(ctx, bucket, scanLimit)
			if err != nil {
				return nil, err
			}
			if len(page) > 0 {
				counts[list.Collection] += len(page)
			}
		}
	}
	return counts, nil
}
