// Package logqueue keeps the service's log from blocking its requests. A Queue stands between slog and a slow or broken
// place, such as standard error or a file. Audit adds the rules for audit records. File is a log file that can be rotated.
//
//	slog ──Write──▶ Queue (bounded, in memory) ──one goroutine──▶ standard error, or a File
//
// Invariants:
//
//  1. No method that a request calls waits for the place that lines are written to.
//  2. A Queue keeps at most Config.Bytes, and what was reserved. A line beyond that is dropped and counted, and the log later
//     says how many were dropped.
//  3. Lines stay in the queue, in their order, until a write has succeeded. A failed write is counted and tried again.
//  4. A reserved line always has room. A caller that reserves before it acts never acts without a record.
//
// A write that fails may have written a part. Then the line that was cut is written again, whole, on a line of its own. If
// the place has taken more than it says, lines are there twice.
//
// The package does not defend against the end of the process or of the machine: a process that is killed loses the lines
// that are in the queue, and a machine that stops loses what its kernel has not yet written to the disk.
package logqueue

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/panics"
)

const (
	// reservation is the room in bytes that is reserved for a line before its length is known. Lines may be longer.
	reservation = 1 << 10
	// chunkBytes is the size of one write, unless a single line is longer.
	chunkBytes = 32 << 10
	// keptBytes is the largest buffer that is kept for the next lines.
	keptBytes = 1 << 20
	// retryPause is the default of Config.Retry.
	retryPause = 250 * time.Millisecond
)

// errFull is the error of Write for a line that was dropped.
var errFull = errors.New("the log queue is full; the line was dropped")

// Config configures a Queue. Log and Retry have defaults; all other fields are required.
type Config struct {
	// Name is the name of the log in reports.
	Name string
	// To is written to by one goroutine, in whole lines, several at once.
	To io.Writer
	// Bytes is the largest size of the queue.
	Bytes int
	// Retry is the pause after a failed write. Default: 250 ms.
	Retry time.Duration
	Now   func() time.Time
	// Dropped counts lines, Failures failed writes.
	Dropped, Failures prometheus.Counter
	// Log receives reports of failed writes. Default: the queue itself.
	Log *slog.Logger
}

// Queue is a bounded queue of lines, with one goroutine that writes them. Its methods are safe for concurrent use.
type Queue struct {
	config  Config
	self    *slog.Logger       // writes to the queue, even if it is full
	wake    chan struct{}      // has capacity 1; receives when there is something to do
	ended   chan struct{}      // closed when the goroutine has ended
	abandon context.Context    // ends when the goroutine is to end, even with lines left
	giveUp  context.CancelFunc // ends abandon
	writer  writer             // belongs to the goroutine

	mu       sync.Mutex // guards the fields below
	waiting  lines      // not yet taken by the goroutine
	writing  lines      // taken; text is nil, because the goroutine owns it
	reserved int        // bytes
	dropped  int64      // lines, since the last report
	closed   bool
}

// lines are whole lines in the order of their arrival.
type lines struct {
	text  []byte
	bytes int
	count int
	since time.Time // arrival of the first line
}

// New returns a Queue. It keeps lines until Start is called.
func New(c Config) *Queue {
	if c.Retry == 0 {
		c.Retry = retryPause
	}
	q := &Queue{config: c, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	q.abandon, q.giveUp = context.WithCancel(context.Background())
	q.self = slog.New(slog.NewJSONHandler(forced{q}, nil))
	if q.config.Log == nil {
		q.config.Log = q.self
	}
	q.writer.q = q
	return q
}

// Start starts the goroutine that writes. It must be called once. A panic counts as a failed write.
func (q *Queue) Start(p *panics.Recorder) {
	q.writer.panics = p
	go func() {
		defer p.Recover(panics.Log, nil)
		defer close(q.ended)
		p.Loop(q.abandon, panics.Log, func(context.Context) { q.writer.run() })
	}()
}

// Write adds one line. It never waits: if the queue is full, it drops and counts the line.
func (q *Queue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used()+len(line) > q.config.Bytes {
		q.drop()
		return 0, errFull
	}
	q.add(line)
	return len(line), nil
}

// forced adds lines even if the queue is full.
type forced struct{ q *Queue }

func (f forced) Write(line []byte) (int, error) {
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	f.q.add(line)
	return len(line), nil
}

// reserve reserves room for one line, if the queue then has at most limit bytes. The caller must then call writeReserved or
// release, once.
func (q *Queue) reserve(limit int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used()+reservation > limit {
		return false
	}
	q.reserved += reservation
	return true
}

// release gives back the room of one line.
func (q *Queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reserved -= reservation
}

// countDropped counts a line that was dropped before it was made.
func (q *Queue) countDropped() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop()
}

// reservedWriter adds lines whose room was reserved.
type reservedWriter struct{ q *Queue }

func (w reservedWriter) Write(line []byte) (int, error) {
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	w.q.reserved -= reservation
	w.q.add(line)
	return len(line), nil
}

// used returns the bytes in the queue. The caller holds mu.
func (q *Queue) used() int { return q.waiting.bytes + q.writing.bytes + q.reserved }

// drop counts a dropped line. The caller holds mu.
func (q *Queue) drop() {
	q.dropped++
	q.config.Dropped.Inc()
}

// add adds a line. The caller holds mu.
func (q *Queue) add(line []byte) {
	if q.waiting.count == 0 {
		q.waiting.since = q.config.Now()
	}
	q.waiting.text = append(q.waiting.text, line...)
	q.waiting.bytes += len(line)
	q.waiting.count++
	q.notify()
}

func (q *Queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default: // the goroutine has not yet seen the last one
	}
}

// Unwritten returns the number of lines that are not yet written, and how long the first of them has waited.
func (q *Queue) Unwritten() (count int, age time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := q.waiting
	if q.writing.count > 0 {
		first = q.writing
	}
	if first.count == 0 {
		return 0, 0
	}
	return q.waiting.count + q.writing.count, q.config.Now().Sub(first.since)
}

// isFull reports whether there is no room to reserve.
func (q *Queue) isFull() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used()+reservation > q.config.Bytes
}

// Close writes what is in the queue, for at most timeout, and ends the goroutine. It returns the number of lines that could
// not be written.
func (q *Queue) Close(timeout time.Duration) (lost int) {
	q.mu.Lock()
	q.closed = true
	q.notify()
	q.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-q.ended:
	case <-timer.C:
		q.giveUp()
	}
	lost, _ = q.Unwritten()
	return lost
}

// take waits for lines and returns them. spare is where the next lines may be kept. It returns false after Close.
func (q *Queue) take(spare []byte) (text []byte, ok bool) {
	for {
		q.mu.Lock()
		if q.waiting.count > 0 {
			defer q.mu.Unlock()
			text = q.waiting.text
			q.writing, q.waiting = q.waiting, lines{text: spare}
			q.writing.text = nil
			return text, true
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return nil, false
		}
		<-q.wake
	}
}

// written removes lines that are written, and reports how many were dropped since the last report.
func (q *Queue) written(text []byte) {
	q.mu.Lock()
	dropped := q.dropped
	q.mu.Unlock()
	if dropped > 0 {
		q.self.Warn("records were dropped because the log could not be written for a time", "log", q.config.Name, "dropped", dropped)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped -= dropped
	q.writing.bytes -= len(text)
	q.writing.count -= bytes.Count(text, newline)
}

var newline = []byte("\n")

// writer is the state of a Queue's goroutine.
type writer struct {
	q       *Queue
	panics  *panics.Recorder
	text    []byte // whole lines that are to be written; kept after a panic
	spare   []byte // an empty buffer, or nil
	failing bool   // the last write failed
	cut     bool   // the last thing written is a part of a line
}

// run writes lines until Close.
func (w *writer) run() {
	for {
		if len(w.text) == 0 {
			text, ok := w.q.take(w.spare)
			if !ok {
				return
			}
			w.text, w.spare = text, nil
		}
		buffer := w.text[:0]
		if !w.writeAll() {
			return
		}
		if cap(buffer) <= keptBytes {
			w.spare = buffer
		}
	}
}

// writeAll writes w.text. It returns false if Close has given up before.
func (w *writer) writeAll() bool {
	for len(w.text) > 0 {
		n, err := w.write(firstLines(w.text))
		done := w.text[:bytes.LastIndexByte(w.text[:n], '\n')+1]
		w.cut = w.cut || n > len(done)
		w.report(err)
		if len(done) > 0 {
			w.q.written(done)
			w.text = w.text[len(done):]
		}
		if err != nil && !w.pause() {
			return false
		}
	}
	return true
}

// write writes once. After a part of a line, it begins a new line first.
func (w *writer) write(text []byte) (n int, err error) {
	defer w.panics.Recover(panics.Log, &err)
	if w.cut {
		if _, err := w.q.config.To.Write(newline); err != nil {
			return 0, err
		}
		w.cut = false
	}
	n, err = w.q.config.To.Write(text)
	n = max(0, min(n, len(text)))
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	return n, err
}

// firstLines returns whole lines from the beginning of text: as many as chunkBytes has room for, but at least one.
func firstLines(text []byte) []byte {
	if len(text) <= chunkBytes {
		return text
	}
	if end := bytes.LastIndexByte(text[:chunkBytes], '\n'); end >= 0 {
		return text[:end+1]
	}
	return text[:bytes.IndexByte(text, '\n')+1]
}

// report counts a failed write, and logs when writes begin to fail and when they succeed again.
func (w *writer) report(err error) {
	c := w.q.config
	if err != nil {
		c.Failures.Inc()
	}
	switch {
	case err != nil && !w.failing:
		c.Log.Error("a log cannot be written; its records wait in memory, and the service tries again", "log", c.Name, "error", err.Error())
	case err == nil && w.failing:
		c.Log.Warn("a log can be written again", "log", c.Name)
	}
	w.failing = err != nil
}

// pause waits before the next attempt. It returns false if there is to be none.
func (w *writer) pause() bool {
	timer := time.NewTimer(w.q.config.Retry)
	defer timer.Stop()
	select {
	case <-w.q.abandon.Done():
		return false
	case <-timer.C:
		return true
	}
}
