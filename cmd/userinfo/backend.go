package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"userinfo/access"
	"userinfo/passwords"
	"userinfo/store"
)

// backend is the store behind the API. It has the passwords, and the collections in the order of the configuration or, until
// the database can be used, the reason why it cannot. Its methods are safe for concurrent use.
type backend struct{ state atomic.Pointer[backendState] }

// backendState never changes.
type backendState struct {
	names       []string
	collections []*store.Collection
	users       *passwords.Users // nil if the service keeps no passwords
	notReady    error            // why there are no collections; wraps store.ErrNotReady
}

// newBackend returns a backend that has not reached the database.
func newBackend() *backend {
	b := new(backend)
	b.setNotReady(store.ErrNotConnected)
	return b
}

// setNotReady makes every operation fail with reason, which wraps store.ErrNotReady.
func (b *backend) setNotReady(reason error) { b.state.Store(&backendState{notReady: reason}) }

// open makes operations use these collections and these passwords, if they are not nil, from now on.
func (b *backend) open(names []string, collections []*store.Collection, users *passwords.Users) {
	b.state.Store(&backendState{names: names, collections: collections, users: users})
}

// ready returns nil if every collection and the passwords can be read. A missing table therefore makes the instance not
// ready.
func (b *backend) ready(ctx context.Context) error {
	s := b.state.Load()
	for i, c := range s.collections {
		if err := c.Ready(ctx); err != nil {
			return fmt.Errorf("collection %s: %w", s.names[i], err)
		}
	}
	if s.users != nil {
		if err := s.users.Ready(ctx); err != nil {
			return fmt.Errorf("passwords: %w", err)
		}
	}
	return s.notReady
}

// backendCollection is one collection of a backend. It exists before the backend can use the database.
type backendCollection struct {
	backend *backend
	index   int // in the configuration
}

var _ store.Store = backendCollection{}

// collection returns the collection, or an error that says why it cannot be used.
func (c backendCollection) collection() (*store.Collection, error) {
	s := c.backend.state.Load()
	if s.notReady != nil {
		return nil, s.notReady
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
