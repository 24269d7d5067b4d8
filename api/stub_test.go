package api

import (
	"context"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// call is one call of a store.
type call struct {
	action access.Action
	caller access.Caller
	key    access.Key
	data   []byte
	ttl    time.Duration
}

// stub is a store with one function for all methods.
type stub func(ctx context.Context, c call) (store.Value, error)

func (s stub) Get(ctx context.Context, caller access.Caller, key access.Key) (store.Value, error) {
	return s(ctx, call{action: access.Get, caller: caller, key: key})
}

func (s stub) Set(ctx context.Context, caller access.Caller, key access.Key, data []byte, ttl time.Duration) error {
	_, err := s(ctx, call{access.Set, caller, key, data, ttl})
	return err
}

func (s stub) Touch(ctx context.Context, caller access.Caller, key access.Key, ttl time.Duration) error {
	_, err := s(ctx, call{action: access.Touch, caller: caller, key: key, ttl: ttl})
	return err
}

func (s stub) Delete(ctx context.Context, caller access.Caller, key access.Key) error {
	_, err := s(ctx, call{action: access.Delete, caller: caller, key: key})
	return err
}

// failing returns a store that always fails with err.
func failing(err error) stub {
	return func(context.Context, call) (store.Value, error) { return store.Value{}, err }
}

// recorder records the calls of its store, in which every key has a value.
type recorder struct {
	mu    sync.Mutex
	calls []call
}

func (r *recorder) store() stub {
	return func(_ context.Context, c call) (store.Value, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls = append(r.calls, c)
		return store.Value{Data: []byte("value"), TTL: time.Minute}, nil
	}
}

// take returns the calls since the last take.
func (r *recorder) take() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.calls
	r.calls = nil
	return taken
}

// gate is a store whose calls block. Each call is sent to entered, and returns after opened is closed.
type gate struct {
	entered chan call
	opened  chan struct{}
}

func newGate() *gate { return &gate{entered: make(chan call, 1000), opened: make(chan struct{})} }

func (g *gate) store() stub {
	return func(ctx context.Context, c call) (store.Value, error) {
		g.entered <- c
		select {
		case <-g.opened:
			return store.Value{Data: []byte("value"), TTL: time.Minute}, nil
		case <-ctx.Done():
			return store.Value{}, ctx.Err()
		}
	}
}
