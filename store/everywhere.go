package store

import (
	"context"
	"fmt"
	"sync"

	"userinfo/internal/panics"
)

// Everywhere is a write that every datacentre must confirm. Its functions write the same data with the same timestamps, so
// that they may run in any order, at the same time, and repeatedly. All fields are required.
type Everywhere struct {
	// Each writes at EACH_QUORUM.
	Each func(context.Context) error
	// Local writes at LOCAL_QUORUM.
	Local func(context.Context) error
	// Record adds the write to the list of pending writes, from which a Replayer finishes it.
	Record func(context.Context) error
}

// Unconfirmed is the error of a write that the local datacentre has applied, but another datacentre has not confirmed.
type Unconfirmed struct {
	// Cause says why it is not confirmed.
	Cause error
	// RecordErr says why the write could not be recorded as pending. nil: it is recorded, and a Replayer finishes it.
	RecordErr error
}

// Error implements error.
func (u *Unconfirmed) Error() string {
	return "a datacentre has not confirmed the write: " + u.Cause.Error()
}

// Unwrap returns the cause.
func (u *Unconfirmed) Unwrap() error { return u.Cause }

// Write makes a write that every datacentre must confirm. It returns nil when all have, and an *Unconfirmed if only the
// local datacentre has. After any other error, the write may or may not have been applied.
//
// If the attempt at EACH_QUORUM has failed, or writes are hurried, Write also writes in the local datacentre, because
// Cassandra may have refused the attempt without writing anything, not even here. At the same time it records the write. If
// the attempt succeeds in time after all, Write returns nil, and the Replayer removes the record.
func (c *Confirmations) Write(ctx context.Context, w Everywhere) error {
	everywhere := c.start(ctx, w.Each)
	if everywhere.await(ctx) == nil {
		return nil
	}
	var recordErr error
	var recording sync.WaitGroup
	recording.Go(func() {
		defer c.panics.Recover(panics.Store, &recordErr)
		recordErr = w.Record(ctx)
	})
	localErr := w.Local(ctx)
	recording.Wait()
	cause := everywhere.awaitUsual(ctx, c.now())
	if cause == nil {
		return nil
	}
	if localErr != nil {
		return fmt.Errorf("writing everywhere: %w; writing here: %w", cause, localErr)
	}
	return &Unconfirmed{Cause: cause, RecordErr: recordErr}
}
