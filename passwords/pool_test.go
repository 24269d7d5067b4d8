package passwords

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

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
		go func() { ended <- p.Do(context.Background(), "wiki", func() { begun <- struct{}{}; <-end }) }()
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

// awaitWaiting waits until this many hashes wait.
func awaitWaiting(t *testing.T, p *Pool, hashes int) {
	t.Helper()
	for waiting := -1; waiting != hashes; runtime.Gosched() {
		p.mu.Lock()
		waiting = p.waiting
		p.mu.Unlock()
		if err := context.Cause(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPool_RefusesAtOnceBeyondQueue(t *testing.T) {
	p := newTestPool(t, 2)
	release := occupy(t, p, 2)
	queued := make(chan error)
	for range 2 * queuePerWorker {
		go func() { queued <- p.Do(context.Background(), "wiki", func() {}) }()
	}
	awaitWaiting(t, p, p.most)
	if err := p.Do(t.Context(), "wiki", func() { t.Error("a refused hash was computed") }); !errors.Is(err, ErrBusy) {
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
	go func() {
		result <- p.Do(ctx, "wiki", func() { t.Error("the hash of a cancelled request was computed") })
	}()
	awaitWaiting(t, p, 1)
	cancel()
	if err := <-result; !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	release()
	if err := p.Do(t.Context(), "wiki", func() {}); err != nil { // the worker has passed the cancelled hash
		t.Error(err)
	}
}

// TestPool_DoesNotBeginHashOfRequestThatHasEnded lets a request end after a worker has taken its job.
func TestPool_DoesNotBeginHashOfRequestThatHasEnded(t *testing.T) {
	p := newTestPool(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	j := &job{ctx: ctx, work: func() { t.Error("the hash of a request that has ended was computed") }, state: jobTaken, ended: make(chan struct{})}
	p.do(j)
	if err := j.result(); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v, want %v", err, store.ErrUnavailable)
	}
}

func TestPool_WaitsForHashThatHasBegun(t *testing.T) {
	p := newTestPool(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := false
	if err := p.Do(ctx, "wiki", func() { cancel(); done = true }); err != nil || !done {
		t.Errorf("done: %v, error %v", done, err)
	}
}

func TestPool_SurvivesPanic(t *testing.T) {
	p := newTestPool(t, 1)
	if err := p.Do(t.Context(), "wiki", func() { panic("in a hash") }); !errors.Is(err, panics.ErrPanic) {
		t.Errorf("error %v, want %v", err, panics.ErrPanic)
	}
	if err := p.Do(t.Context(), "wiki", func() {}); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func TestPool_CloseEndsQueue(t *testing.T) {
	p := newTestPool(t, 1)
	release := occupy(t, p, 1)
	queued := make(chan error)
	go func() { queued <- p.Do(context.Background(), "wiki", func() {}) }()
	awaitWaiting(t, p, 1)
	p.cancel()
	if err := <-queued; !errors.Is(err, ErrBusy) {
		t.Errorf("a hash in the queue: error %v, want %v", err, ErrBusy)
	}
	release()
	p.Close()
	if err := p.Do(t.Context(), "wiki", func() { t.Error("a closed pool has computed a hash") }); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want %v", err, ErrBusy)
	}
}

// TestPool_OneClientKeepsNobodyOut lets one client fill the queue. Another client takes places from it, and its turn.
func TestPool_OneClientKeepsNobodyOut(t *testing.T) {
	p := newTestPool(t, 1)
	release := occupy(t, p, 1)
	var mu sync.Mutex
	var order []string
	results := make(chan error, 2*queuePerWorker)
	ask := func(client string) {
		results <- p.Do(context.Background(), client, func() {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, client)
		})
	}
	for n := range queuePerWorker {
		go ask("greedy")
		awaitWaiting(t, p, n+1)
	}
	if !p.full("greedy") || p.full("other") {
		t.Errorf("the queue is full for the client that fills it: %v, for another one: %v", p.full("greedy"), p.full("other"))
	}
	for range queuePerWorker / 2 {
		go ask("other")
		if err := <-results; err != ErrBusy { // the newest hash of the greedy client
			t.Fatalf("error %v, want %v", err, ErrBusy)
		}
	}
	for _, client := range []string{"other", "greedy"} { // each has its share
		if !p.full(client) {
			t.Errorf("%s may take more than its share", client)
		}
	}
	if err := p.Do(t.Context(), "other", func() { t.Error("a refused hash was computed") }); err != ErrBusy {
		t.Errorf("error %v, want %v", err, ErrBusy)
	}
	release()
	for range queuePerWorker {
		if err := <-results; err != nil {
			t.Errorf("a hash in the queue: %v", err)
		}
	}
	if got := strings.Join(order, " "); got != "greedy other greedy other" {
		t.Errorf("the order is %s", got)
	}
}

// TestPool_ForgetsClients checks that a client without waiting hashes takes no memory.
func TestPool_ForgetsClients(t *testing.T) {
	p := newTestPool(t, 1)
	for n := range 100 {
		if err := p.Do(t.Context(), fmt.Sprint(n), func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.queues)+len(p.turns) > 0 {
		t.Errorf("%d queues and %d turns are left", len(p.queues), len(p.turns))
	}
}

// TestUsers_WarnIfGuessesFillPool needs no hash of a certain duration: it passes one.
func TestUsers_WarnIfGuessesFillPool(t *testing.T) {
	u := newTestUsers(t) // 1000 guesses a minute, 2 workers
	u.logs.Reset()
	if u.warnIfGuessesFillPool(60 * time.Millisecond); u.logs.Len() > 0 {
		t.Errorf("hashes that take half of the time: %s", u.logs)
	}
	if u.warnIfGuessesFillPool(61 * time.Millisecond); !strings.Contains(u.logs.String(), "guesses_per_minute=1000") {
		t.Errorf("hashes that take more than half of the time: %q", u.logs)
	}
	u.logs.Reset()
	u.config.GuessesPerMinute = 1 << 30 // too many for any hash
	again, err := NewUsers(u.rows, u.config, u.options)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if u.logs.Len() == 0 {
		t.Error("NewUsers does not warn")
	}
}
