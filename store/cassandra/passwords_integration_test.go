//go:build integration

package cassandra_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/testcluster"
	"userinfo/passwords"
	"userinfo/passwords/passwordstest"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
)

func TestPasswordTable_KeepsPasswordsContract(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	_, config := startCluster(t, ctx, testcluster.OneNode())
	log := slog.New(slog.DiscardHandler)
	admin, err := cassandra.OpenAdmin(ctx, config, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	spec := schema.Spec{Keyspace: config.Keyspace, Replication: map[string]int{"dc1": 1}, LocalDatacentre: "dc1", Passwords: true}
	if err := schema.Apply(ctx, admin, spec, nil); err != nil {
		t.Fatal(err)
	}
	session, err := cassandra.Open(ctx, config, cassandra.NewMetrics(prometheus.NewRegistry()), log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	table := session.PasswordTable()
	t.Run("a pending write is finished and removed", func(t *testing.T) { finishesPendingWrite(t, table) })
	t.Run("a record is decided once", func(t *testing.T) { decidesOnce(t, table) })
	passwordstest.Run(t, func() passwords.Rows { return table })
}

func finishesPendingWrite(t *testing.T, table *cassandra.PasswordTable) {
	ctx, now := t.Context(), time.Now().UnixMicro()
	if err := table.Write(ctx, "row", []byte("record"), now, store.LocalQuorum); err != nil {
		t.Fatal(err)
	}
	if err := table.RecordPending(ctx, "row", now); err != nil {
		t.Fatal(err)
	}
	list := table.PendingLists()[0].Deletes
	bucket := store.PendingBucket("row")
	entries, err := list.ListPending(ctx, bucket, 10)
	if err != nil || len(entries) != 1 || entries[0].Key != "row" || entries[0].Tombstone != now {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	if err := list.Delete(ctx, entries[0].Key, entries[0].Deletion, store.EachQuorum); err != nil {
		t.Fatal(err)
	}
	if err := list.RemovePending(ctx, entries[0]); err != nil {
		t.Fatal(err)
	}
	if row, err := table.Read(ctx, "row"); err != nil || string(row.Written) != "record" {
		t.Errorf("after a replay the record is %q, %v", row.Written, err)
	}
	if entries, err := list.ListPending(ctx, bucket, 10); err != nil || len(entries) != 0 {
		t.Errorf("%d entries are left, %v", len(entries), err)
	}
	if err := list.Delete(ctx, "no such row", store.Deletion{}, store.EachQuorum); err != nil {
		t.Errorf("a write without a row: %v", err)
	}
}

func decidesOnce(t *testing.T, table *cassandra.PasswordTable) {
	ctx := t.Context()
	for _, step := range []struct {
		seen    passwords.Row
		record  string
		decided bool
	}{
		{passwords.Row{}, "first", true},
		{passwords.Row{}, "first", true}, // repeated
		{passwords.Row{}, "second", false},
		{passwords.Row{Decided: []byte("first")}, "second", true},
		{passwords.Row{Decided: []byte("second"), Written: []byte("w")}, "third", false},
	} {
		decided, err := table.Decide(ctx, "decided row", step.seen, []byte(step.record))
		if err != nil || decided != step.decided {
			t.Errorf("%s after %q: decided %v (%v), want %v", step.record, step.seen.Decided, decided, err, step.decided)
		}
	}
	if row, err := table.Read(ctx, "decided row"); err != nil || string(row.Decided) != "second" {
		t.Errorf("the record is %q, %v", row.Decided, err)
	}
}

// TestPasswordTable_KeepsPasswordsContractInTwoDatacentres cuts and heals the link between two datacentres.
func TestPasswordTable_KeepsPasswordsContractInTwoDatacentres(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cluster, config := startCluster(t, ctx, testcluster.Options{NodesPerDC: 1})
	config.Timeout = 2300 * time.Millisecond
	log := slog.New(slog.DiscardHandler)
	admin, err := cassandra.OpenAdmin(ctx, config, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	spec := schema.Spec{Keyspace: config.Keyspace, Replication: map[string]int{"dc1": 1, "dc2": 1}, LocalDatacentre: "dc1", Passwords: true}
	if err := schema.Apply(ctx, admin, spec, nil); err != nil {
		t.Fatal(err)
	}
	open := func(dc string) *cassandra.PasswordTable {
		config.LocalDatacentre, config.Hosts = dc, cluster.Hosts(dc)
		s, err := cassandra.Open(ctx, config, cassandra.NewMetrics(prometheus.NewRegistry()), log, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s.PasswordTable()
	}
	near, far := open("dc1"), open("dc2")
	link := cluster.LinkBetween("dc1", "dc2")
	check := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	passwordstest.RunDatacentres(t, passwordstest.Datacentres{
		Near: func() passwords.Rows { return near }, Far: func() passwords.Rows { return far },
		Cut:  func(t *testing.T) { check(t, cluster.Cut(t.Context(), link)) },
		Heal: func(t *testing.T) { check(t, cluster.Heal(t.Context(), link)) },
		Replay: func(ctx context.Context) {
			store.NewReplayer(near.PendingLists(), store.ReplayerOptions{
				Now: time.Now, Random: rand.IntN, Log: log, Metrics: store.NewMetrics(prometheus.NewRegistry()),
			}).Run(ctx)
		},
	})
	for bucket := range store.PendingBuckets {
		entries, err := near.PendingLists()[0].Deletes.ListPending(t.Context(), bucket, 10)
		if err != nil || len(entries) > 0 {
			t.Errorf("bucket %d: %d writes are still pending (%v)", bucket, len(entries), err)
		}
	}
}
