package store

import "github.com/prometheus/client_golang/prometheus"

// CassandraMetrics are the metrics of the connections to Cassandra.
type CassandraMetrics struct {
	attempts  [len(attemptResults)]prometheus.Counter // by attemptResult
	inFlight  prometheus.Gauge
	hedges    prometheus.Counter
	hedgesWon prometheus.Counter
	hostsUp   prometheus.Gauge
}

// NewCassandraMetrics registers the metrics with reg.
func NewCassandraMetrics(reg prometheus.Registerer) *CassandraMetrics {
	m := &CassandraMetrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "userinfo_cassandra_attempts_in_flight",
			Help: "Requests that Cassandra has yet to answer, those that were given up included.",
		}),
		hedges: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_cassandra_hedges_total",
			Help: "Statements sent to a second coordinator because the first was slow.",
		}),
		hedgesWon: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "userinfo_cassandra_hedges_won_total",
			Help: "Those of userinfo_cassandra_hedges_total that were answered before the first.",
		}),
		hostsUp: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "userinfo_cassandra_hosts_up",
			Help: "Cassandra nodes of the local datacentre that this instance holds for up.",
		}),
	}
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "userinfo_cassandra_attempts_total",
		Help: "Statements sent to a coordinator, by result. An operation may take several.",
	}, []string{"result"})
	for i, name := range attemptResults {
		m.attempts[i] = attempts.WithLabelValues(name)
	}
	reg.MustRegister(attempts, m.inFlight, m.hedges, m.hedgesWon, m.hostsUp)
	return m
}
