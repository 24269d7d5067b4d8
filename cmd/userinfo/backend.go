package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// backend is the store behind the API: the collections in the order of the configuration, or, until the database can be
// used, the reason why there are none. Its methods are safe for concurrent use.
type backend struct{ state atomic.Pointer[backendState] }

// backendState never changes.
type backendState struct {
	names       []string
	collections []*store.Collection
	missing     error // wraps store.ErrNotReady; nil if there are collections
}

// newBackend returns a backend that waits for the database.
func newBackend() *backend {
	b := new(backend)
	b.wait(store.ErrNotConnected)
	return b
}

// wait makes every operation fail with reason, which wraps store.ErrNotReady.
func (b *backend) wait(reason error) { b.state.Store(&backendState{missing: reason}) }

// open makes operations use these collections.
func (b *backend) open(names []string, collections []*store.Collection) {
	b.state.Store(&backendState{names: names, collections: collections})
}

// ready returns nil if every collection can be read. A missing table therefore makes the instance not ready.
func (b *backend) ready(ctx context.Context) error {
	s := b.state.Load()
	for i, c := range s.collections {
		if err := c.Ready(ctx); err != nil {
			return fmt.Errorf("collection %s: %w", s.names[i], err)
		}
	}
	return s.missing
}

// backendCollection is one collection of a backend, whether it is there yet or not.
type backendCollection struct {
	backend *backend
	index   int // in the configuration
}

var _ store.Store = backendCollection{}

// collection returns the collection, or why it cannot be used.
func (c backendCollection) collection() (*store.Collection, error) {
	s := c.backend.state.Load()
	if s.missing != nil {
		return nil, s.missing
	}
	return s.collections[c.index], nil
}

// Get implements store.Store.
func (c backendCollection) Get(ctx context.Context, caller access.Caller, key access.Key) (store.Value, error) {
	k, err := c.collection()
	if err != nil {
		return store.Value{}, err
	}
	return k.Get(ctx, caller, key)
}

// Set implements store.Store.
func (c backendCollection) Set(ctx context.Context, caller access.Caller, key access.Key, data []byte, ttl time.Duration) error {
	k, err := c.collection()
	if err != nil {
		return err
	}
	return k.Set(ctx, caller, key, data, ttl)
}

// Touch implements store.Store.
func (c backendCollection) Touch(ctx context.Context, caller access.Caller, key access.Key, ttl time.Duration) error {
	k, err := c.collection()
	if err != nil {
		return err
	}
	return k.Touch(ctx, caller, key, ttl)
}

// Delete implements store.Store.
func (c backendCollection) Delete(ctx context.Context, caller access.Caller, key access.Key) error {
	k, err := c.collection()
	if err != nil {
		return err
	}
	return k.Delete(ctx, caller, key)
}
