//go:build integration

package testcluster

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// faultsOfSingleNodes runs steps at the same time, each on a node of its own. They do not write to all replicas.
func faultsOfSingleNodes(s script) {
	s.t.Run("nodes", func(t *testing.T) {
		for name, step := range map[string]func(script){
			"a paused node answers after it is unpaused":         pauseNode,
			"a node with cut clients keeps its peers":            cutClients,
			"nodetool returns output and errors":                 runNodetool,
			"a node's clock is set forwards and backwards":       setClock,
			"a wrong or expired certificate refuses connections": replaceCertificates,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				step(s.with(t, s.ctx))
			})
		}
	})
	s.waitHealthy()
}

func pauseNode(s script) {
	n := s.dc1[1]
	s.do(n.Pause)
	s.noConnection(n)
	s.do(n.Unpause)
	s.cql(n, "ONE", "SELECT key FROM system.local")
}

func cutClients(s script) {
	n := s.dc2[0]
	open, err := net.Dial("tcp", net.JoinHostPort(n.Address, strconv.Itoa(Port)))
	s.must(err)
	defer open.Close()
	s.must(s.c.CutClients(s.ctx, []*Node{n}, false))
	s.noConnection(n)
	s.must(open.SetDeadline(time.Now().Add(time.Second)))
	if _, err := open.Write([]byte("no TLS")); err != nil {
		s.t.Errorf("writing to an open connection: %v, want no error", err)
	}
	var timeout net.Error
	if _, err := open.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		s.t.Errorf("reading from an open connection: %v, want a timeout", err)
	}
	s.cql(s.dc1[0], "EACH_QUORUM", "UPDATE t.kv SET v = 0x02 WHERE k = 'cut'")
	s.must(s.c.HealClients(s.ctx, []*Node{n}))
	s.until("the node has what was written while its clients were cut", func() bool { return s.has(n, "cut") })
}

func runNodetool(s script) {
	n := s.dc2[1]
	for _, args := range [][]string{{"setmaxhintwindow", "1000"}, {"flush", "t"}} {
		_, err := n.Nodetool(s.ctx, args...)
		s.must(err)
	}
	got, err := n.Nodetool(s.ctx, "getmaxhintwindow")
	s.must(err)
	if !strings.Contains(got, "1000 ms") {
		s.t.Errorf("the hint window is %q, want the value that was set", got)
	}
	if out, err := n.Nodetool(s.ctx, "flush", "nosuchkeyspace"); !errorContains(err, "nosuchkeyspace") {
		s.t.Errorf("flushing a keyspace that does not exist: output %q, error %v", out, err)
	}
}

func setClock(s script) {
	n := s.dc2[2]
	for _, offset := range []time.Duration{10 * time.Second, -10 * time.Second, 500 * time.Millisecond} {
		s.must(n.SetClock(s.ctx, offset))
		s.clockIs(n, offset)
		s.clockIs(s.dc1[0], 0)
	}
	s.must(n.SetClock(s.ctx, 0))
	s.clockIs(n, 0)
}

// clockIs checks that n's clock has this offset, within the time that the query takes. CQL's now() would not show it,
// because it never goes back. The query is repeated until it succeeds: with a wrong clock, n may ask a replica for its
// roles that drops the message as expired.
func (s script) clockIs(n *Node, offset time.Duration) {
	s.t.Helper()
	var before, after time.Time
	var row string
	s.until("node "+n.Name+" answers", func() bool {
		before = time.Now().Truncate(time.Millisecond)
		var err error
		row, err = s.c.CQLAt(s.ctx, n, "ONE", "SELECT toUnixTimestamp(currentTimestamp()) AS now FROM system.local")
		after = time.Now()
		return err == nil
	})
	ms, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(row, "now="), "\n"), 10, 64)
	s.must(err)
	if now := time.UnixMilli(ms); now.Before(before.Add(offset)) || now.After(after.Add(offset)) {
		s.t.Errorf("node %s has the time %s, want offset %s from between %s and %s", n.Name, now, offset, before, after)
	}
}

func replaceCertificates(s script) {
	n := s.dc1[2]
	s.must(n.InstallWrongCertificate(s.ctx))
	if _, err := s.c.CQLAt(s.ctx, n, "ONE", "SELECT key FROM system.local"); !errorContains(err, "certificate is valid for 192.0.2.1, not "+n.Address) {
		s.t.Errorf("with a certificate for another name: %v", err)
	}
	s.must(n.ReplaceCertificate(s.ctx, -time.Minute))
	if _, err := s.c.CQLAt(s.ctx, n, "ONE", "SELECT key FROM system.local"); !errorContains(err, "certificate has expired") {
		s.t.Errorf("with an expired certificate: %v", err)
	}
	s.must(n.ReplaceCertificate(s.ctx, time.Hour))
	s.cql(n, "ONE", "SELECT key FROM system.local")
}

func errorContains(err error, text string) bool {
	return err != nil && strings.Contains(err.Error(), text)
}

// restart breaks four nodes and starts them again, all at the same time. The first is already broken by partition.
func restart(s script) {
	// The seeds, dc1[0] and dc2[0], stay up: the read-only node is cut off from dc1 and needs a seed to start.
	readOnly, full, terminated, wiped := s.dc2[2], s.dc1[2], s.dc1[1], s.dc2[1]
	s.must(full.FillDisk(s.ctx))
	s.noConnection(full)
	s.must(full.FreeDisk(s.ctx))
	s.must(readOnly.MakeCommitLogWritable(s.ctx))
	s.must(forEach([]*Node{full, readOnly}, func(n *Node) error { return n.Kill(s.ctx) }))
	s.noConnection(readOnly)
	s.do(terminated.Terminate)
	s.waitDown(map[*Node][]*Node{s.dc1[0]: {terminated}})

	// These cuts and shapes are made while the nodes do not run, or before the wiped node is killed.
	cutWhileDown := Link{From: []*Node{readOnly}, To: s.dc1}
	s.cut(cutWhileDown)
	s.must(s.c.Shape(s.ctx, Link{From: []*Node{s.dc1[0]}, To: []*Node{wiped}}, delay, 0))
	s.must(s.c.CutClients(s.ctx, []*Node{wiped}, true))
	s.must(wiped.Flush(s.ctx))
	s.must(wiped.SetClock(s.ctx, -10*time.Second))
	s.must(forEach([]*Node{readOnly, full, terminated, wiped}, func(n *Node) error {
		if n == wiped {
			return n.Wipe(s.ctx)
		}
		return n.Start(s.ctx)
	}))

	s.t.Run("a killed node returns with its address and data, and cuts still apply", func(t *testing.T) {
		s := s.with(t, s.ctx)
		if got := s.cql(readOnly, "ONE", "SELECT broadcast_address FROM system.local"); got != "broadcast_address="+readOnly.Address+"\n" {
			t.Errorf("it returned with %q, want address %s", got, readOnly.Address)
		}
		if !s.has(readOnly, "from dc1") {
			t.Error("it returned without its data")
		}
		s.waitUp(readOnly, s.dc2[0])
		if _, err := s.c.CQLAt(s.ctx, readOnly, "EACH_QUORUM", "UPDATE t.kv SET v = 0x0a WHERE k = 'cut'"); err == nil {
			t.Error("it reached dc1 through a cut that was made while it was down")
		}
		s.heal(cutWhileDown)
	})
	// With its wrong clock, the wiped node does not see other nodes, because they drop its messages as expired.
	healthy := s.c.Others(wiped)
	s.waitUp(healthy...)
	s.must(forEach(healthy, func(n *Node) error { return s.c.WaitUp(s.ctx, n, wiped) }))
	s.cql(full, "ONE", "SELECT key FROM system.local")
	s.cql(terminated, "ONE", "SELECT key FROM system.local")
	s.cql(readOnly, "EACH_QUORUM", "UPDATE t.kv SET v = 0x0b WHERE k = 'cut'")
	s.t.Run("a wiped node has no data until it is repaired, and its faults still apply", func(t *testing.T) {
		checkWiped(s.with(t, s.ctx), wiped)
	})
	s.waitHealthy()
}

// checkWiped checks a wiped node that was started with a shaped link, closed client port and a wrong clock.
func checkWiped(s script, wiped *Node) {
	began := time.Now()
	s.noConnection(wiped)
	if took := time.Since(began); took > time.Second {
		s.t.Errorf("a closed client port rejected a connection after %s, want at once", took)
	}
	s.until("all replicas answer", func() bool {
		began = time.Now()
		_, err := s.c.CQLAt(s.ctx, s.dc1[0], "ALL", "UPDATE t.kv SET v = 0x03 WHERE k = 'shaped'")
		return err == nil
	})
	if took := time.Since(began); took < 2*delay {
		s.t.Errorf("a write at ALL took %s, less than the round trip of %s", took, 2*delay)
	}
	s.connectTakes(wiped, s.dc1[0], 2*delay)
	s.do(s.c.HealAll)
	s.linkIsFast(s.dc1[0], wiped)
	s.clockIs(wiped, -10*time.Second)
	s.must(wiped.SetClock(s.ctx, 0))
	s.clockIs(wiped, 0)
	s.waitUp(s.c.all()...)

	if s.has(wiped, "both") {
		s.t.Error("it has data from before it was wiped")
	}
	// A node whose clock was wrong a moment ago may still drop messages as expired, although gossip says that it is up.
	s.until("a read at ALL repairs it", func() bool {
		_, err := s.c.CQLAt(s.ctx, wiped, "ALL", "SELECT v FROM t.kv WHERE k = 'both'")
		return err == nil
	})
	if got := s.cql(wiped, "NODE_LOCAL", "SELECT v FROM t.kv WHERE k = 'both'"); got != "v=0x00ff\n" {
		s.t.Errorf("after a read at ALL, it has %q", got)
	}
}
