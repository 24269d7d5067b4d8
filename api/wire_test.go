package api

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"
)

func (s *service) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// dialogue is a connection of either protocol on which requests are asked one after the other.
type dialogue interface {
	ask(testing.TB, ask)
	// closed waits until the server has closed the connection, and fails the test if it does not.
	closed(testing.TB)
}

func (s *service) dialogue(t testing.TB, protocol string) dialogue {
	t.Helper()
	if protocol == protocols[0] {
		return s.wire(t)
	}
	return s.frames(t)
}

// wire is an HTTP/1.1 connection on which a test writes what it likes.
type wire struct {
	*tls.Conn
	r *bufio.Reader
}

func (s *service) wire(t testing.TB) *wire {
	t.Helper()
	c, err := s.handshake(&tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.NetConn().Close() })
	return &wire{c, bufio.NewReader(c)}
}

// deadline is by when whatever begins now must be over.
func deadline() time.Time { return time.Now().Add(patience) }

func (s *service) handshake(config *tls.Config) (*tls.Conn, error) {
	raw, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, config)
	return c, errors.Join(c.SetDeadline(deadline()), c.Handshake())
}

// head is the beginning of a request from wiki, without the empty line that ends it.
func head(method, target string, fields ...string) string {
	h := method + " " + target + " HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer " + string(wiki) + "\r\n"
	for _, f := range fields {
		h += f + "\r\n"
	}
	return h
}

func (w *wire) send(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// answer reads the next response.
func (w *wire) answer(t testing.TB, method string) answer {
	t.Helper()
	res, err := http.ReadResponse(w.r, &http.Request{Method: method, URL: &url.URL{}})
	if err != nil {
		t.Fatalf("reading an answer: %v", err)
	}
	a, err := read(res)
	if err != nil {
		t.Fatalf("reading the body of an answer: %v", err)
	}
	return a
}

// closed waits until the server has closed the connection, whatever it says before.
func (w *wire) closed(t testing.TB) {
	t.Helper()
	if _, err := io.Copy(io.Discard, w.r); isTimeout(err) {
		t.Fatal("the connection stayed open")
	}
}

// ask sends a request without a body and reads its answer to the end.
func (w *wire) ask(t testing.TB, a ask) {
	t.Helper()
	lines := a.method + " " + a.path + " HTTP/1.1\r\nHost: test\r\n"
	for name, values := range a.header {
		for _, v := range values {
			lines += name + ": " + v + "\r\n"
		}
	}
	w.send(t, lines+"\r\n")
	w.answer(t, a.method)
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
