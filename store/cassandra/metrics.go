package cassandra

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/store/cassandra/coordinator"
)

// Metrics are the metrics of a Session.
type Metrics struct {
	coordinator     *coordinator.Metrics
	inFlight        prometheus.Gauge
	localReplicas   prometheus.Gauge
	passwordRefused prometheus.Counter
}

// NewMetrics returns Metrics that are registered with reg. It panics if they are registered there already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		coordinator: coordinator.NewMetrics(reg),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "userinfo_cassandra_attempts_in_flight",
			Help: "Requests that Cassandra has not answered yet, including requests that the service no longer waits for.",
		}),
		localReplicas: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "userinfo_cassandra_local_replicas",
			Help: "Replicas that the keyspace has in the local datacentre. With 0, every request fails until the keyspace has replicas there. NaN before the first connection.",
		}),
	}
	m.localReplicas.Set(math.NaN())
	m.passwordRefused = newPasswordRefused()
	reg.MustRegister(m.inFlight, m.localReplicas, m.passwordRefused)
	return m
}

func newPasswordRefused() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "userinfo_cassandra_password_refused_total",
		Help: "Connections that a Cassandra node refused because user or password is wrong.",
	})
}
