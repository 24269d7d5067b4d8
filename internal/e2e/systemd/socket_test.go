//go:build integration

package systemd

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is clients that open a connection for each request, all the time.
type load struct {
	answered atomic.Int64
	mu       sync.Mutex
	failed   []error
	stop     func() // waits until the last request is answered
}

// startLoad starts clients. They stop with the test at the latest.
func (m *machine) startLoad() *load {
	l := new(load)
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := m.get(); err != nil {
					l.mu.Lock()
					l.failed = append(l.failed, err)
					l.mu.Unlock()
				}
				l.answered.Add(1)
			}
		})
	}
	l.stop = func() { cancel(); clients.Wait() }
	m.t.Cleanup(l.stop)
	return l
}

// awaitMore waits until some more requests were answered.
func (l *load) awaitMore(t *testing.T) {
	t.Helper()
	from, end := l.answered.Load(), time.Now().Add(patience)
	for l.answered.Load() < from+50 {
		if time.Now().After(end) {
			t.Fatalf("only %d requests ended in %v", l.answered.Load()-from, patience)
		}
		time.Sleep(time.Millisecond)
	}
}

// restartUnderLoad restarts the service three times and returns what the clients have seen.
func (m *machine) restartUnderLoad() *load {
	m.t.Helper()
	l := m.startLoad()
	l.awaitMore(m.t)
	for range 3 {
		former := m.property("MainPID")
		m.Run("systemctl restart userinfo")
		if now := m.property("MainPID"); now == former || now == "0" {
			m.t.Errorf("process %s became %s", former, now)
		}
		l.awaitMore(m.t)
	}
	l.stop()
	m.t.Logf("%d requests, %d failed", l.answered.Load(), len(l.failed))
	return l
}

func TestSocket_RestartRefusesNoConnection(t *testing.T) {
	m := startMachine(t)
	m.Run("systemctl start userinfo.socket") // the first connection starts the service
	l := m.restartUnderLoad()
	if len(l.failed) > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", len(l.failed), l.answered.Load(), l.failed[0])
	}
	if n := strings.Count(m.journal(), "using the socket that systemd has opened"); n != 4 {
		t.Errorf("%d starts used the socket, want 4", n)
	}
}

// TestSocket_RestartWithoutItRefusesConnections shows that the test above can fail.
func TestSocket_RestartWithoutItRefusesConnections(t *testing.T) {
	m := startService(t)
	if l := m.restartUnderLoad(); len(l.failed) == 0 {
		t.Error("no connection was refused without the socket: the load is too low to see it")
	}
}

func TestSocket_AtAnotherAddressIsRefused(t *testing.T) {
	m := startMachine(t)
	m.write("/etc/systemd/system/userinfo.socket.d/test.conf", "[Socket]\nListenStream=\nListenStream=8444\n")
	m.Run("systemctl daemon-reload; systemctl start userinfo.socket")
	if out, err := m.Try("systemctl start userinfo"); err == nil {
		t.Errorf("the service starts with a socket at another address: %s", out)
	}
	if log := m.journal(); !strings.Contains(log, "write the same address into ListenStream= of userinfo.socket") {
		t.Errorf("the log does not say what to do:\n%s", log)
	}
}
