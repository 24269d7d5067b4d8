package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/access"
)

const mega = 1 << 20

// queueBytes is the limit of a largeQueue.
const queueBytes = 4 * mega

// largeQueue is LargeValues whose operations the test ends one by one.
type largeQueue struct {
	*LargeValues
	t *testing.T

	mu     sync.Mutex  // guards the fields below while goroutines run
	inside []operation // in the order in which they were let in
	failed []error
}

type operation struct {
	name string
	done func()
}

func newLargeQueue(t *testing.T) *largeQueue {
	return &largeQueue{LargeValues: NewLargeValues(queueBytes, NewMetrics(prometheus.NewRegistry())), t: t}
}

// write begins a write in a goroutine.
func (q *largeQueue) write(ctx context.Context, client string, size int) {
	go func() {
		ctx, done, err := q.beginWrite(ctx, client, size)
		q.mu.Lock()
		defer q.mu.Unlock()
		if err != nil {
			q.failed = append(q.failed, err)
			return
		}
		if IsLarge(ctx) != (size >= LargeValue) {
			q.t.Errorf("%d bytes: IsLarge is %v", size, IsLarge(ctx))
		}
		q.inside = append(q.inside, operation{client, done})
	}()
	synctest.Wait()
}

// finish ends the operation that was let in first.
func (q *largeQueue) finish() {
	first := q.inside[0]
	q.inside = q.inside[1:]
	first.done()
	synctest.Wait()
}

// want checks which operations are let in and have not ended.
func (q *largeQueue) want(when string, names ...string) {
	q.t.Helper()
	var got []string
	for _, o := range q.inside {
		got = append(got, o.name)
	}
	if !slices.Equal(got, names) {
		q.t.Errorf("%s: let in are %v, want %v", when, got, names)
	}
}

// wantIdle ends all operations and checks that nothing is left.
func (q *largeQueue) wantIdle() {
	q.t.Helper()
	for len(q.inside) > 0 {
		q.finish()
	}
	if q.bytes != 0 || len(q.queue) != 0 || testutil.ToFloat64(q.inFlight) != 0 || testutil.ToFloat64(q.waiting) != 0 {
		q.t.Errorf("%d bytes in flight, %d clients in the queue; want none", q.bytes, len(q.queue))
	}
}

func TestLargeValues_LetInFewBytesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLargeQueue(t)
		for range 10 {
			q.write(t.Context(), "a", mega)
		}
		q.want("at first", "a", "a", "a", "a")
		if waiting, bytes := testutil.ToFloat64(q.waiting), testutil.ToFloat64(q.inFlight); waiting != 6 || bytes != queueBytes {
			t.Errorf("%v wait, %v bytes are in flight", waiting, bytes)
		}
		q.write(t.Context(), "b", LargeValue-1)
		q.want("a small value does not wait", "a", "a", "a", "a", "b")
		q.finish()
		q.want("one has ended", "a", "a", "a", "b", "a")
		q.wantIdle()
	})
}

func TestLargeValues_LetsInValueAboveTheLimitAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLargeQueue(t)
		q.write(t.Context(), "a", mega)
		q.write(t.Context(), "b", LargestValue)
		for range 3 {
			q.write(t.Context(), "c", LargeValue) // does not overtake the large one for ever
		}
		q.want("a large one waits", "a")
		q.finish()
		q.want("it is alone", "b")
		q.finish()
		q.want("then all others", "c", "c", "c")
		q.wantIdle()
	})
}

// TestLargeValues_ClientsTakeTurns is what one client with 512 sets in flight can do to another.
func TestLargeValues_ClientsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLargeQueue(t)
		for range 512 {
			q.write(t.Context(), "a", mega)
		}
		q.write(t.Context(), "b", mega)
		q.finish()
		q.want("the other client is next", "a", "a", "a", "b")
		for range 3 {
			q.write(t.Context(), "b", mega)
		}
		for range 4 {
			q.finish()
		}
		q.want("then they take turns", "a", "b", "a", "b")
		q.wantIdle()
	})
}

func TestLargeValues_TurnsAreFairByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLargeQueue(t)
		for range 8 {
			q.write(t.Context(), "big", queueBytes)
		}
		for range 1000 {
			q.write(t.Context(), "less big", queueBytes/4)
		}
		had := make(map[string]int)
		for range 20 {
			had[q.inside[0].name]++
			q.finish()
		}
		if had["big"] < 4 || had["less big"] < 4*(had["big"]-1) {
			t.Errorf("had turns: %v, want four of the small ones for each big one", had)
		}
		q.wantIdle()
	})
}

func TestLargeValues_IdleClientSavesNoTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLargeQueue(t)
		for range 100 {
			q.write(t.Context(), "a", mega)
			q.finish()
		}
		for range 20 {
			q.write(t.Context(), "a", mega)
			q.write(t.Context(), "b", mega)
		}
		for range 10 {
			q.finish()
		}
		had := make(map[string]int)
		for range 10 {
			had[q.inside[0].name]++
			q.finish()
		}
		if had["a"] != 5 {
			t.Errorf("had turns: %v, want five each", had)
		}
		q.wantIdle()
	})
}

func TestLargeValues_WaitEndsWithErrOverloaded(t *testing.T) {
	for name, c := range map[string]struct{ limit, want time.Duration }{
		"patience":           {time.Hour, largePatience},
		"the request's time": {time.Second, time.Second},
		"no time is left":    {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newLargeQueue(t)
				q.write(t.Context(), "a", LargestValue)
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				start := time.Now()
				_, _, err := q.beginWrite(ctx, "b", mega)
				if took := time.Since(start); !errors.Is(err, ErrOverloaded) || errors.Is(err, ErrUnavailable) || took != c.want {
					t.Errorf("got error %v after %v, want ErrOverloaded after %v", err, took, c.want)
				}
				q.want("nobody else was let in", "a")
				q.wantIdle()
			})
		})
	}
}

func TestLargeValues_ThoseBehindGoOnWhenOneGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLargeQueue(t)
		q.write(t.Context(), "a", mega)
		ctx, cancel := context.WithCancel(t.Context())
		q.write(ctx, "b", LargestValue)
		q.write(t.Context(), "b", mega)
		q.want("two wait", "a")
		cancel()
		synctest.Wait()
		q.want("the first of them has given up", "a", "b")
		if len(q.failed) != 1 {
			t.Errorf("%d failed, want 1", len(q.failed))
		}
		q.wantIdle()
	})
}

func TestLargeValues_ReadsWaitWhileTheClientHasLargeValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLargeQueue(t)
		// read reads a value, and checks whether a large one was expected.
		read := func(when, client string, size int, large bool) {
			t.Helper()
			ctx, done, err := q.beginRead(t.Context(), client)
			if err != nil || IsLarge(ctx) != large {
				t.Errorf("%s: client %s, a large value is expected: %v (error %v), want %v", when, client, IsLarge(ctx), err, large)
			}
			done(size)
		}
		read("at first", "a", mega, false)
		read("after a large value", "a", 1, true)
		for range 1000 {
			read("after a small one", "a", 1, true)
		}
		read("another client", "b", 1, false)
		time.Sleep(recentPeriod)
		read("after ten minutes", "a", 1, true)
		time.Sleep(recentPeriod)
		read("after twenty minutes", "a", 1, false)
		q.write(t.Context(), "b", mega)
		q.finish()
		read("after it has set a large value", "b", 1, true)
		q.wantIdle()
	})
}

func TestLargeValues_ReadsCountAsTheirAverage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLargeQueue(t)
		expect := func(when string, atLeast, atMost int) {
			t.Helper()
			if got, _ := q.expected("a"); got < atLeast || got > atMost {
				t.Errorf("%s: %d bytes are expected, want %d to %d", when, got, atLeast, atMost)
			}
		}
		read := func(size, times int) {
			for range times {
				_, done, err := q.beginRead(t.Context(), "a")
				if err != nil {
					t.Fatal(err)
				}
				done(size)
			}
		}
		expect("at first", 0, 0)
		q.write(t.Context(), "a", mega)
		expect("after a large set", mega, mega)
		read(1<<10, 1)
		expect("after a small get", 1<<10, 1<<10)
		read(mega, 1000)
		expect("after many large values", mega*9/10, mega)
		read(unknownSize, 1000)
		expect("after many that failed", mega*9/10, mega)
		read(1<<10, 1000)
		expect("after many small values", 1<<10, 2<<10)
		for range 10 {
			read(1<<10, 99)
			read(mega, 1)
		}
		expect("if one in 100 is large", mega/200, q.limit/100) // so that 100 run at once
		q.wantIdle()
	})
}

// stuckRows is a table whose operations on large values wait until their context ends.
type stuckRows struct{ Rows }

func (r stuckRows) Read(ctx context.Context, key access.Key) (Row, error) {
	if IsLarge(ctx) {
		<-ctx.Done()
		return Row{}, unavailable(ctx.Err())
	}
	return r.Rows.Read(ctx, key)
}

func (r stuckRows) Write(ctx context.Context, key access.Key, data []byte, timestamp int64, ttl time.Duration) error {
	if IsLarge(ctx) {
		<-ctx.Done()
		return unavailable(ctx.Err())
	}
	return r.Rows.Write(ctx, key, data, timestamp, ttl)
}

func TestCollection_SmallValuesDoNotWaitForLargeOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCollection(t, stuckRows{NewMemory(1<<20, time.Now)}, 0, 0)
		large, stop := context.WithTimeout(t.Context(), 2800*time.Millisecond)
		defer stop()
		results := make(chan error, 20)
		for range cap(results) {
			go func() {
				results <- c.Set(large, newCaller(t, access.Set, "large"), "large", make([]byte, mega), time.Hour)
			}()
		}
		synctest.Wait()
		start := time.Now()
		if err := c.Set(t.Context(), newCaller(t, access.Set, testKey), testKey, []byte("small"), time.Hour); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("a small set took %v", took)
		}
		got := make(map[string]int)
		for range cap(results) {
			err := <-results
			got[fmt.Sprintf("unavailable %v, overloaded %v", errors.Is(err, ErrUnavailable), errors.Is(err, ErrOverloaded))]++
		}
		if got["unavailable true, overloaded false"] != LargeBytes/mega || got["unavailable false, overloaded true"] != 20-LargeBytes/mega {
			t.Errorf("results of the large sets: %v", got)
		}
		if err := c.Delete(t.Context(), newCaller(t, access.Delete, testKey), testKey); err != nil {
			t.Errorf("a delete of a client whose values are large: %v", err)
		}
	})
}
