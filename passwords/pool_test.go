package passwords

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/panics"
	"userinfo/store"
)

func newTestPool(t *testing.T, workers int) *Pool {
	p := NewPool(workers, NewMetrics(prometheus.NewRegistry()), panics.NewRecorder(prometheus.NewRegistry(), slog.New(slog.DiscardHandler)))
	t.Cleanup(p.Close)
	return p
}

// occupy lets every worker of a pool wait until the returned function is called, which returns when they have ended.
func occupy(t *testing.T, p *Pool, workers int) (release func()) {
	t.Helper()
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	for range workers {
		go func() { ended <- p.Do(context.Background(), func() { begun <- struct{}{}; <-end }) }()
		<-begun
	}
	return func() {
		close(end)
		for range workers {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
}

func TestPool_RefusesAtOnceBeyondQueue(t *testing.T) {
	p := newTestPool(t, 2)
	release := occupy(t, p, 2)
	queued := make(chan error)
	for range 2 * queuePerWorker {
		go func() { queued <- p.Do(context.Background(), func() {}) }()
	}
	for len(p.jobs) < cap(p.jobs) { // the goroutines above fill the queue
		runtime.Gosched()
		if err := context.Cause(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Do(t.Context(), func() { t.Error("a refused hash was computed") }); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want %v", err, ErrBusy)
	}
	release()
	for range 2 * queuePerWorker {
		if err := <-queued; err != nil {
			t.Errorf("a hash in the queue: %v", err)
		}
	}
}

func TestPool_DoesNotComputeHashOfCancelledRequest(t *testing.T) {
	p := newTestPool(t, 1)
	release := occupy(t, p, 1)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- p.Do(ctx, func() { t.Error("the hash of a cancelled request was computed") }) }()
	for len(p.jobs) == 0 {
		runtime.Gosched()
		if err := context.Cause(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-result; !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	release()
	if err := p.Do(t.Context(), func() {}); err != nil { // the worker has passed the cancelled hash
		t.Error(err)
	}
}

func TestPool_WaitsForHashThatHasBegun(t *testing.T) {
	p := newTestPool(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := false
	if err := p.Do(ctx, func() { cancel(); done = true }); err != nil || !done {
		t.Errorf("done: %v, error %v", done, err)
	}
}

func TestPool_SurvivesPanic(t *testing.T) {
	p := newTestPool(t, 1)
	if err := p.Do(t.Context(), func() { panic("in a hash") }); !errors.Is(err, panics.ErrPanic) {
		t.Errorf("error %v, want %v", err, panics.ErrPanic)
	}
	if err := p.Do(t.Context(), func() {}); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func TestPool_CloseEndsQueue(t *testing.T) {
	p := newTestPool(t, 1)
	release := occupy(t, p, 1)
	queued := make(chan error)
	go func() { queued <- p.Do(context.Background(), func() {}) }()
	for len(p.jobs) == 0 {
		runtime.Gosched()
		if err := context.Cause(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.cancel()
	if err := <-queued; !errors.Is(err, ErrBusy) {
		t.Errorf("a hash in the queue: error %v, want %v", err, ErrBusy)
	}
	release()
	p.Close()
	if err := p.Do(t.Context(), func() { t.Error("a closed pool has computed a hash") }); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want %v", err, ErrBusy)
	}
}
