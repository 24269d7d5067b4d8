package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
	"userinfo/store"
)

// operations returns the error of each operation of a store, for a caller that may do nothing.
func operations(ctx context.Context, s store.Store) map[string]error {
	_, getError := s.Get(ctx, access.Caller{}, "k")
	return map[string]error{
		"get": getError, "set": s.Set(ctx, access.Caller{}, "k", []byte("v"), time.Minute),
		"touch": s.Touch(ctx, access.Caller{}, "k", time.Minute), "delete": s.Delete(ctx, access.Caller{}, "k"),
	}
}

func TestBackend_FailsUntilItIsOpen(t *testing.T) {
	b := newBackend()
	c := backendCollection{b, 1}
	for _, reason := range []error{store.ErrNotConnected, store.ErrSchemaDiffers} {
		b.setNotReady(reason)
		for operation, err := range operations(t.Context(), c) {
			if !errors.Is(err, reason) {
				t.Errorf("%s: %v; want %v", operation, err, reason)
			}
		}
		if err := b.ready(t.Context()); !errors.Is(err, reason) {
			t.Errorf("ready: %v; want %v", err, reason)
		}
	}
	config := store.CollectionConfig{Name: "kask", Layout: store.LayoutKask, MaxTTL: time.Hour}
	options := store.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: store.NewMetrics(prometheus.NewRegistry())}
	open := func(rows store.Rows) *store.Collection { return store.NewCollection(rows, config, options) }
	memory := store.NewMemory(1<<20, time.Now)
	b.open([]string{"a", "b"}, []*store.Collection{open(memory), open(memory)}, nil)
	for operation, err := range operations(t.Context(), c) {
		if !errors.Is(err, access.ErrDenied) { // the Caller is the zero Caller
			t.Errorf("open, %s: %v", operation, err)
		}
	}
	if err := b.ready(t.Context()); err != nil {
		t.Errorf("open: %v", err)
	}
	b.open([]string{"a", "b"}, []*store.Collection{open(unreadable{memory}), open(memory)}, nil)
	if err := b.ready(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "collection a") {
		t.Errorf("one collection cannot be read: %v", err)
	}
}

// unreadable is a table that does not exist.
type unreadable struct{ store.Rows }

func (unreadable) Ready(context.Context) error { return store.ErrUnavailable }
