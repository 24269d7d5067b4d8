package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Loading says how a data set is loaded.
type Loading struct {
	TTL         int       // seconds, of each value; 0 is the target's default. Workloads must set with the same
	Concurrency int       // connections; 32 where it is 0
	Progress    io.Writer // nil: none
	Terminal    bool      // Progress rewrites one line; otherwise there is a line every ten seconds
}

// window bounds how far one loader is ahead of another: what lies further behind the first value that is missing is there.
const window = 4096

// tries of a value are a second apart: a target may restart meanwhile.
const tries = 30

// Load sets the values of data that are not there yet, which it takes to be its end (see Present), and returns how many.
// One that is refused, or cannot be set in half a minute, ends it with the reason; called again, it goes on from there.
func Load(ctx context.Context, d Dialer, data Dataset, l Loading) (set int, err error) {
	if l.Concurrency == 0 {
		l.Concurrency = 32
	}
	if data.Values < 1 || data.ValueBytes < 1 || l.Concurrency < 1 || l.TTL < 0 {
		return 0, fmt.Errorf("loading %d values of %d bytes with a TTL of %d s over %d connections: there must be something of each, or no TTL",
			data.Values, data.ValueBytes, l.TTL, l.Concurrency)
	}
	there, err := Present(ctx, d, data)
	if err != nil {
		return 0, err
	}
	if there == data.Values {
		if l.Progress != nil {
			fmt.Fprintf(l.Progress, "all of %.1f MB is there already\n", float64(data.Values)*float64(data.ValueBytes)/1e6)
		}
		return 0, nil
	}
	from := max(there-window, 0) // some of the last may be missing: they were being set when a load was cut short
	w := newWalk(from, data.Values)
	bar := newProgress(l, data, from)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(ctx, w.stop)()
	var loaders sync.WaitGroup
	for range min(l.Concurrency, data.Values-from) {
		loaders.Go(func() {
			s := &slot{dialer: d}
			defer s.drop()
			for i, more := w.take(); more; i, more = w.take() {
				if err := s.load(ctx, data, i, l.TTL); err != nil {
					stop(err)
					return
				}
				w.done(i)
				bar.add()
			}
		})
	}
	loaders.Wait()
	bar.end()
	return w.finished(), context.Cause(ctx)
}

// load sets one value, trying for a while.
func (s *slot) load(ctx context.Context, data Dataset, i, ttl int) (err error) {
	for try := range tries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Second):
			}
		}
		s.op = Op{Method: Set, Key: data.Key(i), TTL: ttl}
		s.setValue(data, i)
		if err = s.ask(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if refused(err) {
			return fmt.Errorf("setting value %d of %d: %w", i+1, data.Values, err)
		}
	}
	return fmt.Errorf("setting value %d of %d, %d times: %w", i+1, data.Values, tries, err)
}

// refused tells whether an answer is one that asking again does not change.
func refused(err error) bool {
	var f Failure
	return errors.As(err, &f) && strings.HasPrefix(string(f), "4") && f != "408" && f != "429"
}

// Present is how many values of data are there, from its beginning. It takes for granted that what is there is a prefix,
// which holds for what Load has loaded and no TTL has ended: then a few gets tell, of whatever size it is. TTLs end first
// where a load began, which bisection passes over: so the first value is asked for, too, and without it nothing is there.
func Present(ctx context.Context, d Dialer, data Dataset) (int, error) {
	s := &slot{dialer: d}
	defer s.drop()
	if there, err := s.finds(ctx, data, 0); !there {
		return 0, err
	}
	low, high := 1, data.Values // the answer is one of low to high
	for low < high {
		middle := (low + high + 1) / 2
		there, err := s.finds(ctx, data, middle-1)
		switch {
		case err != nil:
			return 0, err
		case there:
			low = middle
		default:
			high = middle - 1
		}
	}
	return low, nil
}

// finds asks whether a value is there. What is there in its place is an error: who answers so may take sets as well, and
// keep none.
func (s *slot) finds(ctx context.Context, data Dataset, i int) (bool, error) {
	s.op = Op{Method: Get, Key: data.Key(i), Length: data.ValueBytes}
	err := s.ask(ctx)
	if err != nil && !errors.Is(err, NotFound) {
		return false, fmt.Errorf("asking whether value %d of %d, of %d bytes, is there: %w", i+1, data.Values, data.ValueBytes, err)
	}
	return err == nil, nil
}

// walk deals out indices in order, none more than window beyond the first that is not done.
type walk struct {
	mu          sync.Mutex
	moved       sync.Cond // first has, or stopped
	first, next int
	from, end   int
	ahead       map[int]bool // done, beyond first
	stopped     bool
}

func newWalk(from, end int) *walk {
	w := &walk{first: from, next: from, from: from, end: end, ahead: map[int]bool{}}
	w.moved.L = &w.mu
	return w
}

func (w *walk) take() (i int, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.stopped && w.next < w.end && w.next-w.first >= window {
		w.moved.Wait()
	}
	if w.stopped || w.next >= w.end {
		return 0, false
	}
	w.next++
	return w.next - 1, true
}

func (w *walk) done(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead[i] = true
	for w.ahead[w.first] {
		delete(w.ahead, w.first)
		w.first++
		w.moved.Broadcast()
	}
}

func (w *walk) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.moved.Broadcast()
}

// finished is how many are done.
func (w *walk) finished() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first - w.from + len(w.ahead)
}
