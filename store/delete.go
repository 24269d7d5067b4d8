package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"userinfo/access"
)

const (
	// localReserve is the part of a delete's time that is reserved for deleting in the local datacentre, if not every
	// datacentre confirms.
	localReserve = 500 * time.Millisecond
	// longestDelete is more than the time from a delete's timestamp to its result. The fence begins with the result.
	longestDelete = 3 * time.Second
	// readTimeout limits the read that a delete begins with.
	readTimeout = 300 * time.Millisecond
)

// TombstoneLead returns how far a delete's tombstone is in the future. It is 0 without a fence. Cassandra's
// maximum_timestamp_fail_threshold must be larger.
func TombstoneLead(fence time.Duration) time.Duration {
	if fence == 0 {
		return 0
	}
	return fence + longestDelete
}

// Delete implements Store.
func (c *Collection) Delete(ctx context.Context, caller access.Caller, key access.Key) (err error) {
	defer c.metrics.delete.observe(time.Now(), &err)
	now := c.timestamps.next()
	if err := c.authorize(caller, c.deleteGrant, key); err != nil {
		return err
	}
	d := c.newDeletion(now, c.valueTimestamp(ctx, caller, key), c.fence(key))
	err = c.confirmations.Write(ctx, Everywhere{
		Each:   func(ctx context.Context) error { return c.rows.Delete(ctx, key, d, EachQuorum) },
		Local:  func(ctx context.Context) error { return c.rows.Delete(ctx, key, d, LocalQuorum) },
		Record: func(ctx context.Context) error { return c.rows.RecordPending(ctx, key, d) },
	})
	if unconfirmed, ok := errors.AsType[*Unconfirmed](err); ok {
		return c.unconfirmedError(ctx, unconfirmed)
	}
	if err != nil {
		return fmt.Errorf("deleting a value: %w", err)
	}
	return nil
}

// unconfirmedError logs and counts a delete that the local datacentre has applied and another one has not confirmed, and returns
// its error: ErrNotEverywhere if the delete is recorded as pending. If it could not be recorded, nothing finishes it. Then the
// error is ErrUnavailable, and the client must delete again.
func (c *Collection) unconfirmedError(ctx context.Context, u *Unconfirmed) error {
	if errors.Is(u.Cause, errUnconfirmed) {
		c.metrics.hurried.Inc()
	}
	if u.RecordErr != nil {
		c.metrics.unrecorded.Inc()
		c.log.ErrorContext(ctx, "a delete was applied in the local datacentre only and could not be recorded as pending; only another delete by the client finishes it",
			"cause", u.Cause.Error(), "error", u.RecordErr.Error())
		return unavailable(u.Cause)
	}
	c.log.WarnContext(ctx, "a delete was applied in the local datacentre only and is now pending", "cause", u.Cause.Error())
	return fmt.Errorf("%w: %w", ErrNotEverywhere, u.Cause)
}

// newDeletion returns a delete, at the timestamp now, of a value that was written at the timestamp written. Without a
// fence, there is no marker, and the tombstone is at now or just after written.
//
// The tombstone is in the future, so that it hides every Set that began before the delete's result, even if its clock is
// up to a fence ahead. It is also later than the value itself. The marker outlives the tombstone's timestamp by half a
// fence and two seconds: otherwise an instance whose clock is behind could accept a Set that the tombstone hides.
func (c *Collection) newDeletion(now, written int64, fence time.Duration) Deletion {
	d := Deletion{Tombstone: max(now+TombstoneLead(fence).Microseconds(), written+1), Marker: now}
	if written == math.MaxInt64 { // written+1 overflows
		d.Tombstone = written // of two cells with the same timestamp the tombstone wins
	}
	if fence > 0 {
		hidden := time.Duration(min(d.Tombstone-now, LargestTTL.Microseconds())) * time.Microsecond
		longest := min(LargestTTL, lastExpiry.Sub(c.timestamps.now()))
		d.MarkerTTL = min(hidden+fence/2+2*time.Second, longest).Truncate(time.Second)
	}
	return d
}

// valueTimestamp returns the timestamp of the value that is going to be deleted. A clock that is ahead may have written
// it, and the tombstone must be later. If there is no answer in time, valueTimestamp returns 0, and only the fence helps
// against such a clock. A value that cannot be opened can still be deleted.
func (c *Collection) valueTimestamp(ctx context.Context, caller access.Caller, key access.Key) int64 {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	row, err := c.read(ctx, caller, key)
	if errors.Is(err, ErrSealed) {
		c.log.WarnContext(ctx, "deleting a value that cannot be opened", "cause", err.Error())
	} else if err != nil {
		return 0
	}
	return row.Timestamp
}
