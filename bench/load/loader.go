package load

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Loader sets the values of a data set.
type Loader struct {
	TTL         int                   // seconds, of each value; 0: the store's default
	Connections int                   // default 32
	Progress    func(done, total int) // called after each batch; may be nil
}

const (
	batchSize  = 4096 // values that are set in any order; a batch is complete before the next one begins
	attempts   = 30   // of a value, one a second: the store may be restarting
	retryDelay = time.Second
)

// Load sets the values that are missing, and returns how many it has set. It continues where an earlier call was
// interrupted. It ends with an error if a value is rejected (4xx), or cannot be set for half a minute.
func (l Loader) Load(ctx context.Context, d Dialer, data Dataset) (set int, err error) {
	if data.Values < 1 || data.ValueBytes < 1 || l.TTL < 0 {
		return 0, fmt.Errorf("a data set of %d values of %d bytes with a TTL of %d s cannot be loaded", data.Values, data.ValueBytes, l.TTL)
	}
	if l.Connections == 0 {
		l.Connections = 32
	}
	present, err := Present(ctx, d, data)
	if err != nil || present == data.Values {
		return 0, err
	}
	free := make(chan *connection, l.Connections)
	for range l.Connections {
		c := &connection{dialer: d}
		defer c.drop()
		free <- c
	}
	// An interrupted batch may have holes before its last value.
	from := max(present-batchSize, 0)
	for start := from; start < data.Values; start += batchSize {
		n := min(batchSize, data.Values-start)
		if err := parallel(ctx, n, l.Connections, func(ctx context.Context, i int) error {
			c := <-free
			defer func() { free <- c }()
			return l.set(ctx, c, data, start+i)
		}); err != nil {
			return start - from, err
		}
		if l.Progress != nil {
			l.Progress(start+n, data.Values)
		}
	}
	return data.Values - from, nil
}

// set sets one value. It retries errors that may pass.
func (l Loader) set(ctx context.Context, c *connection, data Dataset, i int) (err error) {
	r := Request{Method: Set, Key: data.Key(i), TTL: l.TTL, Value: c.makeValue(data, i)}
	for range attempts {
		if err = c.send(ctx, &r); err == nil {
			return nil
		}
		var f Failure
		if errors.As(err, &f) && strings.HasPrefix(string(f), "4") && f != "408" && f != "429" {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retryDelay):
		}
	}
	return fmt.Errorf("setting value %d of %d: %w", i+1, data.Values, err)
}

// Present returns how many values of a data set the store has, from the first one on. It assumes that Load has set them, in
// order, so a few gets suffice. TTLs end first where Load began: without the first value, it returns 0.
func Present(ctx context.Context, d Dialer, data Dataset) (int, error) {
	c := &connection{dialer: d}
	defer c.drop()
	if there, err := c.has(ctx, data, 0); !there {
		return 0, err
	}
	low, high := 1, data.Values // the result is from low to high
	for low < high {
		middle := (low + high + 1) / 2
		switch there, err := c.has(ctx, data, middle-1); {
		case err != nil:
			return 0, err
		case there:
			low = middle
		default:
			high = middle - 1
		}
	}
	return low, nil
}

// has reports whether a value is there. It returns an error if something else is there: such a store may accept all sets
// and keep none.
func (c *connection) has(ctx context.Context, data Dataset, i int) (bool, error) {
	err := c.send(ctx, &Request{Method: Get, Key: data.Key(i), Length: data.ValueBytes})
	if err != nil && !errors.Is(err, NotFound) {
		return false, fmt.Errorf("getting value %d of %d, of %d bytes: %w", i+1, data.Values, data.ValueBytes, err)
	}
	return err == nil, nil
}
