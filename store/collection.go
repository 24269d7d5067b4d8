package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
)

// localReserve is the part of a delete's time that is kept for deleting here, should everywhere not be possible.
const localReserve = 500 * time.Millisecond

// underWay is longer than a delete takes from its timestamp to its answer: the fence counts from the answer.
const underWay = 3 * time.Second

// TombstoneLead is how far in the future a delete's tombstone lies, for a collection with this fence.
func TombstoneLead(fence time.Duration) time.Duration {
	if fence == 0 {
		return 0
	}
	return fence + underWay
}

// lookBudget bounds how long a delete looks for the timestamp of what it deletes.
const lookBudget = 300 * time.Millisecond

// CollectionConfig describes a collection. The zero Layout is LayoutUserInfo; the zero Fence means none.
type CollectionConfig struct {
	Name   string
	Table  string
	Layout Layout
	MaxTTL time.Duration
	Fence  time.Duration
	// TouchSlack is the part of the TTL that a touch asks for by which the life left may differ, for the touch to write
	// nothing: from 0, where every touch writes, to MaxTouchSlack.
	TouchSlack float64
}

// Options are the dependencies of a Collection.
type Options struct {
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *Metrics
	// BeforeWrite, where set, runs in Set and Touch after they have read and before they write, so that a test can put
	// another operation there.
	BeforeWrite func()
}

// Collection is a Store on Rows.
type Collection struct {
	rows        Rows
	config      CollectionConfig
	stamps      stamps
	log         *slog.Logger
	meter       meter
	beforeWrite func()
	// unrecorded counts deletes that nobody but their client will finish.
	unrecorded prometheus.Counter
	// skipped counts touches that had no need to write.
	skipped prometheus.Counter

	get, set, touch, del access.Grant
}

var _ Store = (*Collection)(nil)

// NewCollection returns the Store on r.
//
// It fails closed: it panics if the collection has LayoutUserInfo and r is not sealed.
func NewCollection(r Rows, config CollectionConfig, tools Options) *Collection {
	beforeWrite := tools.BeforeWrite
	if beforeWrite == nil {
		beforeWrite = func() {}
	}
	if config.Layout != LayoutKask && !r.Sealed() {
		panic("store: collection " + config.Name + " of layout userinfo must be sealed; wrap its rows with seal.NewRows")
	}
	return &Collection{
		rows:        r,
		config:      config,
		stamps:      stamps{now: tools.Now},
		log:         tools.Log.With("collection", config.Name),
		meter:       tools.Metrics.meter(config.Name),
		beforeWrite: beforeWrite,

		unrecorded: tools.Metrics.unrecorded,
		skipped:    tools.Metrics.skipped.WithLabelValues(config.Name),

		get:   access.GrantOn(config.Name, access.Get),
		set:   access.GrantOn(config.Name, access.Set),
		touch: access.GrantOn(config.Name, access.Touch),
		del:   access.GrantOn(config.Name, access.Delete),
	}
}

// Get implements Store.
func (c *Collection) Get(ctx context.Context, caller access.Caller, key access.Key) (v Value, err error) {
	defer c.meter.get.observe(time.Now(), &err)
	if err := c.admit(caller, c.get, key); err != nil {
		return Value{}, err
	}
	r, err := c.rows.Read(ctx, key)
	if err != nil {
		return Value{}, fmt.Errorf("reading a value: %w", err)
	}
	if r.Absent() {
		return Value{}, ErrNotFound
	}
	return Value{Data: r.Data, TTL: r.TTL}, nil
}

// Set implements Store. Its timestamp is older than the look at the marker: a delete that this look does not see
// was given a tombstone in this Set's future, and hides it.
func (c *Collection) Set(ctx context.Context, caller access.Caller, key access.Key, data []byte, ttl time.Duration) (err error) {
	defer c.meter.set.observe(time.Now(), &err)
	timestamp := c.stamps.next()
	if err := c.admit(caller, c.set, key); err != nil {
		return err
	}
	if err := c.checkTTL(ttl); err != nil {
		return err
	}
	if c.config.Fence > 0 {
		gone, err := c.rows.Deleted(ctx, key)
		if err != nil {
			return fmt.Errorf("looking for a delete before a set: %w", err)
		}
		if gone {
			return ErrDeleted
		}
	}
	c.beforeWrite()
	if err := c.rows.Write(ctx, key, data, timestamp, ttl); err != nil {
		return fmt.Errorf("writing a value: %w", err)
	}
	return nil
}

// Touch implements Store.
func (c *Collection) Touch(ctx context.Context, caller access.Caller, key access.Key, ttl time.Duration) (err error) {
	defer c.meter.touch.observe(time.Now(), &err)
	if err := c.admit(caller, c.touch, key); err != nil {
		return err
	}
	if err := c.checkTTL(ttl); err != nil {
		return err
	}
	r, err := c.rows.Read(ctx, key)
	if err != nil {
		return fmt.Errorf("reading a value to touch: %w", err)
	}
	if r.Absent() {
		return ErrNotFound
	}
	c.beforeWrite()
	if c.suffices(r, ttl) {
		c.skipped.Inc()
		return nil
	}
	// Not the same timestamp: a replica that misses this write has a tombstone at the old one when the value
	// expires there, and tombstones win ties.
	if err := c.rows.Write(ctx, key, r.Data, r.Timestamp+1, ttl); err != nil {
		return fmt.Errorf("writing a touched value: %w", err)
	}
	return nil
}

// suffices tells whether a value lives on for about as long as a touch asks, so that there is nothing to write. The life
// left is known to a second: where the slack is less, every touch writes. So does one that seals the value with a newer
// key, for which rotation waits.
func (c *Collection) suffices(r Row, ttl time.Duration) bool {
	slack := time.Duration(c.config.TouchSlack * float64(ttl))
	return !r.OldSealKey && r.TTL-time.Second >= ttl-slack && r.TTL <= ttl+slack
}

// Delete implements Store.
func (c *Collection) Delete(ctx context.Context, caller access.Caller, key access.Key) (err error) {
	defer c.meter.del.observe(time.Now(), &err)
	now := c.stamps.next()
	if err := c.admit(caller, c.del, key); err != nil {
		return err
	}
	r := c.removal(now, c.timestampOf(ctx, key))

	each, cancel := reserve(ctx, localReserve)
	defer cancel()
	everywhere := c.rows.Delete(each, key, r, EachQuorum)
	if everywhere == nil {
		return nil
	}
	return c.deleteHere(ctx, key, r, everywhere)
}

// deleteHere is for a delete that was refused or not confirmed by every datacentre. With the same timestamps as
// before, it makes sure that the value is at least gone here: an Unavailable at EACH_QUORUM has written nothing,
// not even here. Before the answer, the delete is recorded as pending too, for a Replayer to finish; where that
// fails, only asking again does.
func (c *Collection) deleteHere(ctx context.Context, key access.Key, r Deletion, everywhere error) error {
	var recorded error
	var recording sync.WaitGroup
	recording.Go(func() { recorded = c.rows.RecordPending(ctx, key, r) })
	here := c.rows.Delete(ctx, key, r, LocalQuorum)
	recording.Wait()
	if here != nil {
		return fmt.Errorf("deleting everywhere: %w; deleting here: %w", everywhere, here)
	}
	if recorded != nil {
		c.unrecorded.Inc()
		c.log.ErrorContext(ctx, "a delete is done in this datacentre alone, and could not be recorded as pending: its client must ask again",
			"cause", everywhere.Error(), "error", recorded.Error())
	} else {
		c.log.WarnContext(ctx, "a delete is done in this datacentre alone, and is pending", "cause", everywhere.Error())
	}
	return fmt.Errorf("%w: %w", ErrNotEverywhere, everywhere)
}

// Ready returns nil if a read at LOCAL_QUORUM works. It reads no session.
func (c *Collection) Ready(ctx context.Context) error { return c.rows.Ready(ctx) }

// removal dates a delete: its tombstone lies the fence and the time of a delete in the future, and beyond the value it
// saw. The marker outlives the tombstone's date by half a fence and a second, so that an instance whose clock is that far
// behind does not acknowledge a set that the tombstone hides.
func (c *Collection) removal(now, seen int64) Deletion {
	r := Deletion{Tombstone: max(now+TombstoneLead(c.config.Fence).Microseconds(), seen+1), Marker: now}
	if seen == math.MaxInt64 {
		r.Tombstone = seen // of two with one timestamp the tombstone wins
	}
	if c.config.Fence > 0 {
		hidden := time.Duration(min(r.Tombstone-now, LargestTTL.Microseconds())) * time.Microsecond
		most := min(LargestTTL, lastExpiry.Sub(c.stamps.now()))
		r.MarkerTTL = min(hidden+c.config.Fence/2+2*time.Second, most).Truncate(time.Second)
	}
	return r
}

// timestampOf looks for the timestamp of the value about to be deleted, which a clock ahead of ours may have given.
// Where it cannot be had in time, the fence alone has to do. A value that cannot be opened can be deleted all the same.
func (c *Collection) timestampOf(ctx context.Context, key access.Key) int64 {
	look, cancel := context.WithTimeout(ctx, lookBudget)
	defer cancel()
	r, err := c.rows.Read(look, key)
	if errors.Is(err, ErrSealed) {
		c.log.WarnContext(ctx, "deleting a value that cannot be opened", "cause", err.Error())
	} else if err != nil {
		return 0
	}
	return r.Timestamp
}

// admit is what every operation begins with. It fails closed: without a Caller for this very operation and key
// nothing is done.
func (c *Collection) admit(caller access.Caller, grant access.Grant, key access.Key) error {
	if err := caller.Check(grant, key); err != nil {
		return err
	}
	if key == "" {
		return fmt.Errorf("%w: empty", ErrKey)
	}
	if c.config.Layout == LayoutKask && !utf8.ValidString(string(key)) {
		return fmt.Errorf("%w: keys of this collection are UTF-8", ErrKey)
	}
	return nil
}

// checkTTL refuses what Cassandra would refuse or, for 0, take for "for ever".
func (c *Collection) checkTTL(ttl time.Duration) error {
	if ttl < time.Second || ttl > c.config.MaxTTL {
		return fmt.Errorf("%w: from 1 to %d seconds", ErrTTL, int64(c.config.MaxTTL/time.Second))
	}
	if c.stamps.now().Add(ttl).After(lastExpiry) {
		return fmt.Errorf("%w: would end after %s", ErrTTL, lastExpiry.UTC().Format(time.DateOnly))
	}
	return nil
}

// reserve is ctx with its deadline moved forward by d; where there is no deadline, ctx as it is.
func reserve(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-d))
}
