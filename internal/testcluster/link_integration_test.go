//go:build integration

package testcluster

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

func cutOneWay(s script) {
	link := Link{From: s.dc1, To: s.dc2, OneWay: true}
	s.cut(link)
	s.cql(s.dc1[0], "LOCAL_QUORUM", "UPDATE t.kv SET v = 0x01 WHERE k = 'from dc1'")
	s.cql(s.dc2[0], "LOCAL_QUORUM", "UPDATE t.kv SET v = 0x02 WHERE k = 'from dc2'")
	s.until("dc1 has what dc2 wrote later", func() bool {
		return s.has(s.dc1[0], "from dc2") && s.has(s.dc1[1], "from dc2") && s.has(s.dc1[2], "from dc2")
	})
	for _, n := range s.dc2 {
		if s.has(n, "from dc1") {
			s.t.Errorf("%s has what dc1 wrote behind the cut", n.Name)
		}
	}
	s.heal(link)
	s.waitUp(s.c.all()...)
	s.until("dc2 has what it missed", func() bool {
		s.cql(s.dc2[0], "ALL", "SELECT v FROM t.kv WHERE k = 'from dc1'")
		return s.has(s.dc2[0], "from dc1") && s.has(s.dc2[1], "from dc1") && s.has(s.dc2[2], "from dc1")
	})
}

func loseSome(s script) {
	from, to := s.dc1[0], s.dc2[0]
	link := Link{From: []*Node{from}, To: []*Node{to}, OneWay: true, Loss: 0.5}
	s.cut(link)
	const tries = 30
	if lost := s.lostConnections(from, to, tries); lost == 0 || lost == tries {
		s.t.Errorf("%d of %d connections lost their first packet, want about half", lost, tries)
	}
	s.heal(link)
	if lost := s.lostConnections(from, to, tries); lost > 0 {
		s.t.Errorf("%d of %d connections over a healed link lost their first packet", lost, tries)
	}
	s.waitHealthy()
}

// lostConnections opens this many connections at the same time. It returns how many are not open after 900 ms. TCP sends
// a lost first packet again after one second.
func (s script) lostConnections(from, to *Node, tries int) int {
	s.t.Helper()
	state, err := from.state(s.ctx)
	s.must(err)
	var wait sync.WaitGroup
	var lost atomic.Int32
	for range tries {
		wait.Go(func() {
			if err := inNamespace(state.Pid, "net", func() error {
				conn, err := net.DialTimeout("tcp", to.Address+":7000", 900*time.Millisecond)
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

const (
	delay = 100 * time.Millisecond
	// tolerance is less than delay, and more than a busy machine needs to open a connection.
	tolerance = 80 * time.Millisecond
)

func shapeLink(s script) {
	a, b := s.dc1[0], s.dc2[0]
	between := s.c.LinkBetween("dc1", "dc2")
	s.must(s.c.Shape(s.ctx, between, delay, 1_000_000))
	s.connectTakes(a, b, 2*delay)
	took := s.sendTime(a, b, 256<<10)
	s.t.Logf("256 KiB took %s at 1 Mbit/s", took)
	if took < 2*time.Second { // 2.1 s, and more with packet headers and retransmissions
		s.t.Errorf("256 KiB took %s at 1 Mbit/s", took)
	}
	s.must(s.c.Shape(s.ctx, Link{From: s.dc1, To: s.dc2, OneWay: true}, delay, 0))
	s.must(s.c.Shape(s.ctx, Link{From: s.dc2, To: s.dc1, OneWay: true}, 2*delay, 0))
	s.t.Logf("1 MiB took %s", s.sendTime(a, b, 1<<20))
	s.connectTakes(a, b, 3*delay)
	s.must(s.c.Unshape(s.ctx, between))
	s.linkIsFast(a, b)
	s.waitHealthy()
}

// linkIsFast checks that the link between two nodes is not shaped.
func (s script) linkIsFast(a, b *Node) {
	s.t.Helper()
	s.connectTakes(a, b, 0)
	if took := s.sendTime(a, b, 256<<10); took > time.Second {
		s.t.Errorf("without a shape, 256 KiB took %s", took)
	}
}

// connectTakes checks how long from takes to open a connection to to.
func (s script) connectTakes(from, to *Node, want time.Duration) {
	s.t.Helper()
	state, err := from.state(s.ctx)
	s.must(err)
	var took time.Duration
	s.must(inNamespace(state.Pid, "net", func() error {
		began := time.Now()
		conn, err := net.Dial("tcp", to.Address+":7000")
		took = time.Since(began)
		if err != nil {
			return err
		}
		return conn.Close()
	}))
	if took < want || took > want+tolerance {
		s.t.Errorf("a connection from %s to %s took %s, want %s to %s", from.Name, to.Name, took, want, want+tolerance)
	}
}

// sendTime returns how long it takes to send bytes from one node to the other, on port 7001, which Cassandra does not use.
func (s script) sendTime(from, to *Node, bytes int64) time.Duration {
	s.t.Helper()
	sender, err := from.state(s.ctx)
	s.must(err)
	receiver, err := to.state(s.ctx)
	s.must(err)
	var listener net.Listener
	s.must(inNamespace(receiver.Pid, "net", func() (err error) {
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
	s.must(inNamespace(sender.Pid, "net", func() (err error) {
		conn, err = net.Dial("tcp", listener.Addr().String())
		return err
	}))
	began := time.Now()
	_, err = conn.Write(make([]byte, bytes))
	s.must(errors.Join(err, conn.Close(), <-received))
	return time.Since(began)
}
