package api

import (
	"context"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// call is what a store was asked.
type call struct {
	action access.Action
	caller access.Caller
	key    access.Key
	data   []byte
	ttl    time.Duration
}

// stub is a store that does what one function says.
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

// failing is a store whose every operation ends with err.
func failing(err error) stub {
	return func(context.Context, call) (store.Value, error) { return store.Value{}, err }
}

// recorder remembers what the store was asked, and has a value under every key.
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

// take gives what was asked since the last take.
func (r *recorder) take() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.calls
	r.calls = nil
	return taken
}

// gate is a store whose operations wait: each announces itself on entered, then holds until opened.
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
