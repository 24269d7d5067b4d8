// Package openloop starts requests at planned times, however long earlier requests take.
//
// A closed loop sends the next request when the previous one has been answered. When the service stalls, a closed loop
// sends fewer requests and so hides the stall ("coordinated omission"). An open loop keeps its schedule: a request that
// had to wait counts its latency from the time at which it was due.
//
//	next ──▶ dispatcher ──(sleeps until due)──▶ a free worker ──▶ call(Request)
//
// Invariants:
//
//  1. The schedule never depends on an answer.
//  2. No request is dropped. When all workers are busy, requests wait, and start in the order in which they were due.
//  3. Request.Late is the part of a delay that the generator itself caused. Waiting for a busy worker is not in it.
//
// The package needs Linux. It does not limit a queue: the caller ends a run that falls behind by cancelling its context.
package openloop

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Request is one request that is due.
type Request[T any] struct {
	Value  T
	Worker int           // which worker runs it, from 0; a worker runs one request at a time
	Due    time.Time     // when it should have started; latency counts from here
	Late   time.Duration // how long it was due, and this worker free, before it started
}

// Schedule returns the next request and when it is due, counted from the start of the run. Due times must not decrease.
// It returns ok = false after the last request. Run calls it from one goroutine.
type Schedule[T any] func() (value T, due time.Duration, ok bool)

// Run starts workers goroutines and calls call for each request of the schedule when it is due. Workers take turns, so
// each of them gets requests. Run returns when the schedule has ended or ctx is done, and all calls have returned. It
// does not interrupt a call: call should watch ctx itself if it should end early.
func Run[T any](ctx context.Context, workers int, next Schedule[T], call func(Request[T])) {
	requests := make(chan Request[T])
	var running sync.WaitGroup
	defer running.Wait()
	defer close(requests)
	for worker := range workers {
		running.Go(func() { work(worker, requests, call) })
	}
	start := time.Now()
	for {
		value, due, ok := next()
		if !ok || !sleepUntil(ctx, start.Add(due)) {
			return
		}
		select {
		case requests <- Request[T]{Value: value, Due: start.Add(due)}:
		case <-ctx.Done():
			return
		}
	}
}

// work runs the requests of one worker.
func work[T any](worker int, requests <-chan Request[T], call func(Request[T])) {
	var free time.Time // when the previous call returned
	for r := range requests {
		ready := r.Due
		if free.After(ready) {
			ready = free
		}
		r.Worker, r.Late = worker, max(0, time.Since(ready))
		call(r)
		free = time.Now()
	}
}

// shortSleep is the longest sleep that does not watch the context.
const shortSleep = 5 * time.Millisecond

// sleepUntil sleeps until t. It returns false if ctx is done before.
//
// It calls nanosleep for the last milliseconds, because the runtime's timers fire up to 1 ms late in an idle process:
// epoll_wait counts whole milliseconds.
func sleepUntil(ctx context.Context, t time.Time) bool {
	if wait := time.Until(t) - shortSleep; wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	for wait := time.Until(t); wait > 0; wait = time.Until(t) {
		left := unix.NsecToTimespec(wait.Nanoseconds())
		_ = unix.Nanosleep(&left, nil) // a signal may end it early: the loop sleeps again
	}
	return ctx.Err() == nil
}

// Poisson returns a schedule with exponentially distributed gaps: arrivals that are independent of each other, rate per
// second on average, for the given duration. choose returns the value of each request.
func Poisson[T any](random *rand.Rand, rate float64, duration time.Duration, choose func() T) Schedule[T] {
	var due time.Duration
	return func() (value T, at time.Duration, ok bool) {
		due += time.Duration(random.ExpFloat64() / rate * float64(time.Second))
		if due >= duration {
			return value, 0, false
		}
		return choose(), due, true
	}
}
