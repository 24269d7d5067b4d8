package openloop

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// every returns n requests with the values 0, 1, 2, …, one each gap.
func every(gap time.Duration, n int) Schedule[int] {
	i := -1
	return func() (int, time.Duration, bool) {
		i++
		return i, time.Duration(i) * gap, i < n
	}
}

func TestRun_CallsEachRequestOnceInOrder(t *testing.T) {
	var got []int
	Run(t.Context(), 1, every(100*time.Microsecond, 50), func(r Request[int]) { got = append(got, r.Value) })
	want := make([]int, 50)
	for i := range want {
		want[i] = i
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestRun_NeverCallsBeforeDue(t *testing.T) {
	Run(t.Context(), 4, every(time.Millisecond, 20), func(r Request[int]) {
		if early := time.Until(r.Due); early > 0 {
			t.Errorf("request %d started %v before it was due", r.Value, early)
		}
	})
}

func TestRun_KeepsScheduleWhenCallIsSlow(t *testing.T) {
	const gap = time.Millisecond
	var first time.Time
	release := make(chan struct{})
	Run(t.Context(), 1, every(gap, 10), func(r Request[int]) {
		switch r.Value {
		case 0:
			first = r.Due
			time.AfterFunc(50*time.Millisecond, func() { close(release) })
			<-release
		default:
			if r.Due.Sub(first) != time.Duration(r.Value)*gap {
				t.Errorf("request %d was due %v after the first", r.Value, r.Due.Sub(first))
			}
			if latency := time.Since(r.Due); latency < 40*time.Millisecond {
				t.Errorf("the latency of request %d is %v: the wait for the worker is missing", r.Value, latency)
			}
		}
	})
}

func TestRun_LateExcludesWaitForWorker(t *testing.T) {
	var free time.Time // just before the worker is free
	Run(t.Context(), 1, every(time.Microsecond, 2), func(r Request[int]) {
		if r.Value == 0 {
			for time.Since(r.Due) < 50*time.Millisecond {
			}
			free = time.Now()
		} else if late := time.Since(free); r.Late > late {
			t.Errorf("Late is %v, though the worker is free since %v", r.Late, late)
		}
	})
}

func TestRun_UsesAllWorkers(t *testing.T) {
	const workers = 8
	var all sync.WaitGroup // all workers must be in a call at the same time
	all.Add(workers)
	seen := make([]bool, workers)
	Run(t.Context(), workers, every(0, workers), func(r Request[int]) {
		seen[r.Worker] = true
		all.Done()
		all.Wait()
	})
	if slices.Contains(seen, false) {
		t.Errorf("workers used: %v", seen)
	}
}

func TestRun_EndsWithContext(t *testing.T) {
	for name, schedule := range map[string]Schedule[int]{
		"while it sleeps":          every(time.Hour, 2),
		"while the worker is busy": every(0, 1000),
		"in an endless schedule":   every(time.Microsecond, 1<<40),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			Run(ctx, 1, schedule, func(Request[int]) { cancel() })
		})
	}
}

func TestPoisson_KeepsRate(t *testing.T) {
	next := Poisson(rand.New(rand.NewPCG(1, 2)), 1000, 20*time.Second, func() int { return 0 })
	n, last := 0, time.Duration(0)
	for _, due, ok := next(); ok; _, due, ok = next() {
		if due < last {
			t.Fatalf("request %d is due before the previous one", n)
		}
		n, last = n+1, due
	}
	if n < 19_000 || n > 21_000 {
		t.Errorf("%d requests in 20 s at 1000/s", n)
	}
}
