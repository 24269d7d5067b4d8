//go:build integration

package testcluster_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"userinfo/internal/testcluster"
)

// TestCluster is one script on one cluster, because a cluster of six takes a minute to start. Every part leaves the
// cluster whole.
func TestCluster(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	began := time.Now()
	c, err := testcluster.Start(ctx, testcluster.Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(c.CAFile()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Stop, the run's files are still there: %v", err)
		}
	})
	t.Logf("up after %s", time.Since(began).Round(time.Second))

	s := script{t: t, ctx: ctx, c: c, dc1: c.Nodes("dc1"), dc2: c.Nodes("dc2")}
	s.cql(s.dc1[0], "ONE", `CREATE KEYSPACE t WITH replication =
		{'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 3}`)
	s.cql(s.dc1[0], "ONE", "CREATE TABLE t.kv (k text PRIMARY KEY, v blob) WITH speculative_retry = 'NONE'")
	for _, part := range []struct {
		claim string
		play  func(script)
	}{
		{"six nodes in two datacentres know each other by their fixed addresses", everyNodeKnowsAll},
		{"an EACH_QUORUM write reaches replicas in both datacentres", writesReachBoth},
		{"a paused node answers no CQL, and does again", pause},
		{"a link cut one way loses what one side sends and carries what the other sends", oneWay},
		{"a half joined node takes clients, has no peers, and is whole after healing", halfJoined},
		{"datacentres cut apart serve themselves, refuse EACH_QUORUM, and meet again", apart},
		{"a killed node comes back at its address with its data, and cuts still hold for it", killed},
		{"a terminated node takes leave, and comes back", terminated},
	} {
		whole := t.Run(part.claim, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
			defer cancel()
			s := s
			s.t, s.ctx = t, ctx
			part.play(s)
			t.Logf("%s since the test began", time.Since(began).Round(time.Second))
		})
		if !whole {
			t.Fatal("the cluster may not be whole: the rest is not played")
		}
	}
}

func everyNodeKnowsAll(s script) {
	for _, n := range s.c.Nodes("") {
		peers := s.cql(n, "ONE", "SELECT peer, data_center FROM system.peers_v2")
		for _, other := range s.c.Others(n) {
			line := fmt.Sprintf("peer=%s\tdata_center=%s\n", other.Address, other.Datacentre)
			if !strings.Contains(peers, line) {
				s.t.Errorf("%s does not know %s; it knows:\n%s", n.Name, other.Name, peers)
			}
		}
	}
}

func writesReachBoth(s script) {
	s.cql(s.dc1[0], "EACH_QUORUM", "UPDATE t.kv SET v = 0x00ff WHERE k = 'both'")
	for _, dc := range [][]*testcluster.Node{s.dc1, s.dc2} {
		have := 0
		for _, n := range dc {
			if s.cql(n, "NODE_LOCAL", "SELECT v FROM t.kv WHERE k = 'both'") == "v=0x00ff\n" {
				have++
			}
		}
		if have < 2 {
			s.t.Errorf("only %d replicas in %s have it", have, dc[0].Datacentre)
		}
	}
}

func pause(s script) {
	s.do(s.dc1[1].Pause)
	if _, err := s.c.CQLAt(s.ctx, s.dc1[1], "ONE", "SELECT key FROM system.local"); !errors.Is(err, testcluster.ErrNoConnection) {
		s.t.Errorf("a paused node answered with %v, want no connection", err)
	}
	s.do(s.dc1[1].Unpause)
	s.cql(s.dc1[1], "ONE", "SELECT key FROM system.local")
	s.wholeAgain(s.dc1[1])
}

func oneWay(s script) {
	link := testcluster.Link{From: s.dc1, To: s.dc2, OneWay: true}
	s.cut(link)
	s.cql(s.dc1[0], "LOCAL_QUORUM", "UPDATE t.kv SET v = 0x01 WHERE k = 'from dc1'")
	s.cql(s.dc2[0], "LOCAL_QUORUM", "UPDATE t.kv SET v = 0x02 WHERE k = 'from dc2'")
	s.until("dc1 hears what dc2 wrote after it", func() bool {
		return s.has(s.dc1[0], "from dc2") && s.has(s.dc1[1], "from dc2") && s.has(s.dc1[2], "from dc2")
	})
	for _, n := range s.dc2 {
		if s.has(n, "from dc1") {
			s.t.Errorf("%s heard what dc1 wrote while dc1 was cut off from it", n.Name)
		}
	}
	s.heal(link)
	s.until("dc2 gets what it missed", func() bool {
		s.cql(s.dc2[0], "ALL", "SELECT v FROM t.kv WHERE k = 'from dc1'")
		return s.has(s.dc2[0], "from dc1") && s.has(s.dc2[1], "from dc1") && s.has(s.dc2[2], "from dc1")
	})
	s.wholeAgain(s.dc1[0])
}

func halfJoined(s script) {
	n := s.dc1[1]
	s.cut(s.c.LinkAround(n))
	s.down(n, s.dc1[0])
	s.down(n, s.dc1[2])
	s.down(s.dc1[0], n)
	s.cql(n, "ONE", "SELECT key FROM system.local")
	s.refused(n, "LOCAL_QUORUM", "UPDATE t.kv SET v = 0x03 WHERE k = 'half'")
	s.cql(s.dc1[0], "LOCAL_QUORUM", "UPDATE t.kv SET v = 0x04 WHERE k = 'half'")
	s.heal(s.c.LinkAround(n))
	s.wholeAgain(n)
	s.cql(n, "LOCAL_QUORUM", "UPDATE t.kv SET v = 0x05 WHERE k = 'half'")
}

func apart(s script) {
	link := s.c.LinkBetween("dc1", "dc2")
	link.Reject = true
	s.cut(link)
	for _, n := range s.dc2 {
		s.down(s.dc1[0], n)
	}
	for _, n := range s.dc1 {
		s.down(s.dc2[0], n)
	}
	s.cql(s.dc1[0], "LOCAL_QUORUM", "UPDATE t.kv SET v = 0x06 WHERE k = 'apart'")
	s.cql(s.dc2[0], "LOCAL_QUORUM", "SELECT v FROM t.kv WHERE k = 'apart'")
	s.refused(s.dc1[0], "EACH_QUORUM", "UPDATE t.kv SET v = 0x07 WHERE k = 'refused'")
	s.do(s.c.HealAll)
	s.wholeAgain(s.dc1[0])
	s.cql(s.dc1[0], "EACH_QUORUM", "UPDATE t.kv SET v = 0x08 WHERE k = 'apart'")
}

func killed(s script) {
	n := s.dc2[2]
	s.do(n.Kill)
	if _, err := s.c.CQLAt(s.ctx, n, "ONE", "SELECT key FROM system.local"); !errors.Is(err, testcluster.ErrNoConnection) {
		s.t.Errorf("a killed node answered with %v, want no connection", err)
	}
	s.down(s.dc1[0], n)
	link := testcluster.Link{From: []*testcluster.Node{n}, To: s.dc1}
	s.cut(link)
	s.do(n.Start)
	if got := s.cql(n, "ONE", "SELECT broadcast_address FROM system.local"); got != "broadcast_address="+n.Address+"\n" {
		s.t.Errorf("it came back with %q, want address %s", got, n.Address)
	}
	if !s.has(n, "from dc1") { // it had that before, for longer than the commit log takes
		s.t.Error("it came back without its data")
	}
	if _, err := s.c.CQLAt(s.ctx, n, "EACH_QUORUM", "UPDATE t.kv SET v = 0x0a WHERE k = 'cut'"); err == nil {
		s.t.Error("it reached dc1 through a cut that was made while it was down")
	}
	s.heal(link)
	s.wholeAgain(n)
	s.cql(n, "EACH_QUORUM", "UPDATE t.kv SET v = 0x0b WHERE k = 'cut'")
}

func terminated(s script) {
	n := s.dc2[1]
	s.do(n.Terminate)
	s.down(s.dc1[0], n)
	s.do(n.Start)
	s.wholeAgain(n)
}

// script is what the parts above share: steps that must work.
type script struct {
	t        *testing.T
	ctx      context.Context
	c        *testcluster.Cluster
	dc1, dc2 []*testcluster.Node
}

func (s script) do(step func(context.Context) error) {
	s.t.Helper()
	if err := step(s.ctx); err != nil {
		s.t.Fatal(err)
	}
}

func (s script) cut(link testcluster.Link) {
	s.t.Helper()
	s.do(func(ctx context.Context) error { return s.c.Cut(ctx, link) })
}

func (s script) heal(link testcluster.Link) {
	s.t.Helper()
	s.do(func(ctx context.Context) error { return s.c.Heal(ctx, link) })
}

func (s script) cql(n *testcluster.Node, consistency, statement string) string {
	s.t.Helper()
	got, err := s.c.CQLAt(s.ctx, n, consistency, statement)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// refused expects Cassandra's Unavailable: too few replicas are up, and nothing was written.
func (s script) refused(n *testcluster.Node, consistency, statement string) {
	s.t.Helper()
	_, err := s.c.CQLAt(s.ctx, n, consistency, statement)
	if err == nil || !strings.Contains(err.Error(), "Cannot achieve consistency level "+consistency) {
		s.t.Errorf("%s at %s on %s: %v, want it refused as unavailable", statement, consistency, n.Name, err)
	}
}

func (s script) has(n *testcluster.Node, k string) bool {
	s.t.Helper()
	return s.cql(n, "NODE_LOCAL", "SELECT v FROM t.kv WHERE k = '"+k+"'") != ""
}

func (s script) down(observer, subject *testcluster.Node) {
	s.t.Helper()
	s.do(func(ctx context.Context) error { return s.c.WaitDown(ctx, observer, subject) })
}

// wholeAgain waits until n and all others hold each other for up.
func (s script) wholeAgain(n *testcluster.Node) {
	s.t.Helper()
	for _, other := range s.c.Others(n) {
		s.do(func(ctx context.Context) error { return s.c.WaitUp(ctx, n, other) })
		s.do(func(ctx context.Context) error { return s.c.WaitUp(ctx, other, n) })
	}
}

func (s script) until(what string, done func() bool) {
	s.t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			s.t.Fatalf("waiting until %s: %v", what, s.ctx.Err())
		}
	}
}
