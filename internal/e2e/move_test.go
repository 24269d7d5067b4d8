//go:build integration

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"testing"

	"userinfo/internal/fleet"
)

// moveSteps are the settings of the collection sessions in the steps of a move from a table of Kask to a sealed table.
var moveSteps = [][]string{
	{"layout: kask", "table: moved_kask"},
	{"layout: kask", "table: moved_kask", "read_through: moved_sealed"},
	{"table: moved_sealed", "read_through: moved_kask"},
	{"table: moved_sealed"},
}

// serveStep starts an instance in a step of the move, and returns a client of it.
func (env *environment) serveStep(t *testing.T, dc string, step int) (*fleet.Instance, *client) {
	t.Helper()
	i, err := env.fleet.StartInstance(context.Background(), fleet.InstanceConfig{Name: dc + "-" + rand.Text(), Datacentre: dc, Sessions: moveSteps[step]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Stop(); err != nil {
			t.Error(err)
		}
	})
	return i, env.client(i)
}

// insertAsKask writes sessions to Kask's table as Kask does, and returns their keys.
func (env *environment) insertAsKask(t *testing.T, n int) (keys []string) {
	t.Helper()
	for range n {
		key := "kask-" + rand.Text()
		keys = append(keys, key)
		if _, err := env.cluster.CQL(context.Background(), env.cluster.Nodes("dc1")[0],
			fmt.Sprintf("INSERT INTO userinfo.moved_kask (key, value) VALUES ('%s', 0x%x) USING TTL 3600", key, "set by Kask")); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// TestMove_KeepsSessionsAndDeletes moves sessions from a table of Kask to a sealed table, with instances of all steps in
// both datacentres at the same time.
func TestMove_KeepsSessionsAndDeletes(t *testing.T) {
	ctx, env := context.Background(), shared
	for _, step := range moveSteps[:2] {
		if err := env.fleet.ApplySchema(ctx, env.program, step...); err != nil {
			t.Fatal(err)
		}
	}
	_, first := env.serveStep(t, "dc1", 1)
	_, remoteFirst := env.serveStep(t, "dc2", 1)
	second, local := env.serveStep(t, "dc1", 2)
	far, remote := env.serveStep(t, "dc2", 2)
	both := []*client{first, remoteFirst, local, remote}
	waitAll := func(key string, status int) {
		t.Helper()
		for _, c := range both {
			c.waitStatus(t, key, status)
		}
	}

	keys := env.insertAsKask(t, 4)
	for _, key := range keys {
		waitAll(key, http.StatusOK)
	}
	first.expect(t, http.StatusNoContent, http.MethodPut, keys[0], "set in step 1")
	local.expect(t, http.StatusNoContent, http.MethodPut, keys[1], "set in step 2")
	for _, c := range []*client{first, local} {
		for key, want := range map[string]string{keys[0]: "set in step 1", keys[1]: "set in step 2", keys[2]: "set by Kask"} {
			if got := c.expect(t, http.StatusOK, http.MethodGet, key, ""); got != want {
				t.Errorf("%s: got %q, want %q", key, got, want)
			}
		}
	}
	for n, c := range []*client{local, first, local} { // keys[0] and keys[1] in the step in which they were not set
		c.expect(t, http.StatusNoContent, http.MethodDelete, keys[n], "")
		waitAll(keys[n], http.StatusNotFound)
		both[n].expect(t, http.StatusConflict, http.MethodPut, keys[n], "late")
	}

	cut := env.cluster.LinkBetween("dc1", "dc2")
	t.Cleanup(func() {
		if err := env.cluster.HealAll(context.Background()); err != nil {
			t.Error(err)
		}
		env.waitAllUp(t)
	})
	if err := env.cluster.Cut(ctx, cut); err != nil {
		t.Fatal(err)
	}
	local.expect(t, http.StatusServiceUnavailable, http.MethodDelete, keys[3], "")
	local.expect(t, http.StatusNotFound, http.MethodGet, keys[3], "")
	first.expect(t, http.StatusNotFound, http.MethodGet, keys[3], "")
	remote.expect(t, http.StatusOK, http.MethodGet, keys[3], "")
	if err := env.cluster.Heal(ctx, cut); err != nil {
		t.Fatal(err)
	}
	env.waitAllUp(t)
	waitAll(keys[3], http.StatusNotFound)
	env.waitPending(t, second, 0)
	env.waitPending(t, far, 0)
	for _, step := range []int{0, 3} {
		_, last := env.serveStep(t, "dc2", step)
		for _, key := range keys {
			last.expect(t, http.StatusNotFound, http.MethodGet, key, "")
		}
	}
}

// TestMove_NeedsTheTableOfKask checks that a wrong name is not taken for a table to create: every session would be lost.
func TestMove_NeedsTheTableOfKask(t *testing.T) {
	if err := shared.fleet.ApplySchema(context.Background(), shared.program, "table: moved_sealed", "read_through: no_such_table"); err == nil {
		t.Error("schema apply created a table of Kask")
	}
}
