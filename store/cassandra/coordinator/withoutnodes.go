package coordinator

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// WithoutNodes returns metrics for a second Runner, whose session has further connections to the same nodes. Its attempts
// count in the counters of m. It does not change the gauges of nodes, which belong to the Runner of m.
func (m *Metrics) WithoutNodes() *Metrics {
	second := *m
	second.hostsUp = prometheus.NewGauge(prometheus.GaugeOpts{Name: "unregistered"})
	second.nodes = new(atomic.Pointer[nodes])
	return &second
}
