//go:build integration

package cassandra_test

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
	"userinfo/store/cassandra"
	"userinfo/store/clockskew"
	"userinfo/store/storetest"
)

func TestSession_KeepsStoreContract(t *testing.T) {
	n := startNode(t)
	open := func(c store.CollectionConfig) storetest.Table { return n.session.Table(c) }
	storetest.RunSealed(t, open, dump{t, n.admin})
	t.Run("pending deletes", func(t *testing.T) { storetest.RunPendingDeletes(t, open) })
	t.Run("read through", func(t *testing.T) { storetest.RunReadThrough(t, open) })
	t.Run("requests count as in flight until they are answered", n.countsInFlight)
	t.Run("a value that Cassandra refuses because of its size is too large", n.refusesOversizedValues)
	t.Run("clocks of nodes and instances are compared", n.comparesClocks)
	storetest.Run(t, open)
}

// countsInFlight pauses the node, cancels a request, and lets the node continue.
func (n *node) countsInFlight(t *testing.T) {
	const gauge = "userinfo_cassandra_attempts_in_flight"
	idle := func() bool { return metricValues(t, n.registry, gauge)[""] == 0 }
	await(t, "no request is in flight", idle)
	table := n.session.Table(store.CollectionConfig{Name: "kask", Table: storetest.KaskTableName, Layout: store.LayoutKask, MaxTTL: time.Hour})
	if err := n.machine.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := table.Ready(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the node is paused, but Ready returned %v", err)
	}
	if got := metricValues(t, n.registry, gauge)[""]; got < 1 {
		t.Errorf("%v requests are in flight, want the cancelled one", got)
	}
	if err := n.machine.Unpause(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the node has answered", idle)
}

// refusesOversizedValues exceeds Cassandra's limits of a mutation and of a request. Both are 16 MiB by default.
func (n *node) refusesOversizedValues(t *testing.T) {
	for _, layout := range []store.Layout{store.LayoutUserInfo, store.LayoutKask} {
		name := map[store.Layout]string{store.LayoutUserInfo: storetest.TableName, store.LayoutKask: storetest.KaskTableName}[layout]
		table := n.session.Table(store.CollectionConfig{Name: "oversized", Table: name, Layout: layout, MaxTTL: time.Hour})
		for _, size := range []int{16<<20 - 50, 16 << 20, 20 << 20} {
			err := table.Write(t.Context(), "secret-key", make([]byte, size), time.Now().UnixMicro(), time.Hour)
			if !errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
				t.Errorf("layout %s, %d bytes: error %v, want %v without the key", layout, size, err, store.ErrTooLarge)
			}
		}
		if row, err := table.Read(t.Context(), "secret-key"); err != nil || row.Data != nil {
			t.Errorf("layout %s: after refused writes, the row has %d bytes (%v)", layout, len(row.Data), err)
		}
	}
}

// comparesClocks runs two instances whose clocks differ by two seconds. The node's clock is this machine's.
func (n *node) comparesClocks(t *testing.T) {
	registries := map[string]*prometheus.Registry{"right": prometheus.NewRegistry(), "wrong": prometheus.NewRegistry()}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for name, ahead := range map[string]time.Duration{"right": 0, "wrong": 2 * time.Second} {
		monitor := clockskew.NewMonitor(clockskew.Config{
			Instance: name, Datacentre: n.session.LocalDatacentre(), Table: n.session.ClockTable(),
			Now: func() time.Time { return time.Now().Add(ahead) }, Random: rand.IntN,
			Log: slog.New(slog.DiscardHandler), Metrics: clockskew.NewMetrics(registries[name]),
		})
		running.Go(func() { monitor.Run(ctx) })
	}
	defer func() { cancel(); running.Wait() }()
	for name, ahead := range map[string]map[string]float64{
		"right": {"cassandra " + n.machine.Address: 0, "instance dc1/wrong": 2},
		"wrong": {"cassandra " + n.machine.Address: -2, "instance dc1/right": -2},
	} {
		var skews, bounds map[string]float64
		await(t, "all clocks are compared with an error below half a second", func() bool {
			bounds = metricValues(t, registries[name], "userinfo_clock_skew_error_seconds")
			skews = metricValues(t, registries[name], "userinfo_clock_skew_seconds")
			return len(skews) == len(ahead) && len(bounds) == len(ahead) && slices.Max(slices.Collect(maps.Values(bounds))) < 0.5
		})
		for clock, want := range ahead {
			if got, ok := skews[clock]; !ok || math.Abs(got-want) > bounds[clock]+0.001 {
				t.Errorf("instance %s: %s is ahead by %v ± %v s (%v), want %v", name, clock, got, bounds[clock], ok, want)
			}
		}
	}
}

// await polls until done returns true. what says what is then the case.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after a minute it is not the case that %s", what)
		}
	}
}

// dump is the suite's sealed table, as somebody with access to Cassandra sees it. It implements storetest.Dump.
type dump struct {
	*testing.T
	admin *cassandra.Admin
}

const dumpTable = `"contract"."` + storetest.TableName + `"`

// Values implements storetest.Dump.
func (d dump) Values() map[string]string {
	rows, err := d.admin.Query(d.Context(), "SELECT key, value FROM "+dumpTable)
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
func (d dump) Put(rowKey, value string) {
	const cql = "UPDATE " + dumpTable + " USING TIMESTAMP ? AND TTL 3600 SET value = ? WHERE key = ?"
	if _, err := d.admin.Query(d.Context(), cql, time.Now().Add(time.Second).UnixMicro(), []byte(value), []byte(rowKey)); err != nil {
		d.Fatal(err)
	}
}

// node is one Cassandra node with the suite's tables, and connections to it.
type node struct {
	machine  *testcluster.Node
	session  *cassandra.Session
	registry *prometheus.Registry // of the session's metrics
	admin    *cassandra.Admin
}

// metricValues returns the values of one metric by their label values, which are joined with spaces.
func metricValues(t *testing.T, r *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
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

// startNode starts a node with the suite's tables.
func startNode(t *testing.T) *node {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cluster, config := startCluster(t, ctx, testcluster.OneNode())
	log := slog.New(slog.DiscardHandler)
	admin := createTables(t, ctx, config, log)
	registry := prometheus.NewRegistry()
	session, err := cassandra.Open(ctx, config, cassandra.NewMetrics(registry), log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return &node{cluster.Nodes("dc1")[0], session, registry, admin}
}

// startCluster starts a cluster for the time of the test, and returns the settings of a session in its datacentre dc1.
func startCluster(t testing.TB, ctx context.Context, options testcluster.Options) (*testcluster.Cluster, cassandra.Config) {
	t.Helper()
	cluster, err := testcluster.Start(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return cluster, cassandra.Config{
		Hosts: cluster.Hosts("dc1"), Port: testcluster.Port, Keyspace: "contract", LocalDatacentre: "dc1",
		Credentials: func() (string, []byte, error) { return testcluster.Username, []byte(cluster.Password()), nil },
		TLS:         func() *tls.Config { return &tls.Config{RootCAs: cluster.CAPool(), MinVersion: tls.VersionTLS13} },
		Timeout:     10 * time.Second,
	}
}

func createTables(t testing.TB, ctx context.Context, config cassandra.Config, log *slog.Logger) *cassandra.Admin {
	admin, err := cassandra.OpenAdmin(ctx, config, log)
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
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return admin
}
