package cassandra

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetrics_Names(t *testing.T) {
	registry := prometheus.NewRegistry()
	NewMetrics(registry)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	want := []string{
		"userinfo_cassandra_attempts_in_flight", "userinfo_cassandra_attempts_total", "userinfo_cassandra_breakers_open", "userinfo_cassandra_hedges_total",
		"userinfo_cassandra_hedges_won_total", "userinfo_cassandra_hosts_up", "userinfo_cassandra_local_replicas",
		"userinfo_cassandra_password_refused_total",
	}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}
