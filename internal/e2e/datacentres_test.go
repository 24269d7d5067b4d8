//go:build integration

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"userinfo/internal/fleet"
)

func TestDatacentres_ShareSessions(t *testing.T) {
	here, there := shared.client(shared.serve(t, "dc1")), shared.client(shared.serve(t, "dc2"))
	key := "shared:" + rand.Text()
	here.expect(t, http.StatusNoContent, http.MethodPut, key, "who=alice")
	if text := there.waitStatus(t, key, http.StatusOK); text != "who=alice" {
		t.Errorf("read %q", text)
	}
}

// waitStatus gets key until the response has this status. A set does not wait for replication to the other datacentre.
func (c *client) waitStatus(t *testing.T, key string, status int) string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, text, err := c.do(http.MethodGet, key, "", 0)
		if err == nil && got == status {
			return text
		}
		if time.Now().After(end) {
			t.Fatalf("status %d (%v) after 30 s, want %d", got, err, status)
		}
	}
}

func TestDelete_ConfirmedDeleteAppliesInOtherDatacentre(t *testing.T) {
	const rounds, workers = 200, 8
	here, there := shared.client(shared.serve(t, "dc1")), shared.client(shared.serve(t, "dc2"))
	work := make(chan int)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for n := range work {
				key := fmt.Sprintf("logout:%d:%s", n, rand.Text())
				here.expect(t, http.StatusNoContent, http.MethodPut, key, "logged in")
				there.waitStatus(t, key, http.StatusOK)
				here.expect(t, http.StatusNoContent, http.MethodDelete, key, "")
				there.expect(t, http.StatusNotFound, http.MethodGet, key, "")
				there.expect(t, http.StatusConflict, http.MethodPut, key, "straggler")
			}
		})
	}
	for n := range rounds {
		work <- n
	}
	close(work)
	all.Wait()
}

func TestServe_WaitsForCassandra(t *testing.T) {
	ctx := context.Background()
	node := shared.cluster.Nodes("dc2")[2]
	if err := node.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	i := shared.start(t, "dc2", node.Address)
	for end := time.Now().Add(time.Minute); !strings.Contains(i.Log(), "Cassandra cannot be used yet"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log does not say that it waits:\n%s", i.Log())
		}
	}
	if err := node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := i.WaitServing(ctx); err != nil {
		t.Fatal(err)
	}
	shared.waitAllUp(t)
	shared.client(i).expect(t, http.StatusNotFound, http.MethodGet, "nobody", "")
}

func TestServe_RefusesWrongSchema(t *testing.T) {
	ctx := context.Background()
	node := shared.cluster.Nodes("dc1")[0]
	for _, gcGrace := range []int{600, 200000} {
		if _, err := shared.cluster.CQL(ctx, node, fmt.Sprintf("ALTER TABLE userinfo.sessions WITH gc_grace_seconds = %d", gcGrace)); err != nil {
			t.Fatal(err)
		}
		if gcGrace == 200000 {
			shared.serve(t, "dc1")
			return
		}
		i, err := shared.fleet.LaunchInstance(fleet.InstanceConfig{Name: "refused", Datacentre: "dc1"})
		if err != nil {
			t.Fatal(err)
		}
		if err := i.WaitServing(ctx); err == nil || !strings.Contains(err.Error(), "gc_grace_seconds") {
			t.Errorf("serve ended with: %v; want an error that names gc_grace_seconds", err)
		}
		if err := i.Kill(); err != nil { // it has ended already; after Kill, Stop accepts its exit code
			t.Fatal(err)
		}
	}
}
