package store

import (
	"context"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"

	"userinfo/access"
	"userinfo/internal/panics"
)

// CollectionConfig describes a collection.
type CollectionConfig struct {
	// Name identifies the collection in grants, metrics, logs and sealed rows. See IsIdentifier.
	Name string
	// Table is the name of the collection's table. See IsIdentifier.
	Table string
	// Layout is the format of the table. The empty Layout is LayoutUserInfo.
	Layout Layout
	// MaxTTL is the largest TTL of a value. The table's gc_grace_seconds must be at least as long. So a replica that missed
	// a delete drops its expired value before the others drop the tombstone.
	MaxTTL time.Duration
	// Fence is how long a key stays deleted after a delete. 0 turns the fence off, so that keys can be used again at
	// once. The schema must allow timestamps that are TombstoneLead(Fence) in the future.
	Fence time.Duration
	// FenceExempt are the keys without a fence: they can be set at once after a delete, as in a collection whose Fence is 0.
	// There is one difference: while a marker exists that was written before the key was exempt, Set returns ErrDeleted.
	FenceExempt access.KeyPatterns
	// TouchSlack is a fraction of the TTL that a touch asks for. If the remaining TTL differs by no more than this, the
	// touch writes nothing. 0 means that every touch writes; the largest value is MaxTouchSlack.
	TouchSlack float64
}

// Options are the dependencies of a Collection. Now, Log and Metrics are required.
type Options struct {
	// Now is the clock that timestamps writes. Clocks of different instances should agree; see package store/clockskew.
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *Metrics
	// Confirmations is shared by all collections of a cluster. If it is nil, the collection makes one for itself.
	Confirmations *Confirmations
	// LargeValues is shared by all collections of a cluster. If it is nil, the collection makes one for itself.
	LargeValues *LargeValues
	// Rewrites counts the writes of all collections, to find the most rewritten keys. If it is nil, they are not counted.
	Rewrites *Rewrites
	// NotBefore returns the rules that end values of the collection. If it is nil, there are none. It is called by each Get and
	// Touch, so that rules can change.
	NotBefore func() []NotBefore
	// BeforeWrite is a hook for tests. If it is not nil, Set and Touch call it after they have read and before they write.
	BeforeWrite func()
	// Panics recovers from panics in the goroutines of deletes.
	Panics *panics.Recorder
}

// Collection implements Store on a table. The package comment lists its guarantees.
type Collection struct {
	rows          Rows
	config        CollectionConfig
	timestamps    timestamps
	confirmations *Confirmations
	largeValues   *LargeValues
	rewrites      *collectionRewrites
	log           *slog.Logger
	metrics       collectionMetrics
	notBefore     func() []NotBefore
	beforeWrite   func()

	getGrant, setGrant, touchGrant, deleteGrant access.Grant
}

var _ Store = (*Collection)(nil)

// NewCollection returns a Collection whose table is rows. It fails closed: it panics if the collection has
// LayoutUserInfo and rows is not sealed.
func NewCollection(rows Rows, config CollectionConfig, options Options) *Collection {
	if config.Layout != LayoutKask && !rows.Sealed() {
		panic("store: collection " + config.Name + " of layout userinfo must be sealed; wrap its rows with seal.NewRows")
	}
	beforeWrite := options.BeforeWrite
	if beforeWrite == nil {
		beforeWrite = func() {}
	}
	notBefore := options.NotBefore
	if notBefore == nil {
		notBefore = func() []NotBefore { return nil }
	}
	confirmations := options.Confirmations
	if confirmations == nil {
		confirmations = NewConfirmations(options.Now, options.Log, options.Panics)
	}
	largeValues := options.LargeValues
	if largeValues == nil {
		largeValues = NewLargeValues(LargeBytes, options.Metrics)
	}
	return &Collection{
		rows:          rows,
		config:        config,
		timestamps:    timestamps{now: options.Now},
		confirmations: confirmations,
		largeValues:   largeValues,
		rewrites:      options.Rewrites.collection(config.Name),
		log:           options.Log.With("collection", config.Name),
		metrics:       options.Metrics.collection(config.Name),
		notBefore:     notBefore,
		beforeWrite:   beforeWrite,
		getGrant:      access.GrantOn(config.Name, access.Get),
		setGrant:      access.GrantOn(config.Name, access.Set),
		touchGrant:    access.GrantOn(config.Name, access.Touch),
		deleteGrant:   access.GrantOn(config.Name, access.Delete),
	}
}

// Get implements Store.
func (c *Collection) Get(ctx context.Context, caller access.Caller, key access.Key) (v Value, err error) {
	defer c.metrics.get.observe(time.Now(), &err)
	if err := c.authorize(caller, c.getGrant, key); err != nil {
		return Value{}, err
	}
	row, err := c.read(ctx, caller, key)
	if err != nil {
		return Value{}, fmt.Errorf("reading a value: %w", err)
	}
	if row.Absent() {
		return Value{}, ErrNotFound
	}
	return Value{Data: row.Data, TTL: row.TTL}, nil
}

// Set implements Store.
//
// It reads the marker even if the key is exempt from the fence, because a delete from before the exemption may have written a
// marker and a tombstone that would hide the value.
//
// It takes its timestamp before it reads the marker. If a delete writes the marker after Set has read it, the delete's
// tombstone has a later timestamp than Set's value, and hides it.
func (c *Collection) Set(ctx context.Context, caller access.Caller, key access.Key, data []byte, ttl time.Duration) (err error) {
	defer c.metrics.set.observe(time.Now(), &err)
	timestamp := c.timestamps.next()
	if err := c.authorize(caller, c.setGrant, key); err != nil {
		return err
	}
	if err := c.checkTTL(ttl); err != nil {
		return err
	}
	if c.config.Fence > 0 {
		deleted, err := c.rows.Deleted(ctx, key)
		if err != nil {
			return fmt.Errorf("looking for a delete before a set: %w", err)
		}
		if deleted {
			return ErrDeleted
		}
	}
	c.beforeWrite()
	value := c.rewrites.hashValue(data) // before the write, during which the memory of data can be freed
	if err := c.write(ctx, caller, key, data, timestamp, ttl); err != nil {
		return fmt.Errorf("writing a value: %w", err)
	}
	c.rewrites.record(key, value)
	return nil
}

// rewriteKey is the context key of WithRewrite.
type rewriteKey struct{}

// WithRewrite returns a context for Touch. Before Touch writes a value again, it calls allow with the size of the value in bytes.
// If allow returns an error, Touch writes nothing and returns that error.
func WithRewrite(ctx context.Context, allow func(size int) error) context.Context {
	return context.WithValue(ctx, rewriteKey{}, allow)
}

// Touch implements Store.
func (c *Collection) Touch(ctx context.Context, caller access.Caller, key access.Key, ttl time.Duration) (err error) {
	defer c.metrics.touch.observe(time.Now(), &err)
	if err := c.authorize(caller, c.touchGrant, key); err != nil {
		return err
	}
	if err := c.checkTTL(ttl); err != nil {
		return err
	}
	row, err := c.read(ctx, caller, key)
	if err != nil {
		return fmt.Errorf("reading a value to touch: %w", err)
	}
	if row.Absent() {
		return ErrNotFound
	}
	c.beforeWrite()
	if c.ttlCloseEnough(row, ttl) {
		c.metrics.touchesSkipped.Inc()
		return nil
	}
	if allow, ok := ctx.Value(rewriteKey{}).(func(int) error); ok {
		if err := allow(len(row.Data)); err != nil {
			return err
		}
	}
	// Do not write with the same timestamp: on a replica that misses this write, the value expires and becomes a tombstone
	// at the old timestamp, and of two cells with the same timestamp the tombstone wins.
	value := c.rewrites.hashValue(row.Data)
	if err := c.write(ctx, caller, key, row.Data, row.Timestamp+1, ttl); err != nil {
		return fmt.Errorf("writing a touched value: %w", err)
	}
	c.rewrites.record(key, value)
	return nil
}

// read reads a row. A value that a NotBefore ends is absent. If the value is expected to be large, read first waits for its
// turn.
func (c *Collection) read(ctx context.Context, caller access.Caller, key access.Key) (row Row, err error) {
	ctx, done, err := c.largeValues.beginRead(ctx, caller.Client())
	if err != nil {
		return Row{}, err
	}
	size := unknownSize
	defer func() { done(size) }()
	if row, err = c.rows.Read(ctx, key); err == nil {
		size = len(row.Data)
	}
	if isEnded(c.notBefore(), key, row.Timestamp) {
		row = Row{}
	}
	return row, err
}

// write writes a value. If the value is large, it first waits for its turn.
func (c *Collection) write(ctx context.Context, caller access.Caller, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	ctx, done, err := c.largeValues.beginWrite(ctx, caller.Client(), len(data))
	if err != nil {
		return err
	}
	defer done()
	return c.rows.Write(ctx, key, data, timestamp, ttl)
}

// Ready returns nil if a read at LOCAL_QUORUM works. It reads no value.
func (c *Collection) Ready(ctx context.Context) error { return c.rows.Ready(ctx) }

// fence returns the fence of a key. It fails closed: a key that no pattern of FenceExempt matches has the fence of the
// collection.
func (c *Collection) fence(key access.Key) time.Duration {
	if c.config.FenceExempt.Match(key) {
		return 0
	}
	return c.config.Fence
}

// ttlCloseEnough reports whether the remaining TTL is close enough to the requested one to skip the write. The remaining
// TTL is known only to a second, so a smaller slack never skips. A value that is sealed with an old key is always
// written, because the rotation of seal keys waits for it.
func (c *Collection) ttlCloseEnough(row Row, ttl time.Duration) bool {
	slack := time.Duration(c.config.TouchSlack * float64(ttl))
	return !row.OldSealKey && row.TTL-time.Second >= ttl-slack && row.TTL <= ttl+slack
}

// authorize checks the caller and the key of an operation. It fails closed: a Caller for another operation or key, or
// the zero Caller, is denied.
func (c *Collection) authorize(caller access.Caller, grant access.Grant, key access.Key) error {
	if err := caller.Check(grant, key); err != nil {
		return err
	}
	if key == "" {
		return fmt.Errorf("%w: empty", ErrKey)
	}
	if c.config.Layout == LayoutKask && !utf8.ValidString(string(key)) {
		return fmt.Errorf("%w: keys of this collection must be UTF-8", ErrKey)
	}
	return nil
}

// checkTTL rejects TTLs that Cassandra would reject, and 0, which would mean "never expires".
func (c *Collection) checkTTL(ttl time.Duration) error {
	if !IsTTL(ttl) || ttl > c.config.MaxTTL {
		return fmt.Errorf("%w: must be from 1 to %d seconds", ErrTTL, int64(c.config.MaxTTL/time.Second))
	}
	if c.timestamps.now().Add(ttl).After(lastExpiry) {
		return fmt.Errorf("%w: would end after %s", ErrTTL, lastExpiry.UTC().Format(time.DateOnly))
	}
	return nil
}
