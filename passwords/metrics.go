package passwords

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
)

// Metrics are the metrics of Users and Pools. No label contains anything of a user.
type Metrics struct {
	operations    *prometheus.CounterVec
	hashing       prometheus.Gauge
	hashSeconds   prometheus.Histogram
	hashesRefused prometheus.Counter
	hashesSkipped prometheus.Counter
	rewrites      *prometheus.CounterVec
	unrecorded    prometheus.Counter
	uncounted     prometheus.Counter
}

// NewMetrics returns Metrics that are registered with reg. It panics if they are registered there already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &Metrics{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "userinfo_passwords_operations_total",
			Help: "Operations on passwords, by operation and outcome: ok, wrong, limited, weak, exists, not_everywhere, busy, refused or failed.",
		}, []string{"operation", "outcome"}),
		hashing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "userinfo_passwords_hashes_in_progress", Help: "Password hashes that are being computed.",
		}),
		hashSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "userinfo_passwords_hash_seconds", Help: "Duration of computing or comparing a password hash, in seconds.",
			Buckets: []float64{.005, .01, .02, .05, .1, .2, .5, 1, 2},
		}),
		hashesRefused: counter("userinfo_passwords_hashes_refused_total", "Requests answered 503 because too many password hashes were waiting."),
		hashesSkipped: counter("userinfo_passwords_hashes_skipped_total", "Password hashes that were not computed because their request had ended."),
		rewrites: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "userinfo_passwords_rewrites_total",
			Help: "Hashes of an old scheme after a right password, by result: rewritten, postponed because the service was busy, or failed.",
		}, []string{"result"}),
		unrecorded: counter("userinfo_passwords_pending_unrecorded_total", "Changes that a datacentre has not confirmed and that could not be recorded as pending. Only another change finishes them."),
		uncounted:  counter("userinfo_passwords_guesses_unsaved_total", "Counts of wrong passwords that could not be written. Until the next one is written, only this instance knows them."),
	}
	for _, result := range []string{"rewritten", "postponed", "failed"} {
		m.rewrites.WithLabelValues(result)
	}
	reg.MustRegister(m.operations, m.hashing, m.hashSeconds, m.hashesRefused, m.hashesSkipped, m.rewrites, m.unrecorded, m.uncounted)
	return m
}

// timeHash counts a hash as in progress until the returned function is called.
func (m *Metrics) timeHash() (done func()) {
	start := time.Now()
	m.hashing.Inc()
	return func() {
		m.hashing.Dec()
		m.hashSeconds.Observe(time.Since(start).Seconds())
	}
}

// observe must be deferred. It counts an operation that ends with *err.
func (m *Metrics) observe(operation access.Action, err *error) {
	m.operations.WithLabelValues(string(operation), outcome(*err)).Inc()
}

// outcome returns the label of an error.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrWrong):
		return "wrong"
	case errors.Is(err, ErrTooManyGuesses):
		return "limited"
	case errors.Is(err, ErrWeak):
		return "weak"
	case errors.Is(err, ErrExists):
		return "exists"
	case errors.Is(err, ErrNotEverywhere):
		return "not_everywhere"
	case errors.Is(err, ErrBusy):
		return "busy"
	case errors.Is(err, access.ErrDenied), errors.Is(err, ErrPassword), errors.Is(err, ErrHash), errors.Is(err, ErrDeleted):
		return "refused"
	}
	return "failed"
}
