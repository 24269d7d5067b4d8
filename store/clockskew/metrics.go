package clockskew

import "github.com/prometheus/client_golang/prometheus"

// Metrics publishes the skew of each clock. A series disappears when its clock is no longer compared.
type Metrics struct{ skew, maxError *prometheus.GaugeVec }

// NewMetrics returns Metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	labels := []string{"kind", "of"}
	m := &Metrics{
		skew: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "userinfo_clock_skew_seconds",
			Help: "How far another clock is ahead of this instance's clock: the clock of a local Cassandra node (kind cassandra) or of another instance (kind instance).",
		}, labels),
		maxError: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "userinfo_clock_skew_error_seconds",
			Help: "The largest possible error of userinfo_clock_skew_seconds, in either direction.",
		}, labels),
	}
	reg.MustRegister(m.skew, m.maxError)
	return m
}
