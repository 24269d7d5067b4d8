//go:build integration

package cassandra_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/testcluster"
	"userinfo/store"
	"userinfo/store/cassandra"
	"userinfo/store/storetest"
)

// TestLogin_FollowsChangedPassword changes the password of the service's role, restarts the node, and then changes the
// password's file.
func TestLogin_FollowsChangedPassword(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cluster, config := startCluster(t, ctx, testcluster.OneNode())
	admin := createTables(t, ctx, config, slog.New(slog.DiscardHandler))
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	if _, err := admin.Query(ctx, "CREATE ROLE rotating WITH PASSWORD = 'first' AND LOGIN = true"); err != nil {
		t.Fatal(err)
	}
	config.Credentials = func() (string, []byte, error) {
		password, err := os.ReadFile(file)
		return "rotating", password, err
	}
	var log lockedBuffer
	registry := prometheus.NewRegistry()
	session, err := cassandra.Open(ctx, config, cassandra.NewMetrics(registry), slog.New(slog.NewTextHandler(&log, nil)), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	table := session.Table(store.CollectionConfig{Name: storetest.CollectionName, Table: storetest.TableName, MaxTTL: storetest.MaxTTL})
	ready := func() bool {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return table.Ready(ctx) == nil
	}

	await(t, "the password is changed, which Cassandra allows every 5 s", func() bool {
		_, err := admin.Query(ctx, "ALTER ROLE rotating WITH PASSWORD = 'changed'")
		return err == nil
	})
	if !ready() {
		t.Error("a connection that was logged in does not work any more")
	}
	node := cluster.Nodes("dc1")[0]
	// Not Kill: a killed node can lose the writes of the last 100 ms, because its commit log is marked so often only.
	if err := node.Terminate(ctx); err != nil {
		t.Fatal(err)
	}
	if err := node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, "the log says who refused the password", func() bool {
		return strings.Contains(log.String(), "password refused by "+node.Address)
	})
	if ready() {
		t.Error("the service works with the old password")
	}
	write("changed")
	await(t, "the new password works", ready)
}

// lockedBuffer is a buffer that can be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
