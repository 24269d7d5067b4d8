package logqueue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/internal/panics"
)

// patience is how long a test waits for an event that must happen.
const patience = 20 * time.Second

// place is where a queue writes. A test makes it block or fail.
type place struct {
	mu     sync.Mutex
	text   bytes.Buffer
	fail   func(p []byte) (n int, err error) // nil: the write succeeds
	writes int
	open   chan struct{} // a write waits until it is closed; nil: it does not wait
}

func (w *place) Write(p []byte) (int, error) {
	w.mu.Lock()
	open := w.open
	w.mu.Unlock()
	if open != nil {
		<-open
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	if w.fail == nil {
		return w.text.Write(p)
	}
	n, err := w.fail(p) // may panic
	w.text.Write(p[:max(0, min(n, len(p)))])
	return n, err
}

func (w *place) failWith(fail func([]byte) (int, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = fail
}

func (w *place) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Split(strings.TrimSuffix(w.text.String(), "\n"), "\n")
}

// failing returns a function for place.fail that writes n bytes and fails.
func failing(n int, err error) func([]byte) (int, error) {
	return func([]byte) (int, error) { return n, err }
}

// blocked returns a place whose writes wait until release is called.
func blocked() (w *place, release func()) {
	w = &place{open: make(chan struct{})}
	return w, sync.OnceFunc(func() { close(w.open) })
}

// clock is a clock that the test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newQueue returns a queue of at most size bytes that is closed at the end of the test.
func newQueue(t *testing.T, to io.Writer, size int) *Queue {
	t.Helper()
	q := New(Config{
		Name: "test", To: to, Bytes: size, Retry: time.Millisecond, Now: time.Now,
		Dropped:  prometheus.NewCounter(prometheus.CounterOpts{Name: "dropped"}),
		Failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "failures"}),
	})
	q.Start(panics.NewRecorder(prometheus.NewRegistry(), slog.New(slog.DiscardHandler)))
	t.Cleanup(func() { q.Close(0) })
	return q
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v, this has not happened: %s", patience, what)
		}
	}
}

func awaitWritten(t *testing.T, q *Queue) {
	t.Helper()
	eventually(t, "everything is written", func() bool { n, _ := q.Unwritten(); return n == 0 })
}

func addLines(q *Queue, from, to int) (dropped int) {
	for i := from; i < to; i++ {
		if _, err := fmt.Fprintf(q, "line %06d\n", i); err != nil {
			dropped++
		}
	}
	return dropped
}

func TestQueue_WritesLinesInOrder(t *testing.T) {
	to := new(place)
	q := newQueue(t, to, 1<<20)
	if n := addLines(q, 0, 10_000); n != 0 {
		t.Fatalf("%d lines were dropped", n)
	}
	if lost := q.Close(patience); lost != 0 {
		t.Errorf("%d lines are lost", lost)
	}
	got := to.lines()
	if len(got) != 10_000 || !slices.IsSorted(got) || got[9999] != "line 009999" {
		t.Errorf("%d lines, the last is %q", len(got), got[len(got)-1])
	}
}

func TestQueue_NeverWaitsAndSaysHowManyWereDropped(t *testing.T) {
	to, release := blocked()
	defer release()
	q := newQueue(t, to, 10_000)
	dropped := addLines(q, 0, 2_000) // 12 bytes each
	if want := 2000 - 10_000/12; dropped != want || testutil.ToFloat64(q.config.Dropped) != float64(want) {
		t.Errorf("%d dropped, counted %v; want %d", dropped, testutil.ToFloat64(q.config.Dropped), want)
	}
	release()
	awaitWritten(t, q)
	got := to.lines()
	if len(got) != 10_000/12+1 || !strings.Contains(got[len(got)-1], fmt.Sprintf(`"log":"test","dropped":%d`, dropped)) {
		t.Errorf("%d lines, the last is %s", len(got), got[len(got)-1])
	}
	if n := addLines(q, 0, 10); n != 0 {
		t.Errorf("%d lines were dropped after the queue was written", n)
	}
}

func TestQueue_ReservedLineAlwaysHasRoom(t *testing.T) {
	to, release := blocked()
	defer release()
	q := newQueue(t, to, 10*reservation)
	for i := range 10 {
		if !q.reserve(10 * reservation) {
			t.Fatalf("no room for reservation %d", i)
		}
	}
	if q.reserve(10*reservation) || addLines(q, 0, 1) != 1 {
		t.Error("the reserved room was given away")
	}
	q.release()
	for range 9 {
		_, _ = reservedWriter{q}.Write([]byte(strings.Repeat("r", 2*reservation) + "\n")) // longer than what was reserved
	}
	if n, _ := q.Unwritten(); n != 9 {
		t.Errorf("%d reserved lines in the queue; want 9", n)
	}
	release()
	awaitWritten(t, q)
	if q.used() != 0 || testutil.ToFloat64(q.config.Dropped) != 1 {
		t.Errorf("%d bytes are still used, %v lines were dropped", q.used(), testutil.ToFloat64(q.config.Dropped))
	}
}

func TestQueue_FailedWriteIsTriedAgain(t *testing.T) {
	for name, fail := range map[string]func([]byte) (int, error){
		"broken pipe":          failing(0, syscall.EPIPE),
		"disk full":            failing(0, syscall.ENOSPC),
		"would block":          failing(0, syscall.EAGAIN),
		"short, without error": failing(0, nil),
		"negative":             failing(-1, syscall.EIO),
		"panic":                func([]byte) (int, error) { panic("a fault") },
	} {
		to, release := blocked() // until all lines are in the queue, so that no report comes between them
		to.failWith(fail)
		q := newQueue(t, to, 1<<20)
		addLines(q, 0, 3)
		release()
		eventually(t, "some failures", func() bool { return testutil.ToFloat64(q.config.Failures) >= 3 })
		to.failWith(nil)
		awaitWritten(t, q)
		text := strings.Join(to.lines(), "\n")
		for _, want := range []string{"line 000000\nline 000001\nline 000002", `"msg":"a log cannot be written`, `"msg":"a log can be written again"`} {
			if strings.Count(text, want) != 1 {
				t.Errorf("%s: want once %q in:\n%s", name, want, text)
			}
		}
	}
}

// TestQueue_FailedButApplied has a place that fails after it has written a part, or everything.
func TestQueue_FailedButApplied(t *testing.T) {
	for _, test := range []struct {
		name string
		fail func([]byte) (int, error)
		want []string
	}{
		{"a line and a half", failing(18, syscall.ENOSPC), []string{"line 000000", "line 0", "line 000001", "line 000002"}},
		{"exactly one line", failing(12, syscall.ENOSPC), []string{"line 000000", "line 000001", "line 000002"}},
		{"all but the end of the last line", failing(35, syscall.ENOSPC), []string{"line 000000", "line 000001", "line 000002", "line 000002"}},
		{"everything", failing(36, syscall.EIO), []string{"line 000000", "line 000001", "line 000002"}},
		{"more than it was given", failing(99, syscall.EIO), []string{"line 000000", "line 000001", "line 000002"}},
	} {
		to, release := blocked()
		q := newQueue(t, to, 1<<20)
		q.config.Log = slog.New(slog.DiscardHandler)
		failed := false
		to.failWith(func(p []byte) (int, error) {
			if failed || len(p) != 36 {
				return len(p), nil
			}
			failed = true
			return test.fail(p)
		})
		_, _ = io.WriteString(q, "first\n")
		eventually(t, "the goroutine waits in a write", func() bool { q.mu.Lock(); defer q.mu.Unlock(); return q.writing.count == 1 })
		addLines(q, 0, 3) // so that they are in one write
		release()
		awaitWritten(t, q)
		if got := to.lines()[1:]; !failed || !slices.Equal(got, test.want) {
			t.Errorf("%s: %q; want %q", test.name, got, test.want)
		}
	}
}

func TestQueue_WritesInChunksOfWholeLines(t *testing.T) {
	to, release := blocked()
	q := newQueue(t, to, 4<<20)
	addLines(q, 0, 20_000)
	_, _ = q.Write([]byte(strings.Repeat("x", 3*chunkBytes) + "\n"))
	addLines(q, 20_000, 20_010)
	to.mu.Lock()
	to.fail = func(p []byte) (int, error) {
		if len(p) > chunkBytes && p[0] != 'x' || p[len(p)-1] != '\n' {
			t.Errorf("a write of %d bytes", len(p))
		}
		return len(p), nil
	}
	to.mu.Unlock()
	release()
	awaitWritten(t, q)
	if n := len(to.lines()); n != 20_011 {
		t.Errorf("%d lines", n)
	}
}

func TestQueue_CloseIsBounded(t *testing.T) {
	to, release := blocked()
	defer release()
	q := newQueue(t, to, 1<<20)
	addLines(q, 0, 7)
	if lost := q.Close(10 * time.Millisecond); lost != 7 {
		t.Errorf("%d lines are lost; want 7", lost)
	}
	broken := newQueue(t, &place{fail: failing(0, syscall.EPIPE)}, 1<<20)
	addLines(broken, 0, 7)
	lost := broken.Close(10 * time.Millisecond)
	if lost < 7 { // and the report of the failure
		t.Errorf("%d lines are lost; want at least 7", lost)
	}
	<-broken.ended // it does not go on trying
}

func TestQueue_AgeIsThatOfFirstLine(t *testing.T) {
	now := &clock{now: time.Unix(1000, 0)}
	to, release := blocked()
	defer release()
	q := newQueue(t, to, 1<<20)
	q.config.Now = now.Now
	if n, age := q.Unwritten(); n != 0 || age != 0 {
		t.Errorf("empty: %d lines, %v", n, age)
	}
	addLines(q, 0, 1)
	now.advance(3 * time.Second)
	addLines(q, 1, 2)
	now.advance(2 * time.Second)
	if n, age := q.Unwritten(); n != 2 || age != 5*time.Second {
		t.Errorf("%d lines, %v; want 2 lines, the first 5 s old", n, age)
	}
	release()
	awaitWritten(t, q)
	if n, age := q.Unwritten(); n != 0 || age != 0 {
		t.Errorf("written: %d lines, %v", n, age)
	}
}

func TestQueue_ConcurrentUse(t *testing.T) {
	to := new(place)
	q := newQueue(t, to, 64<<20)
	log := slog.New(slog.NewJSONHandler(q, nil))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				log.Info("line", "i", i)
				if q.reserve(q.config.Bytes) {
					q.release()
				}
			}
		})
	}
	all.Wait()
	if lost := q.Close(patience); lost != 0 {
		t.Fatalf("%d lines are lost", lost)
	}
	for _, line := range to.lines() {
		if !json.Valid([]byte(line)) {
			t.Fatalf("a broken line: %q", line)
		}
	}
	if n := len(to.lines()); n != 8000 {
		t.Errorf("%d lines", n)
	}
}

func TestQueue_AllocatesNothingPerLine(t *testing.T) {
	q := newQueue(t, io.Discard, 64<<20)
	line := []byte(strings.Repeat("x", 300) + "\n")
	if n := testing.AllocsPerRun(10_000, func() { _, _ = q.Write(line) }); n >= 1 {
		t.Errorf("%v allocations per line", n)
	}
}

var errPlace = errors.New("the place is broken")

// BenchmarkQueue_Write compares a line through the queue with a line written at once, as before. Both go to a pipe that is
// read.
func BenchmarkQueue_Write(b *testing.B) {
	line := []byte(strings.Repeat("x", 500) + "\n")
	run := func(name string, open func(b *testing.B) io.Writer) {
		b.Run(name, func(b *testing.B) {
			w := open(b)
			for b.Loop() {
				_, _ = w.Write(line)
			}
		})
	}
	run("direct", func(b *testing.B) io.Writer { return readPipe(b) })
	run("queue", func(b *testing.B) io.Writer {
		q := New(Config{Name: "bench", To: readPipe(b), Bytes: 8 << 20, Now: time.Now,
			Dropped: prometheus.NewCounter(prometheus.CounterOpts{}), Failures: prometheus.NewCounter(prometheus.CounterOpts{})})
		q.Start(nil)
		b.Cleanup(func() { q.Close(patience) })
		return q
	})
}
