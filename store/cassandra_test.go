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
	cassandra, admin := openNode(t)
	storetest.RunSealed(t, cassandra.Collection, dumped{t, admin})
	storetest.Run(t, cassandra.Collection)
	t.Run("ledger", func(t *testing.T) { store.CheckLedger(t, cassandra) })
}

// dumped is the suite's sealed table, as whoever has Cassandra sees it.
type dumped struct {
	*testing.T
	admin *store.Admin
}

const dumpedTable = `"contract"."` + storetest.Table + `"`

// Rows implements storetest.Dump.
func (d dumped) Rows() map[string]string {
	rows, err := d.admin.Query(d.Context(), "SELECT key, value FROM "+dumpedTable)
	if err != nil {
		d.Fatal(err)
	}
	all := make(map[string]string)
	for _, row := range rows {
		if value := row["value"].([]byte); len(value) > 0 {
			all[string(row["key"].([]byte))] = string(value)
		}
	}
	return all
}

// Put implements storetest.Dump.
func (d dumped) Put(key, value string) {
	const cql = "UPDATE " + dumpedTable + " USING TIMESTAMP ? AND TTL 3600 SET value = ? WHERE key = ?"
	if _, err := d.admin.Query(d.Context(), cql, time.Now().Add(time.Second).UnixMicro(), []byte(value), []byte(key)); err != nil {
		d.Fatal(err)
	}
}

// openNode starts a node with the suite's tables.
func openNode(t *testing.T) (*store.Cassandra, *store.Admin) {
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
	admin := makeTables(t, ctx, config, log)
	cassandra, err := store.Open(ctx, config, store.NewMetrics(prometheus.NewRegistry()), log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cassandra.Close)
	return cassandra, admin
}

func makeTables(t *testing.T, ctx context.Context, config store.CassandraConfig, log *slog.Logger) *store.Admin {
	admin, err := store.OpenAdmin(ctx, config, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
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
	return admin
}
