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

func TestConn_FirstRequestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Server)
		silent, silentClient := net.Pipe()
		asking, askingClient := net.Pipe()
		s.newConn(silent)
		asked := s.newConn(asking)
		time.Sleep(firstRequestTimeout / 2)
		asked.requestReceived()
		if err := heard(t, silentClient); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("before firstRequestTimeout: %v", err)
		}
		time.Sleep(time.Hour)
		if err := heard(t, silentClient); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("after it, the silent one: %v", err)
		}
		if err := heard(t, askingClient); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after it, the one that has asked: %v", err)
		}
		_ = asked.Close()
	})
}

// heard is what a client finds when it looks whether its connection has ended.
func heard(t *testing.T, c net.Conn) error {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(1)); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}
