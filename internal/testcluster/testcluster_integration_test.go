//go:build integration

package testcluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// TestCluster_InjectsFaults tests every fault on one cluster of six nodes, because a start takes almost a minute. Each
// step repairs what it breaks. A step that fails ends the test, because the cluster may be broken.
//
// Cassandra takes 10 to 20 s to see a node as down, and a restart takes about 10 s of CPU time. Therefore steps share
// these waits and restarts where their faults do not influence each other.
func TestCluster_InjectsFaults(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	began := time.Now()
	c, err := Start(ctx, Options{SmallDisk: true, SettableClocks: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopAndCheckRemoved(t, c) })
	t.Logf("up after %s", time.Since(began).Round(time.Second))

	s := script{t: t, ctx: ctx, c: c, dc1: c.Nodes("dc1"), dc2: c.Nodes("dc2")}
	s.cql(s.dc1[0], "ONE", "CREATE KEYSPACE t WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 3}")
	s.cql(s.dc1[0], "ONE", "CREATE TABLE t.kv (k text PRIMARY KEY, v blob) WITH speculative_retry = 'NONE'")
	for _, step := range []struct {
		name string
		run  func(script)
	}{
		{"six nodes know each other by their fixed addresses", knowEachOther},
		{"sleeps of nodes may end late", sleepLate},
		{"an EACH_QUORUM write reaches replicas in both datacentres", writeEverywhere},
		{"a one-way cut stops one direction only", cutOneWay},
		{"a link with loss loses some packets", loseSome},
		{"a shaped link is delayed and limited", shapeLink},
		{"faults of single nodes", faultsOfSingleNodes},
		{"cut datacentres, a half joined node and a node with a read-only commit log", partition},
		{"restarts after a read-only commit log, a full disk, SIGTERM and a wipe", restart},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
			defer cancel()
			step.run(s.with(t, ctx))
			t.Logf("%s since the start", time.Since(began).Round(time.Second))
		})
		if !ok {
			t.Fatal("the cluster may be broken, so the remaining steps do not run")
		}
	}
}

// stopAndCheckRemoved stops the cluster and checks that its files and mounts are gone.
func stopAndCheckRemoved(t *testing.T, c *Cluster) {
	if err := c.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.CAFile()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Stop, the run's files exist: %v", err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), c.run.dir) {
		t.Errorf("after Stop, disks are still mounted (or %v):\n%s", err, mounts)
	}
}

func knowEachOther(s script) {
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

func sleepLate(s script) {
	for _, n := range s.c.Nodes("") {
		pid, err := n.PID(s.ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		slack, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", pid))
		if want := fmt.Sprintln(timerSlack.Nanoseconds()); err != nil || string(slack) != want {
			s.t.Errorf("the timer slack of node %s is %q (%v), want %q", n.Name, slack, err, want)
		}
	}
}

func writeEverywhere(s script) {
	s.cql(s.dc1[0], "EACH_QUORUM", "UPDATE t.kv SET v = 0x00ff WHERE k = 'both'")
	for _, dc := range [][]*Node{s.dc1, s.dc2} {
		replicas := 0
		for _, n := range dc {
			if s.cql(n, "NODE_LOCAL", "SELECT v FROM t.kv WHERE k = 'both'") == "v=0x00ff\n" {
				replicas++
			}
		}
		if replicas < 2 {
			s.t.Errorf("only %d replicas in %s have the value", replicas, dc[0].Datacentre)
		}
	}
}

// partition cuts the datacentres apart, cuts one node of dc1 off from all others, and makes the commit log of one node
// of dc2 read-only. Each datacentre still has two of three nodes. The last node stays broken for restart.
func partition(s script) {
	halfJoined, readOnly := s.dc1[1], s.dc2[2]
	s.do(readOnly.MakeCommitLogReadOnly)
	s.noConnection(readOnly)
	between := s.c.LinkBetween("dc1", "dc2")
	between.Reject = true
	s.cut(between)
	s.cut(s.c.LinkAround(halfJoined))
	s.waitDown(map[*Node][]*Node{
		s.dc1[0]:   append([]*Node{halfJoined}, s.dc2...),
		s.dc2[0]:   append([]*Node{readOnly}, s.dc1...),
		halfJoined: {s.dc1[0], s.dc1[2]},
	})

	s.cql(s.dc1[0], "LOCAL_QUORUM", "UPDATE t.kv SET v = 0x06 WHERE k = 'apart'")
	s.cql(s.dc2[0], "LOCAL_QUORUM", "SELECT v FROM t.kv WHERE k = 'apart'")
	s.unavailable(s.dc1[0], "EACH_QUORUM", "UPDATE t.kv SET v = 0x07 WHERE k = 'refused'")
	s.cql(halfJoined, "ONE", "SELECT key FROM system.local")
	s.unavailable(halfJoined, "LOCAL_QUORUM", "UPDATE t.kv SET v = 0x03 WHERE k = 'half'")

	s.do(s.c.HealAll)
	s.waitUp(s.dc1[0], s.dc1[1], s.dc1[2], s.dc2[0], s.dc2[1])
	s.cql(halfJoined, "LOCAL_QUORUM", "UPDATE t.kv SET v = 0x05 WHERE k = 'half'")
	s.cql(s.dc1[0], "EACH_QUORUM", "UPDATE t.kv SET v = 0x08 WHERE k = 'apart'")
}

// script is the state that all steps share. Its methods fail the step's test.
type script struct {
	t        *testing.T
	ctx      context.Context
	c        *Cluster
	dc1, dc2 []*Node
}

// with returns s for a subtest.
func (s script) with(t *testing.T, ctx context.Context) script {
	s.t, s.ctx = t, ctx
	return s
}

func (s script) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s script) do(step func(context.Context) error) {
	s.t.Helper()
	s.must(step(s.ctx))
}

func (s script) cut(link Link) {
	s.t.Helper()
	s.must(s.c.Cut(s.ctx, link))
}

func (s script) heal(link Link) {
	s.t.Helper()
	s.must(s.c.Heal(s.ctx, link))
}

// cql runs a statement on n. It tries again as long as n accepts no connection: a node whose clock was wrong a moment ago
// may still drop the answers of those that know its roles.
func (s script) cql(n *Node, consistency, statement string) (got string) {
	s.t.Helper()
	var err error
	s.until(n.Name+" accepts a connection", func() bool {
		got, err = s.c.CQLAt(s.ctx, n, consistency, statement)
		return !errors.Is(err, ErrNoConnection)
	})
	s.must(err)
	return got
}

// noConnection checks that n accepts no CQL connection.
func (s script) noConnection(n *Node) {
	s.t.Helper()
	if _, err := s.c.CQLAt(s.ctx, n, "ONE", "SELECT key FROM system.local"); !errors.Is(err, ErrNoConnection) {
		s.t.Errorf("node %s answered with error %v, want %v", n.Name, err, ErrNoConnection)
	}
}

// unavailable checks that a statement fails with Cassandra's Unavailable: too few replicas are up, and nothing was
// written.
func (s script) unavailable(n *Node, consistency, statement string) {
	s.t.Helper()
	_, err := s.c.CQLAt(s.ctx, n, consistency, statement)
	if err == nil || !strings.Contains(err.Error(), "Cannot achieve consistency level "+consistency) {
		s.t.Errorf("%s at %s on %s: error %v, want Unavailable", statement, consistency, n.Name, err)
	}
}

// has reports whether n's own replica has key k.
func (s script) has(n *Node, k string) bool {
	s.t.Helper()
	return s.cql(n, "NODE_LOCAL", "SELECT v FROM t.kv WHERE k = '"+k+"'") != ""
}

// waitDown waits until each observer sees all its subjects as down.
func (s script) waitDown(subjects map[*Node][]*Node) {
	s.t.Helper()
	var observers []*Node
	for n := range subjects {
		observers = append(observers, n)
	}
	s.must(forEach(observers, func(n *Node) error { return waitPeers(s.ctx, n, subjects[n], false) }))
}

// waitUp waits until each of nodes sees the others as up.
func (s script) waitUp(nodes ...*Node) {
	s.t.Helper()
	s.must(forEach(nodes, func(observer *Node) error {
		var others []*Node
		for _, n := range nodes {
			if n != observer {
				others = append(others, n)
			}
		}
		return waitPeers(s.ctx, observer, others, true)
	}))
}

// waitHealthy waits until all nodes see each other and a write succeeds on all replicas.
func (s script) waitHealthy() {
	s.t.Helper()
	s.waitUp(s.c.all()...)
	s.until("all replicas answer", func() bool {
		_, err := s.c.CQLAt(s.ctx, s.dc1[0], "ALL", "UPDATE t.kv SET v = 0x01 WHERE k = 'healthy'")
		return err == nil
	})
}

// until waits until done returns true.
func (s script) until(what string, done func() bool) {
	s.t.Helper()
	if err := poll(s.ctx, pollInterval, func() (bool, error) { return done(), nil }); err != nil {
		s.t.Fatalf("waiting until %s: %v", what, err)
	}
}
