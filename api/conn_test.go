package api

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestConnListener_MaxConnections(t *testing.T) {
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
			t.Error("a connection beyond the maximum completed the handshake")
		}
		if c != nil {
			_ = c.NetConn().Close()
		}
		for _, w := range held {
			w.send(t, head("GET", "/sessions/v1/k")+"\r\n")
			if got := w.answer(t, "GET"); got.status != 404 {
				t.Fatalf("a connection within the maximum: status %d", got.status)
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
	eventually(t, "the closed connection is not countingListener", func() bool { return gauge(t, s, "userinfo_connections") == bound-1 })
	s.wire(t)
}

func TestConn_ResetByClient(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	done := s.others(t)
	for i := range 60 {
		raw := s.dial(t)
		reset := func(c net.Conn) {
			if err := errors.Join(raw.(*net.TCPConn).SetLinger(0), raw.Close()); err != nil {
				t.Fatal(err)
			}
			_ = c.Close() // fails: the socket is closed
		}
		if i%6 == 0 { // reset during the handshake
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
	eventually(t, "only the connections of other clients are open", func() bool { return gauge(t, s, "userinfo_connections") <= 2 })
	if got := s.must(t, s.client(t, protocols[0]), get("r")); got.status != 404 {
		t.Errorf("an incomplete body was stored: status %d", got.status)
	}
}

func TestConn_FirstRequestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Server)
		silent, silentClient := net.Pipe()
		asking, askingClient := net.Pipe()
		s.newConn(silent)
		asked := s.newConn(asking)
		time.Sleep(firstRequestTimeout / 2)
		asked.requestReceived()
		if err := readError(t, silentClient); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("before firstRequestTimeout: %v", err)
		}
		time.Sleep(time.Hour)
		if err := readError(t, silentClient); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the silent connection, after firstRequestTimeout: %v", err)
		}
		if err := readError(t, askingClient); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection with a request, after firstRequestTimeout: %v", err)
		}
		_ = asked.Close()
	})
}

// readError returns the error of a read from c: a timeout if c is open.
func readError(t *testing.T, c net.Conn) error {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(1)); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

func TestConn_CloseIsCountedOnce(t *testing.T) {
	s := new(Server)
	server, client := net.Pipe()
	defer func() { _ = client.Close() }()
	s.open.Add(1)
	c := s.newConn(server)
	for range 2 {
		_ = c.Close() // the second close may fail
	}
	if n := s.open.Load(); n != 0 {
		t.Errorf("%d connections are open; want 0", n)
	}
	s.waitForFirstRequests(patience) // returns at once
}
