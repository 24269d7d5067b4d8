package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/store"
)

// stalledAfter returns what Stalled says after this time in steps of 5 s. Its clock is only what it is told.
func stalledAfter(s *service, d time.Duration) (stalled string) {
	const step = 5 * time.Second
	for ; d > 0; d -= step {
		stalled = s.server.Stalled(min(d, step))
	}
	return stalled
}

// wantStalled checks that the server is stalled after StallTime, and not earlier.
func (s *service) wantStalled(t *testing.T, want string) {
	t.Helper()
	if early := stalledAfter(s, StallTime-time.Second); early != "" {
		t.Errorf("stalled too early: %s", early)
	}
	if got := stalledAfter(s, time.Second); got != want {
		t.Errorf("stalled: %q, want %q", got, want)
	}
}

func (s *service) wantRecovered(t *testing.T) {
	t.Helper()
	eventually(t, "nothing is stalled", func() bool { return s.server.Stalled(time.Nanosecond) == "" })
}

// hangingStore is a store that does not observe the end of a request. Reads of the key "quick" return at once.
func hangingStore(begun chan<- struct{}, end <-chan struct{}) stub {
	return func(_ context.Context, c call) (store.Value, error) {
		if string(c.key) != "quick" {
			begun <- struct{}{}
			<-end
		}
		return store.Value{Data: []byte("value"), TTL: time.Minute}, nil
	}
}

func TestServer_StallsWhenNoRequestEnds(t *testing.T) {
	begun, end := make(chan struct{}, 1), make(chan struct{})
	s := start(t, setup{store: hangingStore(begun, end)})
	client := s.client(t, "HTTP/1.1")
	s.must(t, client, get("quick"))
	if got := stalledAfter(s, 10*StallTime); got != "" {
		t.Errorf("an idle server is stalled: %s", got)
	}
	done := make(chan error)
	go func() {
		_, err := s.do(client, get("hangs"))
		done <- err
	}()
	<-begun
	s.wantStalled(t, "requests")
	close(end)
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.wantRecovered(t)
}

func TestServer_DoesNotStallWhileSomeRequestsEnd(t *testing.T) {
	begun, end := make(chan struct{}, 1), make(chan struct{})
	s := start(t, setup{store: hangingStore(begun, end)})
	client := s.client(t, "HTTP/2.0")
	done := make(chan error)
	go func() {
		_, err := s.do(client, get("hangs"))
		done <- err
	}()
	<-begun
	for range 10 {
		before := s.api.requests.left.Load()
		s.must(t, client, get("quick"))
		eventually(t, "the request has left", func() bool { return s.api.requests.left.Load() > before })
		if got := stalledAfter(s, StallTime-time.Second); got != "" {
			t.Fatalf("a busy server is stalled: %s", got)
		}
	}
	close(end)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// blockedWriter is the connection of a client that reads nothing: it takes no response until end is closed.
type blockedWriter struct {
	http.ResponseWriter
	begun chan<- struct{}
	end   <-chan struct{}
}

func (w blockedWriter) WriteHeader(int) {
	select {
	case w.begun <- struct{}{}:
	default: // not the first write
	}
	<-w.end
}

func (w blockedWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(p), nil
}

// TestServer_DoesNotStallBecauseOfSlowReaders uses the one client of an idle server, who could otherwise have it restarted.
func TestServer_DoesNotStallBecauseOfSlowReaders(t *testing.T) {
	for path, token := range map[string]access.Token{"/healthz": "", "/nothing": "", "/sessions/v1/quick": wiki, "/metrics": prom} {
		t.Run(path, func(t *testing.T) {
			begun, end := make(chan struct{}, 1), make(chan struct{})
			s := start(t, setup{store: hangingStore(begun, end)})
			r := httptest.NewRequest("GET", path, nil)
			if token != "" {
				r.Header = as(token)
			}
			var asking sync.WaitGroup
			asking.Go(func() { s.api.ServeHTTP(blockedWriter{httptest.NewRecorder(), begun, end}, r) })
			defer asking.Wait()
			defer close(end)
			<-begun
			if got := stalledAfter(s, 2*StallTime); got != "" {
				t.Errorf("stalled: %s", got)
			}
		})
	}
}

func TestServer_StallsWhenConnectionsBringNoRequest(t *testing.T) {
	s := start(t, setup{})
	c := s.dial(t)
	eventually(t, "the connection is accepted", func() bool { return s.server.beforeRequest.entered.Load() == 1 })
	s.server.beforeRequest.enter() // a second one, whose goroutine hangs
	_ = c.Close()
	eventually(t, "the connection has left", func() bool { return s.server.beforeRequest.left.Load() == 1 })
	s.server.Stalled(0)
	s.wantStalled(t, "first requests of connections")
	s.server.beforeRequest.leave()
	s.wantRecovered(t)
}

// TestServer_StallsWhenAcceptLoopHangs holds the lock that the accept loop needs for each connection.
func TestServer_StallsWhenAcceptLoopHangs(t *testing.T) {
	s := start(t, setup{})
	s.server.table.mu.Lock()
	s.dial(t)
	eventually(t, "the accept loop hangs", func() bool { return s.server.accepting.entered.Load() == 1 })
	s.wantStalled(t, "accepting connections")
	s.server.table.mu.Unlock()
	s.wantRecovered(t)
}

func TestServer_DoesNotStallDuringShutdown(t *testing.T) {
	s := start(t, setup{})
	s.must(t, s.client(t, "HTTP/1.1"), get("k"))
	s.stop()
	if err := <-s.served; err != nil {
		t.Fatal(err)
	}
	if got := stalledAfter(s, 10*StallTime); got != "" {
		t.Errorf("stalled: %s", got)
	}
}
