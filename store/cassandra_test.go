//go:build integration

package store_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/testcluster"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/storetest"
)

func TestCassandraKeepsTheContract(t *testing.T) {
	cassandra := openNode(t)
	storetest.Run(t, cassandra.Collection)
	t.Run("ledger", func(t *testing.T) { store.CheckLedger(t, cassandra) })
}

// openNode starts a node with the suite's tables.
func openNode(t *testing.T) *store.Cassandra {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cluster, err := testcluster.Start(ctx, testcluster.OneNode())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	config := store.CassandraConfig{
		Hosts: cluster.Hosts("dc1"), Port: testcluster.Port, Keyspace: "contract", LocalDatacentre: "dc1",
		Username: testcluster.Username, Password: cluster.Password(),
		TLS:     func() *tls.Config { return &tls.Config{RootCAs: cluster.CAPool(), MinVersion: tls.VersionTLS13} },
		Timeout: 10 * time.Second,
	}
	log := slog.New(slog.DiscardHandler)
	makeTables(t, ctx, config, log)
	cassandra, err := store.Open(ctx, config, store.NewMetrics(prometheus.NewRegistry()), log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cassandra.Close)
	return cassandra
}

func makeTables(t *testing.T, ctx context.Context, config store.CassandraConfig, log *slog.Logger) {
	admin, err := store.OpenAdmin(ctx, config, log)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	err = schema.Apply(ctx, admin, schema.Spec{
		Keyspace: config.Keyspace, Replication: map[string]int{"dc1": 1}, LocalDatacentre: "dc1",
		Tables: []schema.Table{
			{Name: storetest.Table, Layout: schema.UserInfo, MaxTTL: storetest.MaxTTL, Fence: time.Minute},
			{Name: storetest.KaskTable, Layout: schema.Kask, MaxTTL: storetest.MaxTTL, Fence: time.Minute},
		},
	}, log)
	if err != nil {
		t.Fatal(err)
	}
}
