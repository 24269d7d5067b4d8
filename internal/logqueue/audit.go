package logqueue

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/panics"
)

// Reasons why an audit record may not be written.
var (
	errStuck     = errors.New("audit records have waited for longer than audit.patience")
	errQueueFull = errors.New("the queue of audit records is full")
)

// AuditConfig configures an Audit. All fields are required, except Copy and Retry.
type AuditConfig struct {
	// To is where records must be written.
	To io.Writer
	// Copy receives a copy of each record. Its Write must not wait. A copy may be lost.
	Copy io.Writer
	// Bytes is the largest size of the queue. Refusals may fill half of it.
	Bytes int
	// Patience is how long the first record may wait before records count as unwritable.
	Patience time.Duration
	// Required makes Reserve fail, while records cannot be written. Otherwise records are dropped when the queue is full.
	Required bool
	Retry    time.Duration
	Now      func() time.Time
	Registry prometheus.Registerer
	Panics   *panics.Recorder
	// Log receives a message when records cannot be written, and when they can again.
	Log *slog.Logger
}

// Audit writes audit records through a queue of their own. Its methods never wait and are safe for concurrent use.
//
//	                       Required                  not Required
//	queue has room         record is kept            record is kept
//	waited > Patience      Reserve fails             record is kept
//	queue is full          Reserve fails             record is dropped and counted
type Audit struct {
	config      AuditConfig
	queue       *Queue
	records     *slog.Logger
	unavailable atomic.Bool // as logged last
	refused     prometheus.Counter
}

// NewAudit returns an Audit and registers its metrics.
func NewAudit(c AuditConfig) *Audit {
	counter := func(name, help string) prometheus.Counter {
		v := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		c.Registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string, value func() float64) {
		c.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	a := &Audit{config: c, refused: counter("userinfo_audit_refused_total",
		"Requests answered 503 audit-unavailable because their audit record could not be written.")}
	a.queue = New(Config{
		Name: "audit", To: c.To, Bytes: c.Bytes, Retry: c.Retry, Now: c.Now, Log: c.Log,
		Dropped:  counter("userinfo_audit_lost_total", "Audit records dropped because the queue was full. Only with audit.required: false."),
		Failures: counter("userinfo_audit_write_failures_total", "Failed attempts to write audit records."),
	})
	a.queue.Start(c.Panics)
	gauge("userinfo_audit_unavailable", "1 while audit records have waited for longer than audit.patience, or their queue is full.", func() float64 {
		if a.Check() != nil {
			return 1
		}
		return 0
	})
	gauge("userinfo_audit_unwritten_records", "Audit records that wait in memory to be written.", func() float64 {
		n, _ := a.queue.Unwritten()
		return float64(n)
	})
	gauge("userinfo_audit_oldest_unwritten_seconds", "How long the first audit record that is not yet written has waited, in seconds.", func() float64 {
		_, age := a.queue.Unwritten()
		return age.Seconds()
	})
	var to io.Writer = reservedWriter{a.queue}
	if c.Copy != nil {
		to = bothWriters{to, c.Copy}
	}
	a.records = slog.New(slog.NewJSONHandler(to, nil))
	return a
}

// bothWriters writes to both and returns the result of the first.
type bothWriters [2]io.Writer

func (w bothWriters) Write(line []byte) (int, error) {
	_, _ = w[1].Write(line)
	return w[0].Write(line)
}

// Check returns nil if records are written, or an error that says why they are not. It logs when records cannot be written,
// and when all are written again.
func (a *Audit) Check() (err error) {
	count, age := a.queue.Unwritten()
	switch {
	case age > a.config.Patience:
		err = errStuck
	case a.queue.isFull():
		err = errQueueFull
	}
	if err != nil && a.unavailable.CompareAndSwap(false, true) {
		a.config.Log.Error("audit records cannot be written", "required", a.config.Required, "cause", err.Error())
	}
	if count == 0 && a.unavailable.CompareAndSwap(true, false) {
		a.config.Log.Warn("audit records can be written again")
	}
	return err
}

// Reserve makes room for one record. It returns true if the caller must now call Record or Release, once. It returns an
// error if the request must not be served, because its record might be lost. It fails closed. Otherwise the record is
// dropped and counted. The records of refusals get half of the queue, so that they leave room for deletes.
func (a *Audit) Reserve(refusal bool) (reserved bool, err error) {
	limit := a.config.Bytes
	if refusal {
		limit /= 2
	}
	err = a.Check()
	if err == nil || !a.config.Required {
		if a.queue.reserve(limit) {
			return true, nil
		}
		err = errQueueFull
	}
	if a.config.Required {
		a.refused.Inc()
		return false, err
	}
	a.queue.countDropped()
	return false, nil
}

// Release gives back what Reserve has reserved.
func (a *Audit) Release() { a.queue.release() }

// Record writes a record in the room that Reserve has reserved.
func (a *Audit) Record(ctx context.Context, attrs ...slog.Attr) {
	a.records.LogAttrs(ctx, slog.LevelInfo, "audit", attrs...)
}

// Unwritten returns the number of records that are not yet written.
func (a *Audit) Unwritten() int {
	n, _ := a.queue.Unwritten()
	return n
}

// Close writes what is in the queue, for at most timeout. It returns the number of records that are lost.
func (a *Audit) Close(timeout time.Duration) (lost int) { return a.queue.Close(timeout) }
