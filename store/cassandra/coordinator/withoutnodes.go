package coordinator

import "github.com/prometheus/client_golang/prometheus"

// WithoutNodes returns metrics for a second Runner, whose session has further connections to the same nodes. Its attempts
// count in the counters of m. It does not change the gauge of nodes that are up, which belongs to the Runner of m.
func (m *Metrics) WithoutNodes() *Metrics {
	second := *m
	second.hostsUp = prometheus.NewGauge(prometheus.GaugeOpts{Name: "unregistered"})
	return &second
}
