//go:build integration

package store_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/testcluster"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/storetest"
)

func TestCassandraKeepsTheContract(t *testing.T) {
	n := openNode(t)
	open := func(c store.CollectionConfig) storetest.Table { return n.cassandra.Table(c) }
	storetest.RunSealed(t, open, dumped{t, n.admin})
	t.Run("pending deletes", func(t *testing.T) { storetest.RunPendingDeletes(t, open) })
	t.Run("what a node owes an answer is counted until it answers", n.owesAnswers)
	t.Run("clocks are compared", n.comparesClocks)
	storetest.Run(t, open)
}

// owesAnswers stops the node, gives up a request, and lets it go on.
func (n *node) owesAnswers(t *testing.T) {
	const gauge = "userinfo_cassandra_attempts_in_flight"
	idle := func() bool { return n.metrics(t, gauge)[""] == 0 }
	await(t, "a node without requests", idle)
	c := n.cassandra.Table(store.CollectionConfig{Name: "kask", Table: storetest.KaskTableName, Layout: store.LayoutKask, MaxTTL: time.Hour})
	if err := n.machine.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := c.Ready(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the node is stopped, and yet it answers: %v", err)
	}
	if owed := n.metrics(t, gauge)[""]; owed < 1 {
		t.Errorf("%v requests are in flight, want those that were given up", owed)
	}
	if err := n.machine.Unpause(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the answers", idle)
}

// comparesClocks has two instances with clocks two seconds apart, and the node's, which is this machine's.
func (n *node) comparesClocks(t *testing.T) {
	registries := map[string]*prometheus.Registry{"right": prometheus.NewRegistry(), "wrong": prometheus.NewRegistry()}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for name, ahead := range map[string]time.Duration{"right": 0, "wrong": 2 * time.Second} {
		watch := n.cassandra.ClockWatch(name, store.ClockTools{
			Now: func() time.Time { return time.Now().Add(ahead) }, Random: rand.IntN,
			Log: slog.New(slog.DiscardHandler), Metrics: store.NewMetrics(registries[name]),
		})
		running.Go(func() { watch.Run(ctx) })
	}
	defer func() { cancel(); running.Wait() }()
	for name, ahead := range map[string]map[string]float64{
		"right": {"cassandra " + n.machine.Address: 0, "instance dc1/wrong": 2},
		"wrong": {"cassandra " + n.machine.Address: -2, "instance dc1/right": -2},
	} {
		r := &node{registry: registries[name]}
		var got, bounds map[string]float64
		await(t, "a comparison of both clocks, known to half a second", func() bool {
			bounds, got = r.metrics(t, "userinfo_clock_skew_error_seconds"), r.metrics(t, "userinfo_clock_skew_seconds")
			return len(got) == len(ahead) && len(bounds) == len(ahead) && slices.Max(slices.Collect(maps.Values(bounds))) < 0.5
		})
		for of, want := range ahead {
			if wrong, ok := got[of]; !ok || math.Abs(wrong-want) > bounds[of]+0.001 {
				t.Errorf("to the instance that is %s, %s is ahead by %v ± %v s (%v), want %v", name, of, wrong, bounds[of], ok, want)
			}
		}
	}
}

// await polls until done.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come within a minute", what)
		}
	}
}

// dumped is the suite's sealed table, as whoever has Cassandra sees it.
type dumped struct {
	*testing.T
	admin *store.Admin
}

const dumpedTable = `"contract"."` + storetest.TableName + `"`

// Values implements storetest.Dump.
func (d dumped) Values() map[string]string {
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

// node is one node of Cassandra, and connections to it.
type node struct {
	machine   *testcluster.Node
	cassandra *store.Cassandra
	registry  *prometheus.Registry // of cassandra's metrics
	admin     *store.Admin
}

// metrics are the values of one metric, by its labels' values.
func (n *node) metrics(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if f.GetName() == name {
				all[strings.Join(labels, " ")] = m.GetGauge().GetValue()
			}
		}
	}
	return all
}

// openNode starts a node with the suite's tables.
func openNode(t *testing.T) *node {
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
	registry := prometheus.NewRegistry()
	cassandra, err := store.Open(ctx, config, store.NewCassandraMetrics(registry), log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cassandra.Close)
	return &node{cluster.Nodes("dc1")[0], cassandra, registry, admin}
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
			{Name: storetest.TableName, Layout: store.LayoutUserInfo, MaxTTL: storetest.MaxTTL, Fence: time.Minute},
			{Name: storetest.KaskTableName, Layout: store.LayoutKask, MaxTTL: storetest.MaxTTL, Fence: time.Minute},
		},
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	return admin
}
