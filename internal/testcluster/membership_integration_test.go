//go:build integration

package testcluster

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"
)

func TestCluster_ChangesMembers(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	start := time.Now()
	c, err := Start(ctx, Options{Datacentres: []string{"dc1"}, NodesPerDC: 3, SmallDisk: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopAndCheckRemoved(t, c) })
	s := script{t: t, ctx: ctx, c: c, dc1: c.Nodes("dc1")}
	s.cql(s.dc1[0], "ONE", "CREATE KEYSPACE t WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}")
	s.cql(s.dc1[0], "ONE", "CREATE TABLE t.kv (k text PRIMARY KEY, v blob)")
	s.cql(s.dc1[0], "ALL", "UPDATE t.kv SET v = 0x01 WHERE k = 'kept'")

	// verify checks that the ring has these nodes and that every node still finds the data.
	verify := func(what string, nodes ...*Node) {
		t.Helper()
		if got := c.Hosts(""); strings.Join(got, " ") != strings.Join(addressesOf(nodes), " ") {
			t.Errorf("%s: the nodes are %v, want %v", what, got, addressesOf(nodes))
		}
		s.waitUp(nodes...)
		for _, n := range nodes {
			if got := s.cql(n, "TWO", "SELECT v FROM t.kv WHERE k = 'kept'"); got != "v=0x01\n" {
				t.Errorf("%s: node %s reads %q", what, n.Name, got)
			}
			s.until("node "+n.Name+" knows only the other nodes", func() bool {
				return strings.Count(s.cql(n, "ONE", "SELECT peer FROM system.peers_v2"), "\n") == len(nodes)-1
			})
		}
		t.Logf("%s after %v", what, time.Since(start).Round(time.Second))
	}
	added, err := c.AddNode(ctx, "dc1")
	s.must(err)
	verify("added", s.dc1[0], s.dc1[1], s.dc1[2], added)
	s.must(c.RemoveNode(ctx, added))
	verify("removed", s.dc1...)
	s.do(s.dc1[1].Kill)
	replacement, err := c.ReplaceNode(ctx, s.dc1[1])
	s.must(err)
	verify("replaced", s.dc1[0], replacement, s.dc1[2])
	if !s.has(replacement, "kept") {
		t.Error("the replacement has not streamed its data")
	}
	s.must(c.ChangePassword(ctx, "another password"))
	text, err := os.ReadFile(c.PasswordFile())
	if err != nil || string(text) != "another password\n" {
		t.Errorf("the password file contains %q, %v", text, err)
	}
	for password, want := range map[string]bool{"another password": true, c.Password(): false} {
		s.until("the roles are read again", func() bool {
			who := gocql.PasswordAuthenticator{Username: Username, Password: password}
			_, err := c.query(ctx, who, s.dc1[0], "ONE", "SELECT key FROM system.local")
			return (err == nil) == want
		})
	}
}

func addressesOf(nodes []*Node) (all []string) {
	for _, n := range nodes {
		all = append(all, n.Address)
	}
	return all
}
