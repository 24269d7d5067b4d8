//go:build integration

package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"userinfo/internal/procedure"
	"userinfo/internal/testcluster"
)

const runbook = "../../docs/runbook.md"

// TestRunbook_AddsAndRemovesDatacentre follows two procedures of the runbook: dc3 joins two datacentres that have sessions. Then it
// is lost and does not return.
func TestRunbook_AddsAndRemovesDatacentre(t *testing.T) {
	near := shared.serve(t, "dc1")
	here := shared.client(near)
	before := here.createSessions(t, 50)

	node := addThirdDatacentre(t)
	there := shared.client(shared.serve(t, "dc3"))
	for _, key := range before {
		there.expect(t, http.StatusOK, http.MethodGet, key, "")
	}
	here.expect(t, http.StatusNoContent, http.MethodDelete, before[0], "")
	there.expect(t, http.StatusNotFound, http.MethodGet, before[0], "")
	there.expect(t, http.StatusNoContent, http.MethodPut, "third:set", "in dc3")
	here.waitStatus(t, "third:set", http.StatusOK)

	ctx := t.Context()
	if err := node.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	here.expect(t, http.StatusServiceUnavailable, http.MethodDelete, before[1], "")
	shared.waitPending(t, near, 1)
	removeThirdDatacentre(t, node, func() { shared.waitPending(t, near, 0) })
	here.expect(t, http.StatusNoContent, http.MethodDelete, before[2], "")
	shared.client(shared.serve(t, "dc2")).expect(t, http.StatusNotFound, http.MethodGet, before[1], "")
}

// addThirdDatacentre follows the runbook: a datacentre dc3 with one node.
func addThirdDatacentre(t *testing.T) *testcluster.Node {
	t.Helper()
	docs := procedure.Read(t, runbook, "### Add a datacentre")
	node, err := shared.cluster.AddDatacentre(t.Context(), "dc3")
	if err != nil {
		t.Fatal(err)
	}
	for _, keyspace := range []string{"system_auth", "userinfo"} {
		shared.alter(t, strings.ReplaceAll(docs.Take("ALTER KEYSPACE "+keyspace), "'dc3': 3", "'dc3': 1"))
		shared.nodetool(t, node, docs.Take("nodetool rebuild -ks "+keyspace))
	}
	docs.End()
	return node
}

// removeThirdDatacentre follows the runbook for a datacentre whose node is dead. It calls altered after the sessions' keyspace
// has changed.
func removeThirdDatacentre(t *testing.T, dead *testcluster.Node, altered func()) {
	t.Helper()
	docs := procedure.Read(t, runbook, "### Remove a datacentre")
	shared.alter(t, docs.Take("ALTER KEYSPACE userinfo"))
	altered()
	docs.Take("nodetool removenode ID") // RemoveDeadNode runs it
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, live := range shared.cluster.Others(dead) {
		if err := shared.cluster.WaitDown(ctx, live, dead); err != nil {
			t.Fatal(err)
		}
	}
	if err := shared.cluster.RemoveDeadNode(ctx, dead); err != nil {
		t.Fatal(err)
	}
	shared.alter(t, docs.Take("ALTER KEYSPACE system_auth"))
	docs.End()
}

// nodetool runs a command line that begins with "nodetool".
func (env *environment) nodetool(t *testing.T, n *testcluster.Node, line string) {
	t.Helper()
	if _, err := n.Nodetool(t.Context(), strings.Fields(line)[1:]...); err != nil {
		t.Fatal(err)
	}
}
