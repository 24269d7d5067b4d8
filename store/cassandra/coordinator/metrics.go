package coordinator

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts attempts and hedged attempts, and shows how many nodes are up. It has no label that names a node or a key.
type Metrics struct {
	attempts  [len(outcomeNames)]prometheus.Counter // by outcome
	hedges    prometheus.Counter
	hedgesWon prometheus.Counter
	hostsUp   prometheus.Gauge
	nodes     *atomic.Pointer[nodes] // of the newest Runner, for the gauge of open breakers; nil before the first
}

// NewMetrics returns Metrics that are registered with reg. It panics if they are registered there already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "userinfo_cassandra_attempts_total",
		Help: "Statements sent to a Cassandra node, by result. One store operation may need several. A slow attempt counts as slow, and again when it ends.",
	}, []string{"result"})
	m := &Metrics{
		nodes: new(atomic.Pointer[nodes]),
		hedges: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_cassandra_hedges_total",
			Help: "Statements sent to another Cassandra node because the first was slow.",
		}),
		hedgesWon: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_cassandra_hedges_won_total",
			Help: "Hedged statements (userinfo_cassandra_hedges_total) that were answered before the first.",
		}),
		hostsUp: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "userinfo_cassandra_hosts_up",
			Help: "Cassandra nodes of the local datacentre that this instance considers up.",
		}),
	}
	for i, name := range outcomeNames {
		m.attempts[i] = attempts.WithLabelValues(name)
	}
	reg.MustRegister(attempts, m.hedges, m.hedgesWon, m.hostsUp, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "userinfo_cassandra_breakers_open",
		Help: "Cassandra nodes of userinfo_cassandra_hosts_up whose circuit breaker is open: their last attempts failed or were slow, so they are asked last.",
	}, func() float64 { return float64(m.nodes.Load().openBreakers()) }))
	return m
}
