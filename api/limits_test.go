package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"userinfo/store"
)

// others keeps asking s until the test has seen what it waited for, and fails it if one of them is not answered in
// MediaWiki's time.
func (s *service) others(t *testing.T) (done func()) {
	t.Helper()
	const mediaWiki = 3 * time.Second
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		asking.Go(func() {
			for n := 0; ; n++ {
				began := time.Now()
				if got, err := s.do(c, get("k")); err != nil || got.status != 404 {
					t.Errorf("%s request %d of another client: %d, %v", protocol, n, got.status, err)
					return
				}
				if took := time.Since(began); took > mediaWiki {
					t.Errorf("%s request %d of another client took %v", protocol, n, took)
				}
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond): // a client, not a load
				}
			}
		})
	}
	done = sync.OnceFunc(func() {
		close(stop)
		asking.Wait()
	})
	t.Cleanup(done)
	return done
}

func TestBeyondTheBoundRequestsAreShedAtOnceAndNothingElseIs(t *testing.T) {
	t.Parallel()
	const bound = 3
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			g := newGate()
			s := start(t, setup{store: g.store(), maxInFlight: bound})
			c := s.client(t, protocol)
			held := make(chan error, bound)
			for i := range bound {
				go func() {
					got, err := s.do(c, get(fmt.Sprint(i)))
					if err == nil && got.status != 200 {
						err = fmt.Errorf("status %d", got.status)
					}
					held <- err
				}()
			}
			for range bound {
				<-g.entered
			}
			for _, a := range []ask{get("k"), put("k", "v"), put("k", strings.Repeat("v", testMaxValue)), {method: "PATCH", path: "/sessions/v1/k", header: as(wiki, "TTL", "7")},
				{method: "DELETE", path: "/sessions/v1/k"}, {method: "GET", path: "/sessions/v1/k", header: as("unknown")}, {method: "GET", path: "/metrics", header: as(prom)}} {
				got := s.must(t, c, a)
				checkProblem(t, got, 503, "overloaded")
				if got.header.Get("Retry-After") != "1" {
					t.Errorf("%s %s: Retry-After %q", a.method, a.path, got.header.Get("Retry-After"))
				}
			}
			for _, path := range []string{"/healthz", "/readyz"} {
				if got := s.must(t, c, ask{method: "GET", path: path}); got.status != 200 {
					t.Errorf("%s: %d", path, got.status)
				}
			}
			if len(g.entered) > 0 {
				t.Errorf("%d requests that were shed reached the store", len(g.entered))
			}
			close(g.opened)
			for range bound {
				if err := <-held; err != nil {
					t.Errorf("a request within the bound: %v", err)
				}
			}
			eventually(t, "requests are worked on again", func() bool { return s.must(t, c, get("k")).status == 200 })
		})
	}
}

func TestBeyondTheBoundConnectionsAreClosedAtOnceAndOthersGoOn(t *testing.T) {
	t.Parallel()
	const bound = 3
	s := start(t, setup{maxConnections: bound})
	var held []*wire
	for range bound {
		w := s.wire(t)
		w.send(t, head("GET", "/sessions/v1/k")+"\r\n")
		w.answer(t, "GET")
		held = append(held, w)
	}
	for range 20 {
		c, err := s.handshake(&tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost"})
		if err == nil {
			t.Error("a connection beyond the bound completed TLS")
		}
		if c != nil {
			_ = c.NetConn().Close()
		}
		for _, w := range held {
			w.send(t, head("GET", "/sessions/v1/k")+"\r\n")
			if got := w.answer(t, "GET"); got.status != 404 {
				t.Fatalf("a connection within the bound: %d", got.status)
			}
		}
	}
	if got := gauge(t, s, "userinfo_connections"); got != bound {
		t.Errorf("%v connections are open; want %d", got, bound)
	}
	if got := gauge(t, s, "userinfo_connections_refused_total"); got != 20 {
		t.Errorf("%v connections were refused; want 20", got)
	}
	_ = held[0].NetConn().Close()
	eventually(t, "there is room again", func() bool { return gauge(t, s, "userinfo_connections") == bound-1 })
	s.wire(t)
}

func TestClientsThatResetHalfWayLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	done := s.others(t)
	for i := range 60 {
		raw := s.dial(t)
		reset := func(c net.Conn) {
			if err := errors.Join(raw.(*net.TCPConn).SetLinger(0), raw.Close()); err != nil {
				t.Fatal(err)
			}
			_ = c.Close() // its own half has gone
		}
		if i%6 == 0 { // in the handshake
			if _, err := io.WriteString(raw, "\x16\x03\x01\x02\x00\x01"); err != nil {
				t.Fatal(err)
			}
			reset(raw)
			continue
		}
		c := tls.Client(raw, &tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost", NextProtos: []string{"http/1.1"}})
		sent := []string{
			1: "", 2: head("GET", "/sess")[:20], 3: head("PUT", "/sessions/v1/r", "Content-Length: 100000") + "\r\n" + strings.Repeat("v", 50_000),
			4: head("PUT", "/sessions/v1/r", "Transfer-Encoding: chunked") + "\r\n5\r\nab", 5: head("GET", "/sessions/v1/r") + "\r\n",
		}[i%6]
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		reset(c)
	}
	done()
	eventually(t, "nothing is in flight", func() bool { return gauge(t, s, "userinfo_http_in_flight") == 0 })
	eventually(t, "only the others' connections are open", func() bool { return gauge(t, s, "userinfo_connections") <= 2 })
	if got := s.must(t, s.client(t, protocols[0]), get("r")); got.status != 404 {
		t.Errorf("a body that was cut was stored: %d", got.status)
	}
}

func TestABodyThatEndsEarlyIsNotStored(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	for _, text := range []string{
		head("PUT", "/sessions/v1/k", "Content-Length: 100") + "\r\nabc",
		head("PUT", "/sessions/v1/k", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n",
		head("PUT", "/sessions/v1/k", "Transfer-Encoding: chunked") + "\r\nzz\r\nabc\r\n",
	} {
		w := s.wire(t)
		w.send(t, text)
		if err := w.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		checkProblem(t, w.answer(t, "PUT"), 400, "bad-request")
	}
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("%d of them reached the store", len(calls))
	}
}

func TestAPanicIsAnswered500AndOthersGoOn(t *testing.T) {
	for _, protocol := range protocols {
		s := start(t, setup{store: stub(func(_ context.Context, c call) (store.Value, error) {
			if c.key == "panic" {
				panic(planted)
			}
			return store.Value{Data: []byte("value")}, nil
		})})
		c := s.client(t, protocol)
		for range 3 {
			got := s.must(t, c, get("panic"))
			if checkProblem(t, got, 500, "internal"); strings.Contains(got.body, "planted") {
				t.Errorf("%s: %s", protocol, got.body)
			}
			if got := s.must(t, c, get("k")); got.status != 200 {
				t.Errorf("%s: after a panic: %d", protocol, got.status)
			}
		}
		log := s.logs.String()
		if !strings.Contains(log, `"msg":"panic"`) || !strings.Contains(log, "limits_test.go") || strings.Contains(log, "planted") {
			t.Errorf("%s: the log has not where it was, or what it said: %s", protocol, log)
		}
		eventually(t, "nothing is in flight", func() bool { return gauge(t, s, "userinfo_http_in_flight") == 0 })
	}
}

func TestAHeaderThatIsTooLargeIsRefused(t *testing.T) {
	var r recorder
	s := start(t, setup{store: r.store()})
	large := ask{method: "GET", path: "/sessions/v1/k", header: as(wiki, "X-Large", strings.Repeat("x", 2*maxHeaderBytes))}
	if got := s.must(t, s.client(t, protocols[0]), large); got.status != 431 {
		t.Errorf("HTTP/1.1: %d; want 431", got.status)
	}
	// In HTTP/2 the connection may end instead: a header that is not decoded leaves its compression undefined.
	if got, err := s.do(s.client(t, protocols[1]), large); err == nil && got.status != 431 {
		t.Errorf("HTTP/2: %d; want 431 or the end of the connection", got.status)
	}
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("%d of them reached the store", len(calls))
	}
}

func (s *service) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
