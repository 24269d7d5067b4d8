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

func TestASessionSetInOneDatacentreIsReadInTheOther(t *testing.T) {
	here, there := shared.client(shared.serve(t, "dc1")), shared.client(shared.serve(t, "dc2"))
	key := "shared:" + rand.Text()
	here.want(t, http.StatusNoContent, http.MethodPut, key, "who=alice")
	if text := there.awaitStatus(t, key, http.StatusOK); text != "who=alice" {
		t.Errorf("read %q", text)
	}
}

// awaitStatus gets key until it is answered with status; replication to the other datacentre is not waited for by a set.
func (c *client) awaitStatus(t *testing.T, key string, status int) string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, text, err := c.do(http.MethodGet, key, "", 0)
		if err == nil && got == status {
			return text
		}
		if time.Now().After(end) {
			t.Fatalf("got %d (%v), not %d within 30 s", got, err, status)
		}
	}
}

func TestALogoutThatWasConfirmedIsTrueInTheOtherDatacentreAtThatMoment(t *testing.T) {
	const rounds, workers = 200, 8
	here, there := shared.client(shared.serve(t, "dc1")), shared.client(shared.serve(t, "dc2"))
	work := make(chan int)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for n := range work {
				key := fmt.Sprintf("logout:%d:%s", n, rand.Text())
				here.want(t, http.StatusNoContent, http.MethodPut, key, "logged in")
				there.awaitStatus(t, key, http.StatusOK)
				here.want(t, http.StatusNoContent, http.MethodDelete, key, "")
				there.want(t, http.StatusNotFound, http.MethodGet, key, "")
				there.want(t, http.StatusConflict, http.MethodPut, key, "straggler")
			}
		})
	}
	for n := range rounds {
		work <- n
	}
	close(work)
	all.Wait()
}

func TestServeWaitsForACassandraThatIsNotUpYet(t *testing.T) {
	ctx := context.Background()
	node := shared.cluster.Nodes("dc2")[2]
	if err := node.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	i := shared.start(t, "dc2", node.Address)
	for end := time.Now().Add(time.Minute); !strings.Contains(i.Log(), "Cassandra cannot be used yet"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not say that it waits:\n%s", i.Log())
		}
	}
	if err := node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := i.WaitServing(ctx); err != nil {
		t.Fatal(err)
	}
	shared.settle(t)
	shared.client(i).want(t, http.StatusNotFound, http.MethodGet, "nobody", "")
}

func TestServeRefusesASchemaThatIsNotWhatItReliesOn(t *testing.T) {
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
			t.Errorf("serve ended so: %v", err)
		}
		if err := i.Kill(); err != nil { // it has ended, and with an exit code that is right
			t.Fatal(err)
		}
	}
}
