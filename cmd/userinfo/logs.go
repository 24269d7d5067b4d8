package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/api"
	"userinfo/internal/config"
	"userinfo/internal/field"
	"userinfo/internal/logqueue"
	"userinfo/internal/panics"
)

// Sizes of the queues in bytes. A record of a request has about 300 bytes, an audit record 500.
const (
	logQueueBytes   = 8 << 20
	auditQueueBytes = 4 << 20
)

// flushTimeout is how long each queue may take to be written at the end.
const flushTimeout = time.Second

// logs are the places that the service logs to. Nothing that writes to them waits for a slow place.
type logs struct {
	*slog.Logger
	standard *logqueue.Queue // to standard error
	audit    *logqueue.Audit
	file     *logqueue.File // of audit records; nil if they go to standard error
	panics   *panics.Recorder
}

// openLogs opens the audit file, if there is one, and returns logs that write to stderr. Each error is a *field.Error.
func openLogs(c *config.Config, stderr io.Writer, registry prometheus.Registerer) (*logs, error) {
	l := new(logs)
	if c.Audit.File != "" {
		var err error
		if l.file, err = logqueue.OpenFile(c.Audit.File); err != nil {
			return nil, &field.Error{Path: "audit.file", Err: err}
		}
	}
	dropped := prometheus.NewCounter(prometheus.CounterOpts{Name: "userinfo_log_dropped_total",
		Help: "Log records dropped because standard error was blocked or broken and the queue was full."})
	failures := prometheus.NewCounter(prometheus.CounterOpts{Name: "userinfo_log_write_failures_total",
		Help: "Failed attempts to write the log to standard error."})
	registry.MustRegister(dropped, failures)
	l.standard = logqueue.New(logqueue.Config{
		Name: "standard error", To: stderr, Bytes: logQueueBytes, Now: time.Now, Dropped: dropped, Failures: failures,
	})
	l.Logger = slog.New(api.LogHandler(slog.NewJSONHandler(l.standard, &slog.HandlerOptions{Level: c.Level()})))
	l.panics = panics.NewRecorder(registry, l.Logger)
	l.standard.Start(l.panics)
	audit := logqueue.AuditConfig{
		To: stderr, Bytes: auditQueueBytes, Patience: c.Audit.Patience, Required: *c.Audit.Required,
		Now: time.Now, Registry: registry, Panics: l.panics, Log: l.Logger,
	}
	if l.file != nil {
		audit.To, audit.Copy = l.file, l.standard
	}
	l.audit = logqueue.NewAudit(audit)
	return l, nil
}

// ignoreBrokenPipe makes a write to a closed standard error fail, instead of ending the process. A write to a file beyond the
// limit of its size fails too.
func ignoreBrokenPipe() { signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) }

// reopenOnHangup opens the audit file again on each SIGHUP, until ctx ends or stop is called.
func (s *service) reopenOnHangup(ctx context.Context) (stop func()) {
	if s.logs.file == nil {
		return func() {}
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return s.inBackground(ctx, panics.Log, func(ctx context.Context) {
		for {
			select {
			case <-ctx.Done():
				signal.Stop(hangup)
				return
			case <-hangup:
				s.logs.reopen()
			}
		}
	})
}

func (l *logs) reopen() {
	if err := l.file.Reopen(); err != nil {
		l.Error("the audit file cannot be opened again; records still go to the old one", "error", err.Error())
		return
	}
	l.Info("SIGHUP: opened the audit file again")
}

// close writes what is queued, for a bounded time. It returns an error if audit records are lost, after it has tried to say
// so on standard error.
func (l *logs) close() error {
	lost := l.audit.Close(flushTimeout)
	if lost > 0 {
		l.Error("audit records are lost: they could not be written before the end", "records", lost)
	}
	l.standard.Close(flushTimeout)
	if lost > 0 {
		return fmt.Errorf("%d audit records are lost: %w", lost, errSilent)
	}
	return nil
}

// closeLogs closes the logs in a deferred call, and adds its error to *err.
func (l *logs) closeLogs(err *error) {
	if e := l.close(); e != nil {
		*err = failed(errors.Join(*err, e))
	}
}
