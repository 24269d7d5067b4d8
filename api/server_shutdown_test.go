package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"userinfo/store"
)

// load runs clients that send requests without a pause. It counts the result of every request. Nothing is retried.
type load struct {
	s                  *service
	stopping           atomic.Bool
	answered, stopped  atomic.Int64 // stopped counts the answered requests that were sent after the start of the shutdown
	refused, elsewhere atomic.Int64
	mu                 sync.Mutex
	lost               []error
}

func (l *load) lose(what string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, fmt.Errorf("%s: %w", what, err))
}

// keepAliveClient sends requests on one connection until the server ends it with Connection: close or GOAWAY.
func (l *load) keepAliveClient(tr *http.Transport, name string) {
	c := l.connect(tr)
	if c == nil {
		return
	}
	defer func() { _ = c.Close() }()
	for n := 0; l.ask(c, fmt.Sprintf("%s-%d", name, n)); n++ {
	}
}

// newConnClient opens a connection for each request, as MediaWiki does, until the server refuses one.
func (l *load) newConnClient(tr *http.Transport, name string) {
	for n := 0; ; n++ {
		c := l.connect(tr)
		if c == nil {
			return
		}
		l.ask(c, fmt.Sprintf("%s-%d", name, n))
		_ = c.Close()
	}
}

// loadConn is a connection of a load.
type loadConn struct {
	*http.ClientConn
	began time.Time
	asked bool
}

// connect returns a new connection, or nil. A failure is a lost request unless the shutdown has started.
func (l *load) connect(tr *http.Transport) *loadConn {
	stopping, began := l.stopping.Load(), time.Now()
	c, err := tr.NewClientConn(context.Background(), "https", l.s.addr)
	if err == nil {
		return &loadConn{ClientConn: c, began: began}
	}
	if !stopping && !l.stopping.Load() {
		l.lose("connecting", err)
	}
	l.refused.Add(1)
	return nil
}

// isLate reports whether the first request of a connection may be too late, because the machine is busy: the server waits for
// it for headerTimeout only.
func (c *loadConn) isLate() bool { return !c.asked && time.Since(c.began) > headerTimeout }

// ask sends one request and reports whether c can be used for another one.
func (l *load) ask(c *loadConn, key string) bool {
	if c.Reserve() != nil {
		l.elsewhere.Add(1)
		return false
	}
	stopping := l.stopping.Load()
	res, err := c.RoundTrip(put(key, "value of "+key).request(l.s))
	if err != nil && (notStarted(err) || c.isLate()) {
		l.elsewhere.Add(1)
		return false
	}
	c.asked = true
	if err != nil {
		l.lose("asking "+key, err)
		return false
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != 204 {
		l.lose("answer", fmt.Errorf("status %d, %w", res.StatusCode, err))
		return false
	}
	l.answered.Add(1)
	if stopping {
		l.stopped.Add(1)
	}
	if res.Close {
		l.elsewhere.Add(1)
	}
	return !res.Close
}

// notStarted reports whether the server has not started a request of HTTP/2, so that it may be sent to another instance.
// The second error means that GOAWAY arrived between Reserve and RoundTrip, and nothing was sent.
func notStarted(err error) bool {
	return strings.Contains(err.Error(), "graceful shutdown GOAWAY") || strings.Contains(err.Error(), "http2: client conn not usable")
}

func TestServer_ShutdownLosesNoRequest(t *testing.T) {
	t.Parallel()
	const clients = 3 // of each kind
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := start(t, setup{drain: 1500 * time.Millisecond})
			l := &load{s: s}
			tr := s.client(t, protocol).Transport.(*http.Transport)
			var asking sync.WaitGroup
			for i := range clients {
				asking.Go(func() { l.keepAliveClient(tr, fmt.Sprint("regular", i)) })
				asking.Go(func() { l.newConnClient(tr, fmt.Sprint("newConnClient", i)) })
			}
			eventually(t, "the clients have sent some requests", func() bool { return l.answered.Load() > 100 })
			l.stopping.Store(true)
			s.stop()
			if err := <-s.served; err != nil {
				t.Errorf("Serve: %v", err)
			}
			asking.Wait()
			for _, err := range l.lost {
				t.Errorf("lost: %v", err)
			}
			if l.stopped.Load() == 0 || l.refused.Load() != clients || l.elsewhere.Load() < clients {
				t.Errorf("answered after the start of the shutdown: %d; refused connections: %d; ended connections: %d. The test needs more of them.",
					l.stopped.Load(), l.refused.Load(), l.elsewhere.Load())
			}
			t.Logf("%d requests answered, %d of them sent after the start of the shutdown", l.answered.Load(), l.stopped.Load())
		})
	}
}

func TestServer_DrainServesRequests(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		s := start(t, setup{drain: time.Hour, store: failing(store.ErrNotFound)})
		c := s.client(t, protocol)
		if got := s.must(t, c, ask{method: "GET", path: "/readyz"}); got.status != 200 {
			t.Fatalf("%s: /readyz: %d before", protocol, got.status)
		}
		s.stop()
		ready := ask{method: "GET", path: "/readyz"}
		eventually(t, "/readyz answers 503", func() bool { return s.must(t, c, ready).status == 503 })
		checkProblem(t, s.must(t, c, ready), 503, "not-ready")
		for range 5 {
			got := s.must(t, c, get("k"))
			if got.status != 404 || got.close != (protocol == protocols[0]) {
				t.Errorf("%s: %d, to be closed: %v", protocol, got.status, got.close)
			}
			if alive := s.must(t, c, ask{method: "GET", path: "/healthz"}); alive.status != 200 {
				t.Errorf("%s: /healthz: %d", protocol, alive.status)
			}
		}
		select {
		case err := <-s.served:
			t.Errorf("%s: Serve returned before the drain time ended: %v", protocol, err)
		default:
		}
	}
}

// TestServer_ShutdownServesFirstRequest covers a connection that was accepted before the shutdown and brings its first
// request later. http.Server.Shutdown alone would drop that request.
func TestServer_ShutdownServesFirstRequest(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		s := start(t, setup{})
		l := &load{s: s}
		c := l.connect(s.client(t, protocol).Transport.(*http.Transport))
		if c == nil {
			t.Fatalf("%s: %v", protocol, l.lost)
		}
		s.stop()
		s.refusesConnections(t)
		l.ask(c, "late")
		if l.answered.Load() != 1 || len(l.lost) > 0 {
			t.Errorf("%s: %v", protocol, l.lost)
		}
		if err := errors.Join(<-s.served, c.Close()); err != nil {
			t.Errorf("%s: Serve: %v", protocol, err)
		}
	}
}

func TestServer_ShutdownWithSilentConnections(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	l := &load{s: s}
	for _, protocol := range protocols {
		c := l.connect(s.client(t, protocol).Transport.(*http.Transport))
		if c == nil {
			t.Fatalf("%s: %v", protocol, l.lost)
		}
		defer func() { _ = c.Close() }()
	}
	began := time.Now()
	s.stop()
	if err := <-s.served; err != nil || time.Since(began) > headerTimeout+5*time.Second {
		t.Errorf("Serve: %v after %v", err, time.Since(began))
	}
}

// refusesConnections waits until s accepts no more connections.
func (s *service) refusesConnections(t *testing.T) {
	t.Helper()
	eventually(t, "connections are refused", func() bool {
		raw, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = raw.Close()
		}
		return err != nil
	})
}

func TestServer_ShutdownWaitsForRequests(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		g := newGate()
		s := start(t, setup{store: g.store()})
		c := s.client(t, protocol)
		type result struct {
			got answer
			err error
		}
		held := make(chan result)
		for _, a := range []ask{get("k"), put("k", "v"), {method: "DELETE", path: "/sessions/v1/k"}} {
			go func() {
				got, err := s.do(c, a)
				held <- result{got, err}
			}()
			<-g.entered
		}
		s.stop()
		s.refusesConnections(t)
		select {
		case err := <-s.served:
			t.Fatalf("%s: Serve returned with requests in flight: %v", protocol, err)
		default:
		}
		close(g.opened)
		for range 3 {
			if r := <-held; r.err != nil || r.got.status >= 300 {
				t.Errorf("%s: %d, %v", protocol, r.got.status, r.err)
			}
		}
		if err := <-s.served; err != nil {
			t.Errorf("%s: Serve: %v", protocol, err)
		}
	}
}

func TestServer_ShutdownAfterGrace(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		g := newGate()
		s := start(t, setup{store: g.store(), grace: 50 * time.Millisecond})
		c := s.client(t, protocol)
		held := make(chan error)
		go func() {
			_, err := s.do(c, get("k"))
			held <- err
		}()
		<-g.entered
		s.stop()
		if err := <-s.served; err == nil || !strings.Contains(err.Error(), "in flight when the grace time ended") {
			t.Errorf("%s: Serve: %v", protocol, err)
		}
		if err := <-held; err == nil {
			t.Errorf("%s: the request was answered", protocol)
		}
	}
}

func TestServer_ShutdownWithIdleConnections(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		s := start(t, setup{})
		for range 20 {
			s.must(t, s.client(t, protocol), get("k")) // each client keeps one
		}
		began := time.Now()
		s.stop()
		if err := <-s.served; err != nil || time.Since(began) > 5*time.Second {
			t.Errorf("%s: Serve: %v after %v", protocol, err, time.Since(began))
		}
	}
}

func TestServer_ListenerFails(t *testing.T) {
	s := start(t, setup{drain: time.Hour})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	s.stop()
	_ = s.server.http.Close() // closes the listener while the server drains
	if err := <-s.served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve, draining: %v", err)
	}
}
