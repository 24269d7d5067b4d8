//go:build integration

package cassandra_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/testcluster"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
	"userinfo/store/storetest"
)

// TestSession_SurvivesKeyspaceWithoutLocalReplicas creates a keyspace that is in the other datacentre only. Without the
// filter in coordinator, gocql v1.7.0 panics in a goroutine of its own when the node tells it about that keyspace.
func TestSession_SurvivesKeyspaceWithoutLocalReplicas(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	_, config := startCluster(t, ctx, testcluster.Options{NodesPerDC: 1})
	log := slog.New(slog.DiscardHandler)
	admin, err := cassandra.OpenAdmin(ctx, config, log)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	err = schema.Apply(ctx, admin, schema.Spec{
		Keyspace: config.Keyspace, Replication: map[string]int{"dc1": 1, "dc2": 1}, LocalDatacentre: "dc1",
		Tables: []schema.Table{{Name: storetest.TableName, Layout: store.LayoutUserInfo, MaxTTL: storetest.MaxTTL, Fence: time.Minute}},
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	session, err := cassandra.Open(ctx, config, cassandra.NewMetrics(prometheus.NewRegistry()), log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for _, cql := range []string{
		"CREATE KEYSPACE elsewhere WITH replication = {'class': 'NetworkTopologyStrategy', 'dc2': 1}",
		"CREATE TABLE elsewhere.t (key int PRIMARY KEY)",
	} {
		if _, err := admin.Query(ctx, cql); err != nil {
			t.Fatal(err)
		}
	}
	// The driver handles an event a second after it came (gocql's eventDebouncer). Nothing shows when it has done so.
	time.Sleep(3 * time.Second)
	table := session.Table(store.CollectionConfig{Name: storetest.CollectionName, Table: storetest.TableName, MaxTTL: storetest.MaxTTL})
	if err := table.Ready(ctx); err != nil {
		t.Error(err)
	}
}
