package store

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
)

// outcomes name the results of an operation, in the order in which they are looked for: a wrapped error may be
// several of these. No error is the first, and what is none of them counts as the last.
var outcomes = [...]struct {
	err  error
	name string
}{
	{nil, "ok"},
	{access.ErrDenied, "denied"},
	{ErrNotFound, "not_found"},
	{ErrDeleted, "deleted"},
	{ErrNotEverywhere, "not_everywhere"},
	{ErrKey, "invalid"},
	{ErrTTL, "invalid"},
	{ErrFull, "full"},
	{ErrSealed, "unopened"},
	{ErrUnavailable, "unavailable"},
}

// Metrics are the metrics of all collections. No label ever holds a key.
type Metrics struct {
	operations *prometheus.HistogramVec
	skipped    *prometheus.CounterVec

	pending       prometheus.Gauge
	pendingOldest prometheus.Gauge
	carried       prometheus.Counter
	carryFailed   prometheus.Counter
	unrecorded    prometheus.Counter

	skew      *prometheus.GaugeVec
	skewBound *prometheus.GaugeVec
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "userinfo_store_operation_seconds",
			Help:    "Time of a store operation, by collection, operation and outcome.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 3},
		}, []string{"collection", "operation", "outcome"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "userinfo_store_touches_skipped_total",
			Help: "Touches that wrote nothing, as the life left was within the collection's touch_slack of what was asked.",
		}, []string{"collection"}),
	}
	m.makePending()
	m.makeSkews()
	reg.MustRegister(m.operations, m.skipped,
		m.pending, m.pendingOldest, m.carried, m.carryFailed, m.unrecorded, m.skew, m.skewBound)
	return m
}

// makePending makes the metrics of the deletes that are carried through.
func (m *Metrics) makePending() {
	m.pending = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "userinfo_pending_deletes",
		Help: "Deletes that some datacentre has not confirmed, as of the last look; at least so many where there are many.",
	})
	m.pendingOldest = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "userinfo_pending_deletes_oldest_seconds",
		Help: "How long ago the oldest of userinfo_pending_deletes was asked for.",
	})
	m.carried = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "userinfo_pending_deletes_done_total",
		Help: "Pending deletes that this instance has carried through to every datacentre.",
	})
	m.carryFailed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "userinfo_pending_deletes_failed_total",
		Help: "Attempts to find or carry through a pending delete that failed and will be made again.",
	})
	m.unrecorded = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "userinfo_pending_deletes_unrecorded_total",
		Help: "Deletes done in this datacentre alone that could not be recorded as pending: only their client's asking again finishes them.",
	})
}

// makeSkews makes the metrics of clocks. Instances come and go, and with them their series.
func (m *Metrics) makeSkews() {
	labels := []string{"kind", "of"}
	m.skew = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "userinfo_clock_skew_seconds",
		Help: "How far another clock is ahead of this instance's: of a Cassandra node here (kind cassandra) or of another instance (kind instance).",
	}, labels)
	m.skewBound = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "userinfo_clock_skew_error_seconds",
		Help: "The most by which userinfo_clock_skew_seconds may be wrong, either way.",
	}, labels)
}

// meter holds the handles of one collection's histograms, resolved once.
type meter struct{ get, set, touch, del timing }

// timing is one operation's histograms, by the place of its outcome in outcomes.
type timing [len(outcomes)]prometheus.Observer

func (m *Metrics) meter(collection string) meter {
	of := func(action access.Action) (t timing) {
		for i, o := range outcomes {
			t[i] = m.operations.WithLabelValues(collection, string(action), o.name)
		}
		return t
	}
	return meter{of(access.Get), of(access.Set), of(access.Touch), of(access.Delete)}
}

// observe is for defer: err is read when the operation has returned.
func (t *timing) observe(start time.Time, err *error) {
	t[outcome(*err)].Observe(time.Since(start).Seconds())
}

// outcome is the place of err in outcomes: the last where it is none of them.
func outcome(err error) int {
	if err == nil {
		return 0
	}
	for i, known := range outcomes[1:] {
		if errors.Is(err, known.err) {
			return i + 1
		}
	}
	return len(outcomes) - 1
}
