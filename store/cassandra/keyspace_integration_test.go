//go:build integration

package cassandra_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/testcluster"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
	"userinfo/store/storetest"
)

// TestKeyspaceWatch_SurvivesEveryChange changes the schema, and takes the replicas in the local datacentre away from the
// session's own keyspace. gocql's token-aware policy panics in goroutines of the driver when a keyspace has none.
func TestKeyspaceWatch_SurvivesEveryChange(t *testing.T) {
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
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	session, err := cassandra.Open(ctx, config, cassandra.NewMetrics(prometheus.NewRegistry()), log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	table := session.Table(store.CollectionConfig{Name: storetest.CollectionName, Table: storetest.TableName, MaxTTL: storetest.MaxTTL})
	ready := func() error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return table.Ready(ctx)
	}
	change := func(statements ...string) {
		t.Helper()
		for _, cql := range statements {
			if _, err := admin.Query(ctx, cql); err != nil {
				t.Fatalf("%s: %v", cql, err)
			}
		}
	}

	for _, replication := range []string{
		"{'class': 'NetworkTopologyStrategy', 'dc2': 1}", "{'class': 'NetworkTopologyStrategy', 'dc1': 1}",
		"{'class': 'SimpleStrategy', 'replication_factor': 1}",
	} {
		change(
			"CREATE KEYSPACE elsewhere WITH replication = "+replication,
			"CREATE TYPE elsewhere.pair (a int, b int)",
			"CREATE TABLE elsewhere.t (key int PRIMARY KEY, value frozen<pair>)",
			"ALTER TABLE elsewhere.t ADD more text",
			"CREATE INDEX ON elsewhere.t (more)",
			"CREATE ROLE somebody",
			"ALTER KEYSPACE elsewhere WITH replication = {'class': 'NetworkTopologyStrategy', 'dc2': 1}",
			"DROP ROLE somebody",
			"DROP TABLE elsewhere.t",
			"DROP KEYSPACE elsewhere",
		)
	}
	if err := ready(); err != nil {
		t.Errorf("after changes of other keyspaces: %v", err)
	}

	change("ALTER KEYSPACE contract WITH replication = {'class': 'NetworkTopologyStrategy', 'dc2': 1}")
	await(t, "Ready names the keyspace and the datacentre", func() bool {
		err := ready()
		return errors.Is(err, store.ErrUnavailable) && strings.Contains(err.Error(), "keyspace contract has no replicas in datacentre dc1")
	})
	short, cancelShort := context.WithTimeout(ctx, time.Second)
	defer cancelShort()
	if err := table.Write(short, "key", []byte("value"), 1, time.Hour); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a write without replicas returned %v", err)
	}
	change("ALTER KEYSPACE contract WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1, 'dc2': 1}")
	await(t, "the keyspace has replicas again", func() bool { return ready() == nil })

	change("DROP KEYSPACE contract")
	await(t, "Ready names the keyspace that does not exist", func() bool {
		err := ready()
		return errors.Is(err, store.ErrUnavailable) && strings.Contains(err.Error(), "keyspace contract does not exist")
	})
	change(
		"CREATE KEYSPACE contract WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1, 'dc2': 1}",
		"CREATE TABLE contract."+storetest.TableName+" (key blob PRIMARY KEY, value blob, gone boolean)",
	)
	await(t, "the keyspace exists again", func() bool { return ready() == nil })
}
