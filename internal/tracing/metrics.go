package tracing

import "github.com/prometheus/client_golang/prometheus"

// Reasons why spans are dropped: label values of the metric.
const (
	dropQueueFull = "queue_full" // they ended faster than the collector takes them
	dropFailed    = "failed"     // the collector cannot be reached, or refuses the batch
	dropRejected  = "rejected"   // the collector took the batch without them
	dropStopped   = "stopped"    // the service has stopped
)

// metrics counts spans.
type metrics struct {
	sent    prometheus.Counter
	dropped *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_tracing_spans_sent_total", Help: "Spans that the collector of traces has taken.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "userinfo_tracing_spans_dropped_total", Help: "Spans that were not sent to the collector of traces, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{dropQueueFull, dropFailed, dropRejected, dropStopped} {
		m.dropped.WithLabelValues(reason) // so that the first span is an increase
	}
	registry.MustRegister(m.sent, m.dropped)
	return m
}

// drop counts spans that were dropped for a reason.
func (m *metrics) drop(reason string, spans int) {
	m.dropped.WithLabelValues(reason).Add(float64(spans))
}
