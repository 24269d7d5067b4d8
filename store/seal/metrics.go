package seal

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts how opening sealed values ended, for all collections. No label contains a key.
type Metrics struct{ opened *prometheus.CounterVec }

// NewMetrics returns Metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{opened: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "userinfo_store_openings_total",
		Help: "Sealed values that were opened with the first seal key (first_key) or another one (older_key), or could not be opened (unknown_key, unknown_format, damaged).",
	}, []string{"collection", "result"})}
	reg.MustRegister(m.opened)
	return m
}

// openResults holds the counters of one collection.
type openResults struct{ firstKey, olderKey, unknownFormat, unknownKey, damaged prometheus.Counter }

func (m *Metrics) results(collection string) openResults {
	counter := func(result string) prometheus.Counter { return m.opened.WithLabelValues(collection, result) }
	return openResults{
		firstKey: counter("first_key"), olderKey: counter("older_key"),
		unknownFormat: counter("unknown_format"), unknownKey: counter("unknown_key"), damaged: counter("damaged"),
	}
}

func (r openResults) count(oldKey bool, err error) {
	switch {
	case err == nil && oldKey:
		r.olderKey.Inc()
	case err == nil:
		r.firstKey.Inc()
	case errors.Is(err, errFormat):
		r.unknownFormat.Inc()
	case errors.Is(err, errKey):
		r.unknownKey.Inc()
	default:
		r.damaged.Inc()
	}
}
