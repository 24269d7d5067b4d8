package store

import (
	"errors"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/access"
)

// outcomes are the values of the label outcome, in the order in which they are tested: an error may wrap several of them.
// The first is for a nil error; the last is also for unknown errors.
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
	{ErrTooLarge, "too_large"},
	{ErrFull, "full"},
	{ErrOverloaded, "overloaded"},
	{ErrSealed, "unopened"},
	{ErrUnavailable, "unavailable"},
}

// outcomeOf returns the index of an error in outcomes.
func outcomeOf(err error) int {
	if err == nil {
		return 0
	}
	for i, o := range outcomes[1:] {
		if errors.Is(err, o.err) {
			return i + 1
		}
	}
	return len(outcomes) - 1
}

// Metrics are the metrics of all collections and of the Replayer. No label contains a key.
type Metrics struct {
	operations     *prometheus.HistogramVec
	touchesSkipped *prometheus.CounterVec
	readThroughs   *prometheus.CounterVec
	unrecorded     prometheus.Counter
	hurried        prometheus.Counter
	largeInFlight  prometheus.Gauge
	largeWaiting   prometheus.Gauge
	replay         replayMetrics
}

// NewMetrics returns Metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "userinfo_store_operation_seconds",
			Help:    "Duration of a store operation, by collection, operation and outcome.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 3},
		}, []string{"collection", "operation", "outcome"}),
		touchesSkipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "userinfo_store_touches_skipped_total",
			Help: "Touches that wrote nothing, because the remaining TTL was within the collection's touch_slack of the requested TTL.",
		}, []string{"collection"}),
		readThroughs: newReadThroughVec(),
		unrecorded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_pending_deletes_unrecorded_total",
			Help: "Deletes that were applied in the local datacentre only and could not be recorded as pending. Only another delete by the client finishes them.",
		}),
		hurried: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_deletes_hurried_total",
			Help: "Deletes that were answered as not confirmed everywhere while their attempt to reach every datacentre still ran, because deletes before them were not confirmed either.",
		}),
		largeInFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "userinfo_large_values_in_flight_bytes",
			Help: "Bytes of large values that are being read or written. A value is large from 16 KiB. A read counts with the average size of the values that its client has read recently.",
		}),
		largeWaiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "userinfo_large_values_waiting",
			Help: "Operations that wait until they may read or write a large value.",
		}),
		replay: newReplayMetrics(),
	}
	reg.MustRegister(m.operations, m.touchesSkipped, m.readThroughs, m.unrecorded, m.hurried, m.largeInFlight, m.largeWaiting,
		m.replay.pending, m.replay.oldest, m.replay.unreadable, m.replay.unknown, m.replay.done, m.replay.failed)
	return m
}

// replayMetrics are the metrics of the Replayer.
type replayMetrics struct {
	pending, oldest, unreadable prometheus.Gauge
	unknown                     *prometheus.GaugeVec
	done, failed                prometheus.Counter
}

// publish sets the gauges of the pending deletes. If known is false, they become NaN.
func (m *replayMetrics) publish(left int, oldest time.Duration, known bool) {
	if !known {
		m.pending.Set(math.NaN())
		m.oldest.Set(math.NaN())
		return
	}
	m.pending.Set(float64(left))
	m.oldest.Set(max(0, oldest).Seconds())
}

func newReplayMetrics() replayMetrics {
	m := replayMetrics{
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "userinfo_pending_deletes",
			Help: "Deletes that some datacentre has not confirmed, as of the last scan. A scan reads a limited number, so there may be more. While a backlog is replayed, the number stays the same. A bucket that cannot be read counts with the number of its last complete read. NaN until every bucket has been read.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "userinfo_pending_deletes_oldest_seconds",
			Help: "Age of the oldest of userinfo_pending_deletes, in seconds. NaN while userinfo_pending_deletes is NaN.",
		}),
		unreadable: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "userinfo_pending_deletes_unreadable_buckets",
			Help: "Buckets of pending deletes that could not be read in the last scan, so that their deletes are not replayed, and buckets in which deletes of collections that are not configured could not be counted.",
		}),
		unknown: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "userinfo_pending_deletes_unknown_collection",
			Help: "Pending deletes of a collection that is not configured, by collection. Nothing finishes them. At most 64 of each list and bucket are counted. A bucket that cannot be read counts with the number of its last complete read.",
		}, []string{"collection"}),
		done: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_pending_deletes_done_total",
			Help: "Pending deletes that this instance has replayed and that every datacentre has confirmed.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_pending_deletes_failed_total",
			Help: "Failed attempts to read a bucket of pending deletes or to replay a delete. They are repeated.",
		}),
	}
	m.publish(0, 0, false)
	return m
}

// collectionMetrics are the metrics of one collection. Looking them up once keeps the lookup out of every operation.
type collectionMetrics struct {
	get, set, touch, delete    operationTimes
	touchesSkipped, unrecorded prometheus.Counter
	hurried                    prometheus.Counter
}

// operationTimes are the histograms of one operation, by index in outcomes.
type operationTimes [len(outcomes)]prometheus.Observer

func (m *Metrics) collection(name string) collectionMetrics {
	times := func(action access.Action) (t operationTimes) {
		for i, o := range outcomes {
			t[i] = m.operations.WithLabelValues(name, string(action), o.name)
		}
		return t
	}
	return collectionMetrics{
		get: times(access.Get), set: times(access.Set), touch: times(access.Touch), delete: times(access.Delete),
		touchesSkipped: m.touchesSkipped.WithLabelValues(name), unrecorded: m.unrecorded, hurried: m.hurried,
	}
}

// observe records the duration of an operation. It is meant for defer, so it takes a pointer to the error.
func (t *operationTimes) observe(start time.Time, err *error) {
	t[outcomeOf(*err)].Observe(time.Since(start).Seconds())
}
