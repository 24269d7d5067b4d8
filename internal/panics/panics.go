// Package panics keeps a panic in one goroutine from ending the process.
//
// A goroutine of the service begins with
//
//	defer recorder.Recover(panics.Store, &err)
//
// so that a panic becomes an error of the work that the goroutine does. A loop that must go on for ever runs in
// Recorder.Loop, which starts it again after a pause. internal/archtest checks that every goroutine and every timer of the
// service begins in this way.
//
// Invariants:
//
//  1. Every panic that is recovered is counted in userinfo_panics_total and logged as an error, with a stack.
//  2. The log contains no data of a request. The value of a panic is logged only if the Go runtime made it, such as "index
//     out of range [3] with length 3". The type of any other value is logged. The stack has functions and lines, and no
//     arguments: Go's own stack traces print words of a key that is passed by value.
//
// The package does not defend against panics in goroutines that a library starts, against errors that Go cannot recover
// (out of memory, concurrent map writes, deadlock), or against a panic that leaves a lock held: defer the Unlock.
package panics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Place is where a panic was recovered. It is a label of userinfo_panics_total.
type Place string

// The places of the service.
const (
	Request     Place = "request"     // the handler of a request
	Connection  Place = "connection"  // accepting a connection, its TLS handshake, reading and writing
	Store       Place = "store"       // a part of a store operation that has a goroutine of its own
	Coordinator Place = "coordinator" // an attempt on a node of Cassandra, or sending to it
	Database    Place = "database"    // opening and closing the database
	Log         Place = "log"         // writing the log and the audit records, opening the audit file again
	Reload      Place = "reload"      // the loop that reloads files
	Replay      Place = "replay"      // the loop that replays pending deletes
	Clocks      Place = "clocks"      // the loop that compares clocks
	Schema      Place = "schema"      // the loop that checks the schema
	Keyspace    Place = "keyspace"    // the loop that reads the replication of the keyspace
	Systemd     Place = "systemd"     // the loops that tell systemd how the service is
	Tracing     Place = "tracing"     // the loop that sends spans
	Passwords   Place = "passwords"   // computing and rewriting password hashes, counting guesses
)

var places = []Place{Request, Connection, Store, Coordinator, Database, Log, Reload, Replay, Clocks, Schema, Keyspace, Systemd, Tracing, Passwords}

// Pause is the time after which Loop starts a loop again.
const Pause = 5 * time.Second

// ErrPanic is the error of work that was ended by a panic. The log has the details.
var ErrPanic = errors.New("panic; the log has its stack")

// Recorder counts and logs panics. It is safe for concurrent use. A nil *Recorder logs to slog.Default and counts nothing.
type Recorder struct {
	log   *slog.Logger
	total *prometheus.CounterVec
}

// NewRecorder returns a Recorder and registers its metric.
func NewRecorder(registry prometheus.Registerer, log *slog.Logger) *Recorder {
	r := &Recorder{log: log, total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "userinfo_panics_total", Help: "Panics that were recovered, by the place that recovered them. Each is a bug.",
	}, []string{"where"})}
	for _, p := range places {
		r.total.WithLabelValues(string(p)) // so that the first panic is an increase
	}
	registry.MustRegister(r.total)
	return r
}

// Recover must be deferred. If the goroutine panics, Recover counts and logs the panic and sets *err to ErrPanic, unless err
// is nil. Otherwise it does nothing.
func (r *Recorder) Recover(place Place, err *error) {
	value := recover()
	if value == nil {
		return
	}
	r.Record(place, value)
	if err != nil {
		*err = ErrPanic
	}
}

// Record counts and logs a panic with this value, which the caller has recovered.
func (r *Recorder) Record(place Place, value any, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String("type", fmt.Sprintf("%T", value)))
	if err, ok := value.(runtime.Error); ok {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	r.write(place, stack(), attrs)
}

// RecordText counts and logs a panic whose value is known only as text. The text may contain the value of the panic and a stack
// trace of package runtime. Only files and lines of the trace are logged.
func (r *Recorder) RecordText(place Place, text string) {
	var lines []string
	trace := text[max(strings.LastIndex(text, "\ngoroutine "), 0):] // what stands before may be part of the value
	for line := range strings.Lines(trace) {
		if strings.HasPrefix(line, "\t") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	r.write(place, strings.Join(lines, "\n"), nil)
}

func (r *Recorder) write(place Place, stack string, attrs []slog.Attr) {
	log := slog.Default()
	if r != nil {
		log = r.log
		r.total.WithLabelValues(string(place)).Inc()
	}
	attrs = append(attrs, slog.String("where", string(place)), slog.String("stack", stack))
	log.LogAttrs(context.Background(), slog.LevelError, "panic", attrs...)
}

// stack returns the functions that were running when the goroutine panicked, one a line, without arguments.
func stack() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	var lines []string
	for more, found := true, false; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if f.Function == "runtime.gopanic" && !found {
			lines, found = nil, true // the frames so far are those of this package
			continue
		}
		lines = append(lines, f.Function+" "+f.File+":"+strconv.Itoa(f.Line))
	}
	return strings.Join(lines, "\n")
}

// Loop calls run. If run panics, Loop calls it again after Pause, again and again. Loop returns when run returns, or when
// ctx ends during the pause.
func (r *Recorder) Loop(ctx context.Context, place Place, run func(context.Context)) {
	for r.panicked(ctx, place, run) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(Pause):
		}
	}
}

// panicked calls run and reports whether it has panicked.
func (r *Recorder) panicked(ctx context.Context, place Place, run func(context.Context)) bool {
	err := func() (err error) {
		defer r.Recover(place, &err)
		run(ctx)
		return nil
	}()
	return err != nil
}
