//go:build integration

package testcluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestFaults is one script on one small cluster, one node in each of two datacentres. Every part leaves the cluster
// whole.
func TestFaults(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	began := time.Now()
	c, err := Start(ctx, Options{NodesPerDC: 1, SmallDisk: true, SettableClocks: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err != nil || strings.Contains(string(mounts), c.run.dir) {
			t.Errorf("after Stop, disks are still mounted (or %v):\n%s", err, mounts)
		}
	})
	t.Logf("up after %s", time.Since(began).Round(time.Second))
	f := faults{t: t, ctx: ctx, c: c, a: c.nodes[0], b: c.nodes[1]}
	f.cql(f.a, "ONE", "CREATE KEYSPACE t WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1, 'dc2': 1}")
	f.cql(f.a, "ONE", "CREATE TABLE t.kv (k text PRIMARY KEY, v blob) WITH speculative_retry = 'NONE'")
	for _, part := range []struct {
		claim string
		play  func(faults)
	}{
		{"a lossy link loses some and carries the rest", lossy},
		{"a node whose clients are cut takes none, and keeps its peers", clientsCut},
		{"a shaped link is late, is slow, and is quick again", shaped},
		{"nodetool says what it did, and why it did not", nodetool},
		{"a node's clock jumps, and is true again", clocks},
		{"slow links, refused clients and a wrong clock hold for a node that was killed and started", acrossRestart},
		{"a certificate is wrong, expired, and right again", certificates},
		{"a wiped node has nothing, lets clients in, and gets its data back", wiped},
		{"a node with a full disk refuses clients, and serves again once freed and started", diskFull},
		{"a node with a read-only commit log refuses clients, and serves again once started", commitLogReadOnly},
	} {
		whole := t.Run(part.claim, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
			defer cancel()
			f := f
			f.t, f.ctx = t, ctx
			part.play(f)
			t.Logf("%s since the test began", time.Since(began).Round(time.Second))
		})
		if !whole {
			t.Fatal("the cluster may not be whole: the rest is not played")
		}
	}
}

// faults is what the parts share: steps that must work.
type faults struct {
	t    *testing.T
	ctx  context.Context
	c    *Cluster
	a, b *Node
}

func (f faults) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f faults) cql(n *Node, consistency, statement string) string {
	f.t.Helper()
	got, err := f.c.CQLAt(f.ctx, n, consistency, statement)
	f.must(err)
	return got
}

func (f faults) wholeAgain() {
	f.t.Helper()
	f.must(f.c.WaitUp(f.ctx, f.a, f.b))
	f.must(f.c.WaitUp(f.ctx, f.b, f.a))
	f.cql(f.a, "ALL", "UPDATE t.kv SET v = 0x01 WHERE k = 'whole'")
}

func (f faults) between() Link { return f.c.LinkBetween("dc1", "dc2") }

func lossy(f faults) {
	link := Link{From: []*Node{f.a}, To: []*Node{f.b}, OneWay: true, Loss: 0.5}
	f.must(f.c.Cut(f.ctx, link))
	const tries = 30
	if lost := f.lost(tries); lost == 0 || lost == tries {
		f.t.Errorf("%d of %d connections lost their first packet, want about half", lost, tries)
	}
	f.must(f.c.Heal(f.ctx, link))
	if lost := f.lost(tries); lost > 0 {
		f.t.Errorf("%d of %d connections over a healed link lost their first packet", lost, tries)
	}
	f.wholeAgain()
}

// lost is how many of so many connections at once from a to b do not come about before TCP tries again, after a second.
func (f faults) lost(tries int) int {
	f.t.Helper()
	state, err := f.a.state(f.ctx)
	f.must(err)
	var wait sync.WaitGroup
	var lost atomic.Int32
	for range tries {
		wait.Go(func() {
			if err := inNamespace(state.Pid, "net", func() error {
				conn, err := net.DialTimeout("tcp", f.b.Address+":7000", 900*time.Millisecond)
				if err != nil {
					return err
				}
				return conn.Close()
			}); err != nil {
				lost.Add(1)
			}
		})
	}
	wait.Wait()
	return int(lost.Load())
}

func clientsCut(f faults) {
	kept, err := net.Dial("tcp", net.JoinHostPort(f.b.Address, strconv.Itoa(Port)))
	f.must(err)
	defer kept.Close()
	f.must(f.c.CutClients(f.ctx, []*Node{f.b}, false))
	f.noConnection(f.b)
	f.must(kept.SetDeadline(time.Now().Add(time.Second)))
	if _, err := kept.Write([]byte("no TLS")); err != nil {
		f.t.Errorf("a connection that was open answered with %v, want silence", err)
	}
	var timeout net.Error
	if _, err := kept.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		f.t.Errorf("a connection that was open answered with %v, want silence", err)
	}
	f.cql(f.a, "ALL", "UPDATE t.kv SET v = 0x02 WHERE k = 'cut'")
	f.must(f.c.HealClients(f.ctx, []*Node{f.b}))
	if got := f.cql(f.b, "NODE_LOCAL", "SELECT v FROM t.kv WHERE k = 'cut'"); got != "v=0x02\n" {
		f.t.Errorf("the node has %q, want what its peer wrote while its clients were cut", got)
	}
}

func (f faults) noConnection(n *Node) {
	f.t.Helper()
	if _, err := f.c.CQLAt(f.ctx, n, "ONE", "SELECT key FROM system.local"); !errors.Is(err, ErrNoConnection) {
		f.t.Errorf("node %s answered with %v, want no connection", n.Name, err)
	}
}

const (
	delay = 100 * time.Millisecond
	// prompt is well below a delay, and well above what this machine takes when it is busy.
	prompt = 80 * time.Millisecond
)

func shaped(f faults) {
	f.must(f.c.Shape(f.ctx, f.between(), delay, 1_000_000))
	if took := f.connect(f.a, f.b.Address+":7000"); took < 2*delay || took > 2*delay+prompt {
		f.t.Errorf("a connection took %s, want the round trip of %s", took, 2*delay)
	}
	took := f.send(f.a, f.b, 256<<10)
	f.t.Logf("256 KiB took %s at 1 Mbit/s", took)
	if took < 2*time.Second { // 2.1 s would be without headers, and without the losses of a full line
		f.t.Errorf("256 KiB took %s at 1 Mbit/s", took)
	}
	f.must(f.c.Shape(f.ctx, Link{From: []*Node{f.a}, To: []*Node{f.b}, OneWay: true}, delay, 0))
	f.must(f.c.Shape(f.ctx, Link{From: []*Node{f.b}, To: []*Node{f.a}, OneWay: true}, 2*delay, 0))
	f.t.Logf("1 MiB took %s", f.send(f.a, f.b, 1<<20))
	if took := f.connect(f.a, f.b.Address+":7000"); took < 3*delay || took > 3*delay+prompt {
		f.t.Errorf("a connection took %s, want %s there and %s back", took, delay, 2*delay)
	}
	f.must(f.c.Unshape(f.ctx, f.between()))
	f.prompt()
	f.wholeAgain()
}

func acrossRestart(f faults) {
	f.must(f.c.Shape(f.ctx, f.between(), delay, 0))
	f.must(f.c.CutClients(f.ctx, []*Node{f.b}, true))
	f.must(f.b.Kill(f.ctx))
	f.must(f.b.SetClock(f.ctx, -10*time.Second))
	f.must(f.b.Start(f.ctx))
	began := time.Now()
	f.noConnection(f.b)
	if took := time.Since(began); took > time.Second {
		f.t.Errorf("it took %s to be refused", took)
	}
	f.must(f.c.WaitUp(f.ctx, f.a, f.b))
	began = time.Now()
	f.cql(f.a, "ALL", "UPDATE t.kv SET v = 0x03 WHERE k = 'shaped'")
	if took := time.Since(began); took < 2*delay {
		f.t.Errorf("a write at ALL took %s, less than the round trip of %s", took, 2*delay)
	}
	if took := f.connect(f.b, f.a.Address+":7000"); took < 2*delay || took > 2*delay+prompt {
		f.t.Errorf("a connection took %s, want the round trip of %s", took, 2*delay)
	}
	f.must(f.c.HealAll(f.ctx))
	f.prompt()
	f.clockIs(f.b, -10*time.Second)
	f.must(f.b.SetClock(f.ctx, 0))
	f.clockIs(f.b, 0)
	f.wholeAgain()
}

func (f faults) prompt() {
	f.t.Helper()
	if took := f.connect(f.a, f.b.Address+":7000"); took > prompt {
		f.t.Errorf("unshaped, a connection took %s", took)
	}
	if took := f.send(f.a, f.b, 256<<10); took > time.Second {
		f.t.Errorf("unshaped, 256 KiB took %s", took)
	}
}

// connect is how long it takes n to connect to address.
func (f faults) connect(n *Node, address string) time.Duration {
	f.t.Helper()
	state, err := n.state(f.ctx)
	f.must(err)
	var took time.Duration
	f.must(inNamespace(state.Pid, "net", func() error {
		began := time.Now()
		conn, err := net.Dial("tcp", address)
		took = time.Since(began)
		if err != nil {
			return err
		}
		return conn.Close()
	}))
	return took
}

// send is how long it takes from sends bytes to to on the other one of the ports between nodes.
func (f faults) send(from, to *Node, bytes int64) time.Duration {
	f.t.Helper()
	sender, err := from.state(f.ctx)
	f.must(err)
	receiver, err := to.state(f.ctx)
	f.must(err)
	var listener net.Listener
	f.must(inNamespace(receiver.Pid, "net", func() (err error) {
		listener, err = net.Listen("tcp", to.Address+":7001")
		return err
	}))
	defer listener.Close()
	received := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, err = io.Copy(io.Discard, conn)
			err = errors.Join(err, conn.Close())
		}
		received <- err
	}()
	var conn net.Conn
	f.must(inNamespace(sender.Pid, "net", func() (err error) {
		conn, err = net.Dial("tcp", listener.Addr().String())
		return err
	}))
	began := time.Now()
	_, err = conn.Write(make([]byte, bytes))
	f.must(errors.Join(err, conn.Close(), <-received))
	return time.Since(began)
}

func nodetool(f faults) {
	for _, args := range [][]string{{"setmaxhintwindow", "1000"}, {"flush", "t"}} {
		_, err := f.a.Nodetool(f.ctx, args...)
		f.must(err)
	}
	got, err := f.a.Nodetool(f.ctx, "getmaxhintwindow")
	f.must(err)
	if !strings.Contains(got, "1000 ms") {
		f.t.Errorf("the hint window is %q, want what was set", got)
	}
	if out, err := f.a.Nodetool(f.ctx, "flush", "nosuchkeyspace"); err == nil || !strings.Contains(err.Error(), "nosuchkeyspace") {
		f.t.Errorf("flushing what there is not: %q, error %v", out, err)
	}
}

func clocks(f faults) {
	for _, offset := range []time.Duration{10 * time.Second, -10 * time.Second, 500 * time.Millisecond} {
		f.must(f.b.SetClock(f.ctx, offset))
		f.clockIs(f.b, offset)
		f.clockIs(f.a, 0)
	}
	f.must(f.b.SetClock(f.ctx, 0))
	f.clockIs(f.b, 0)
}

// clockIs expects a node's clock within what asking takes. CQL's now() would not do: it never goes back.
func (f faults) clockIs(n *Node, offset time.Duration) {
	f.t.Helper()
	before := time.Now().Truncate(time.Millisecond)
	row := f.cql(n, "ONE", "SELECT toUnixTimestamp(currentTimestamp()) AS now FROM system.local")
	after := time.Now()
	ms, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(row, "now="), "\n"), 10, 64)
	f.must(err)
	if now := time.UnixMilli(ms); now.Before(before.Add(offset)) || now.After(after.Add(offset)) {
		f.t.Errorf("node %s has the time %s, want %s from between %s and %s", n.Name, now, offset, before, after)
	}
}

func certificates(f faults) {
	f.must(f.b.InstallWrongCertificate(f.ctx))
	if _, err := f.c.CQLAt(f.ctx, f.b, "ONE", "SELECT key FROM system.local"); !mentions(err, "certificate is valid for 192.0.2.1, not "+f.b.Address) {
		f.t.Errorf("with a certificate of another name: %v", err)
	}
	f.must(f.b.ReplaceCertificate(f.ctx, -time.Minute))
	if _, err := f.c.CQLAt(f.ctx, f.b, "ONE", "SELECT key FROM system.local"); !mentions(err, "certificate has expired") {
		f.t.Errorf("with a certificate that has expired: %v", err)
	}
	f.must(f.b.ReplaceCertificate(f.ctx, time.Hour))
	f.wholeAgain()
	f.cql(f.b, "ONE", "SELECT key FROM system.local")
}

func mentions(err error, what string) bool { return err != nil && strings.Contains(err.Error(), what) }

func wiped(f faults) {
	f.cql(f.a, "ALL", "UPDATE t.kv SET v = 0x04 WHERE k = 'wiped'")
	f.must(f.b.Wipe(f.ctx))
	if got := f.cql(f.b, "NODE_LOCAL", "SELECT * FROM t.kv"); got != "" {
		f.t.Errorf("a wiped node has %q", got)
	}
	f.wholeAgain()
	f.cql(f.b, "ALL", "SELECT v FROM t.kv WHERE k = 'wiped'")
	if got := f.cql(f.b, "NODE_LOCAL", "SELECT v FROM t.kv WHERE k = 'wiped'"); got != "v=0x04\n" {
		f.t.Errorf("after a read at ALL, a wiped node has %q", got)
	}
}

func diskFull(f faults) {
	f.must(f.b.FillDisk(f.ctx))
	f.noConnection(f.b)
	f.must(f.b.FreeDisk(f.ctx))
	f.startAnew()
}

func commitLogReadOnly(f faults) {
	f.must(f.b.MakeCommitLogReadOnly(f.ctx))
	f.noConnection(f.b)
	f.must(f.b.MakeCommitLogWritable(f.ctx))
	f.startAnew()
}

func (f faults) startAnew() {
	f.t.Helper()
	f.must(f.b.Kill(f.ctx))
	f.must(f.b.Start(f.ctx))
	f.wholeAgain()
	f.cql(f.b, "ONE", "SELECT key FROM system.local")
}
