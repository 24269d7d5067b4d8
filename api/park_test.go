package api

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// parked is how many connections are.
func (s *service) parked() int { return s.server.one.Parked() }

func (s *service) waitParked(t *testing.T, n int) {
	t.Helper()
	eventually(t, "so many connections are parked", func() bool { return s.parked() == n })
}

// parking is a service that parks at once and has a value under every key.
func parking(t *testing.T, u setup) *service {
	var r recorder
	u.store, u.parkAfter = r.store(), time.Millisecond
	return start(t, u)
}

func TestAParkedConnectionIsAskedAsBefore(t *testing.T) {
	s := parking(t, setup{})
	plain := head("GET", "/sessions/v1/k") + "\r\n"
	w := s.wire(t)
	for range 3 {
		for _, sent := range []string{plain, head("PUT", "/sessions/v1/k", "Content-Length: 5") + "\r\nvalue"} {
			if _, err := io.WriteString(w, sent); err != nil {
				t.Fatal(err)
			}
			if got := w.answer(t, "GET"); got.status/100 != 2 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			s.waitParked(t, 1)
			if open := gauge(t, s, "userinfo_connections"); open != 1 {
				t.Errorf("%v connections are counted while one is parked", open)
			}
		}
	}
	// Its lines go on being watched.
	if _, err := io.WriteString(w, head("GET", "/sessions/v1/k", "X: a\r\n b")+"\r\n"); err != nil {
		t.Fatal(err)
	}
	checkProblem(t, w.answer(t, "GET"), 400, "bad-request")
	w.closed(t)
}

func TestNoConnectionIsParkedWithBytesOfTheNextRequest(t *testing.T) {
	s := parking(t, setup{})
	plain := head("GET", "/sessions/v1/k") + "\r\n"
	for _, begin := range []string{"G", "GE", "GET", "GET ", plain[:len(plain)-1]} {
		w := s.wire(t)
		if _, err := io.WriteString(w, plain+begin); err != nil {
			t.Fatal(err)
		}
		if got := w.answer(t, "GET"); got.status != http.StatusOK {
			t.Fatalf("%q: %d", begin, got.status)
		}
		time.Sleep(20 * time.Millisecond) // in which a connection without them would have been parked
		if n := s.parked(); n != 0 {
			t.Errorf("%q: %d connections are parked", begin, n)
		}
		if _, err := io.WriteString(w, plain[len(begin):]); err != nil {
			t.Fatal(err)
		}
		if got := w.answer(t, "GET"); got.status != http.StatusOK {
			t.Errorf("%q and the rest: %d %s", begin, got.status, got.body)
		}
		_ = w.NetConn().Close()
	}
}

func TestAParkedConnectionEndsWithItsClient(t *testing.T) {
	s := parking(t, setup{})
	c := s.client(t, protocols[0])
	s.must(t, c, get("k"))
	s.waitParked(t, 1)
	c.CloseIdleConnections()
	eventually(t, "its place is free", func() bool { return gauge(t, s, "userinfo_connections") == 0 && s.parked() == 0 })
}

func TestAParkedConnectionEndsAfterItsIdleTime(t *testing.T) {
	s := parking(t, setup{idleTimeout: 100 * time.Millisecond})
	w := s.wire(t)
	if _, err := io.WriteString(w, head("GET", "/sessions/v1/k")+"\r\n"); err != nil {
		t.Fatal(err)
	}
	w.answer(t, "GET")
	w.closed(t)
	eventually(t, "its place is free", func() bool { return gauge(t, s, "userinfo_connections") == 0 && s.parked() == 0 })
}

func TestStoppingClosesParkedConnections(t *testing.T) {
	s := parking(t, setup{})
	c := s.client(t, protocols[0])
	s.must(t, c, get("k"))
	s.waitParked(t, 1)
	s.stop()
	if err := <-s.served; err != nil {
		t.Errorf("stopping: %v", err)
	}
	s.served <- nil // for the harness
	if n := gauge(t, s, "userinfo_connections"); n != 0 {
		t.Errorf("%v connections are open", n)
	}
	eventually(t, "none is parked", func() bool { return s.parked() == 0 })
}

// TestRequestsAtTheMomentOfParkingAreAnswered pauses for about as long as it takes to be parked.
func TestRequestsAtTheMomentOfParkingAreAnswered(t *testing.T) {
	s := parking(t, setup{})
	var all sync.WaitGroup
	for n := range 4 {
		c := s.client(t, protocols[0])
		all.Go(func() {
			for i := range 200 {
				// A set, unlike a get, is not asked again by the client where its connection has gone.
				if got, err := s.do(c, put("k", "v")); err != nil || got.status != http.StatusNoContent {
					t.Errorf("request %d: %d, %v", i, got.status, err)
					return
				}
				time.Sleep(time.Duration(900+(i*37+n*11)%300) * time.Microsecond)
			}
		})
	}
	all.Wait()
	if open := gauge(t, s, "userinfo_connections"); open != 4 {
		t.Errorf("%v connections are open; want the 4 that there were from the first", open)
	}
}
