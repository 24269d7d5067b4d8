//go:build integration

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
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

// probe returns the status and the body of a health resource.
func (c *client) probe(t *testing.T, i *fleet.Instance, path string) (int, string) {
	t.Helper()
	response, err := c.http.Get(i.BaseURL() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// expectNotReady waits until an instance listens, and checks its answers while it is not ready. The answer of /readyz must
// contain missing.
func (env *environment) expectNotReady(t *testing.T, i *fleet.Instance, missing string) {
	t.Helper()
	if err := i.WaitListening(context.Background()); err != nil {
		t.Fatal(err)
	}
	c := env.client(i)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		status, body := c.probe(t, i, "/readyz")
		if status == http.StatusServiceUnavailable && strings.Contains(body, missing) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("/readyz is %d %s, want 503 and %q:\n%s", status, body, missing, i.Log())
		}
	}
	if status, body := c.probe(t, i, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz is %d %s", status, body)
	}
	if body := c.expect(t, http.StatusServiceUnavailable, http.MethodGet, "nobody", ""); !strings.Contains(body, "urn:userinfo:problem:not-ready") {
		t.Errorf("a get is answered %s", body)
	}
	c.auth = "Bearer unknown"
	c.expect(t, http.StatusUnauthorized, http.MethodGet, "nobody", "")
}

// expectReady waits until an instance serves, and checks that it is ready.
func (env *environment) expectReady(t *testing.T, i *fleet.Instance) {
	t.Helper()
	if err := i.WaitServing(context.Background()); err != nil {
		t.Fatal(err)
	}
	c := env.client(i)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // its result is kept for a second
		if status, body := c.probe(t, i, "/readyz"); status == http.StatusOK {
			break
		} else if time.Now().After(end) {
			t.Fatalf("/readyz is %d %s:\n%s", status, body, i.Log())
		}
	}
	c.expect(t, http.StatusNotFound, http.MethodGet, "nobody", "")
}

func TestServe_IsReadyOnceCassandraIsThere(t *testing.T) {
	ctx := context.Background()
	node := shared.cluster.Nodes("dc2")[2]
	if err := node.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	i := shared.start(t, "dc2", node.Address)
	shared.expectNotReady(t, i, "has not reached its database")
	if err := node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	shared.expectReady(t, i)
	shared.waitAllUp(t)
}

func TestServe_IsReadyOnceSchemaIsRight(t *testing.T) {
	alter := func(gcGrace int) {
		t.Helper()
		shared.alter(t, fmt.Sprintf("ALTER TABLE userinfo.sessions WITH gc_grace_seconds = %d", gcGrace))
	}
	alter(600)
	i := shared.start(t, "dc1")
	shared.expectNotReady(t, i, "schema of the database differs")
	if !strings.Contains(i.Log(), "gc_grace_seconds") {
		t.Errorf("the log does not name the difference:\n%s", i.Log())
	}
	alter(200000)
	shared.expectReady(t, i)
	if !strings.Contains(i.Log(), "a difference is gone") {
		t.Errorf("the log does not say that the difference is gone:\n%s", i.Log())
	}
}
