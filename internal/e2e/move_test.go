//go:build integration

package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"testing"
	"time"

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

// moving is a move with instances of both of its steps in both datacentres.
type moving struct {
	first, second             *fleet.Instance // of steps 1 and 2 in dc1
	inFirst, inSecond         *client
	remoteFirst, remoteSecond *client // of steps 1 and 2 in dc2
}

// startMove makes the tables and starts the instances.
func (env *environment) startMove(t *testing.T) *moving {
	t.Helper()
	for _, step := range moveSteps[:2] {
		if err := env.fleet.ApplySchema(context.Background(), env.program, step...); err != nil {
			t.Fatal(err)
		}
	}
	m := &moving{}
	m.first, m.inFirst = env.serveStep(t, "dc1", 1)
	_, m.remoteFirst = env.serveStep(t, "dc2", 1)
	m.second, m.inSecond = env.serveStep(t, "dc1", 2)
	_, m.remoteSecond = env.serveStep(t, "dc2", 2)
	return m
}

// waitAll waits until each instance returns a status for a key.
func (m *moving) waitAll(t *testing.T, key string, status int) {
	t.Helper()
	for _, c := range []*client{m.inFirst, m.remoteFirst, m.inSecond, m.remoteSecond} {
		c.waitStatus(t, key, status)
	}
}

// expectGone checks that instances of the first and the last step, which use one table each, find none of the keys.
func (env *environment) expectGone(t *testing.T, keys []string) {
	t.Helper()
	for _, step := range []int{0, 3} {
		_, last := env.serveStep(t, "dc2", step)
		for _, key := range keys {
			last.expect(t, http.StatusNotFound, http.MethodGet, key, "")
		}
	}
}

func TestMove_KeepsSessionsAndDeletes(t *testing.T) {
	env := shared
	m := env.startMove(t)
	keys := env.insertAsKask(t, 3)
	for _, key := range keys {
		m.waitAll(t, key, http.StatusOK)
	}
	m.inFirst.expect(t, http.StatusNoContent, http.MethodPut, keys[0], "set in step 1")
	m.inSecond.expect(t, http.StatusNoContent, http.MethodPut, keys[1], "set in step 2")
	for _, c := range []*client{m.inFirst, m.inSecond} {
		for key, want := range map[string]string{keys[0]: "set in step 1", keys[1]: "set in step 2", keys[2]: "set by Kask"} {
			if got := c.expect(t, http.StatusOK, http.MethodGet, key, ""); got != want {
				t.Errorf("%s: got %q, want %q", key, got, want)
			}
		}
	}
	// keys[0] and keys[1] are deleted in the step in which they were not set.
	for n, c := range []*client{m.inSecond, m.inFirst, m.inSecond} {
		c.expect(t, http.StatusNoContent, http.MethodDelete, keys[n], "")
		m.waitAll(t, keys[n], http.StatusNotFound)
		m.remoteFirst.expect(t, http.StatusConflict, http.MethodPut, keys[n], "late")
	}
	env.expectGone(t, keys)
}

// TestMove_ReplaysDeletesInBothTables deletes sessions while the datacentres are cut apart, and lets Cassandra's hints expire. So
// only replays can bring the deletes to the other datacentre. Any instance, of either step, may do them.
func TestMove_ReplaysDeletesInBothTables(t *testing.T) {
	ctx, env := context.Background(), shared
	m := env.startMove(t)
	restore := env.expireHints(t, "moved_kask", "moved_sealed")
	keys := env.insertAsKask(t, 6)
	for _, key := range keys[:3] { // in both tables; the others are in Kask's table only
		m.inSecond.expect(t, http.StatusNoContent, http.MethodPut, key, "set in step 2")
	}
	for range 3 { // in the sealed table only
		key := "sealed-" + rand.Text()
		m.inSecond.expect(t, http.StatusNoContent, http.MethodPut, key, "set in step 2")
		keys = append(keys, key)
	}
	for _, key := range keys {
		m.waitAll(t, key, http.StatusOK)
	}

	cut := env.cluster.LinkBetween("dc1", "dc2")
	if err := env.cluster.Cut(ctx, cut); err != nil {
		t.Fatal(err)
	}
	for n, key := range keys {
		[]*client{m.inFirst, m.inSecond}[n%2].expect(t, http.StatusServiceUnavailable, http.MethodDelete, key, "")
		m.inFirst.expect(t, http.StatusNotFound, http.MethodGet, key, "")
		m.inSecond.expect(t, http.StatusNotFound, http.MethodGet, key, "")
		m.remoteSecond.expect(t, http.StatusOK, http.MethodGet, key, "")
	}
	env.waitPending(t, m.second, 2*len(keys)) // one for each table
	env.waitCutNoticed(t)
	time.Sleep(hintLifetime) // no event reports that hints have expired
	if err := env.cluster.Heal(ctx, cut); err != nil {
		t.Fatal(err)
	}
	env.waitAllUp(t)
	restore()
	for _, key := range keys {
		m.waitAll(t, key, http.StatusNotFound)
	}
	env.waitPending(t, m.first, 0)
	env.waitPending(t, m.second, 0)
	env.expectGone(t, keys)
}

// TestMove_NeedsTheTableOfKask checks that a wrong name is not taken for a table to create: every session would be lost.
func TestMove_NeedsTheTableOfKask(t *testing.T) {
	if err := shared.fleet.ApplySchema(context.Background(), shared.program, "table: moved_sealed", "read_through: no_such_table"); err == nil {
		t.Error("schema apply created a table of Kask")
	}
}
