package tracing

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	// maxBatch is how many spans are sent at once.
	maxBatch = 512
	// batchDelay is how long the first span of a batch waits for others.
	batchDelay = time.Second
	// maxTries is how often a batch is sent if the collector does not take it. Meanwhile the queue fills.
	maxTries = 5
	// firstPause is the pause after the first failure. It doubles with each further one of the same batch.
	firstPause = time.Second
	// longestPause limits the pause that a collector can ask for.
	longestPause = 30 * time.Second
	// failureLogInterval is the shortest time between two log records about a collector that does not take spans.
	failureLogInterval = 5 * time.Minute
)

// ErrRefused means that the collector will not accept a batch, however often it is sent.
var ErrRefused = errors.New("the collector refuses the spans")

// busyError is the error of a collector that says when to try again.
type busyError struct {
	error
	after time.Duration
}

// export sends batches until the Tracer is closed and the queue is empty, or until ctx ends.
func (t *Tracer) export(ctx context.Context) {
	for {
		batch := t.nextBatch()
		if len(batch) == 0 {
			return
		}
		t.deliver(ctx, batch)
	}
}

// nextBatch waits for spans and returns up to maxBatch. While the Tracer is closing, it does not wait, and returns none if the
// queue is empty.
func (t *Tracer) nextBatch() []*Span {
	select {
	case s := <-t.queue:
		return t.fillBatch([]*Span{s})
	case <-t.stopping:
		return t.takeQueued(nil)
	}
}

// fillBatch adds spans until the batch is full or batchDelay is over.
func (t *Tracer) fillBatch(batch []*Span) []*Span {
	delay := time.NewTimer(batchDelay)
	defer delay.Stop()
	for len(batch) < maxBatch {
		select {
		case s := <-t.queue:
			batch = append(batch, s)
		case <-delay.C:
			return batch
		case <-t.stopping:
			return t.takeQueued(batch)
		}
	}
	return batch
}

// takeQueued adds what is in the queue to a batch, and does not wait.
func (t *Tracer) takeQueued(batch []*Span) []*Span {
	for len(batch) < maxBatch {
		select {
		case s := <-t.queue:
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}

// deliver sends a batch until the collector takes it. It gives up if the collector refuses it, after maxTries, and after one
// failure while the Tracer is closing.
func (t *Tracer) deliver(ctx context.Context, batch []*Span) {
	left := len(batch)
	defer func() { t.metrics.drop(dropFailed, left) }() // also if Send panics
	message, err := t.encode(batch)
	if err != nil { // impossible: see encode
		t.failures.record(err, left)
		return
	}
	pause := firstPause
	for try := 1; ; try++ {
		rejected, err := t.config.Send(ctx, message)
		if err == nil {
			rejected := int(min(max(rejected, 0), int64(left)))
			t.metrics.sent.Add(float64(left - rejected))
			t.metrics.drop(dropRejected, rejected)
			t.failures.end()
			left = 0
			return
		}
		if errors.Is(err, ErrRefused) || try == maxTries || t.closed.Load() {
			t.failures.record(err, left)
			return
		}
		t.failures.record(err, 0)
		t.wait(ctx, max(pause, askedPause(err)))
		pause *= 2
	}
}

// wait waits, or returns earlier when the Tracer is closing or ctx ends.
func (t *Tracer) wait(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.stopping:
	case <-ctx.Done():
	}
}

// askedPause returns the pause that the collector has asked for, at most longestPause.
func askedPause(err error) time.Duration {
	if busy, ok := errors.AsType[*busyError](err); ok {
		return min(busy.after, longestPause)
	}
	return 0
}

// failureLog logs that the collector does not take spans: the first failure, then at most one record in failureLogInterval, and
// the end. It belongs to the goroutine that sends.
type failureLog struct {
	log     *slog.Logger
	now     func() time.Time
	failing bool
	logged  time.Time // when a failure was logged last
	lost    int       // spans since then
}

// record records a failure by which a number of spans is lost.
func (f *failureLog) record(err error, lost int) {
	f.failing = true
	f.lost += lost
	if now := f.now(); f.logged.IsZero() || now.Sub(f.logged) >= failureLogInterval {
		f.log.Warn("the collector of traces does not take spans; requests are served as usual", "error", err.Error(), "lost", f.lost)
		f.logged, f.lost = now, 0
	}
}

// end records that the collector takes spans.
func (f *failureLog) end() {
	if !f.failing {
		return
	}
	f.failing = false
	if now := f.now(); f.lost == 0 && now.Sub(f.logged) < failureLogInterval {
		return // nothing was lost since the last record, so a collector that fails now and then does not fill the log
	}
	f.log.Info("the collector of traces takes spans again", "lost", f.lost)
	f.lost = 0
}
