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

// dialogue is a connection of one of the protocols, for one request after another.
type dialogue interface {
	ask(testing.TB, ask)
	// closed waits until the server closes the connection. It fails the test if that does not happen.
	closed(testing.TB)
}

func (s *service) dialogue(t testing.TB, protocol string) dialogue {
	t.Helper()
	if protocol == protocols[0] {
		return s.wire(t)
	}
	return s.frames(t)
}

// wire is an HTTP/1.1 connection on which a test can send any bytes.
type wire struct {
	*tls.Conn
	r *bufio.Reader
}

func (s *service) wire(t testing.TB) *wire {
	t.Helper()
	w, err := s.dialWire()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.NetConn().Close() })
	return w
}

// dialWire is wire for callers that close the connection themselves.
func (s *service) dialWire() (*wire, error) {
	c, err := s.handshake(&tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	return &wire{c, bufio.NewReader(c)}, err
}

// deadline returns the time by which an operation that starts now must end.
func deadline() time.Time { return time.Now().Add(patience) }

func (s *service) handshake(config *tls.Config) (*tls.Conn, error) {
	raw, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, config)
	return c, errors.Join(c.SetDeadline(deadline()), c.Handshake())
}

// head returns the header of a request from wiki, without the empty line at its end.
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

// answer reads the next response, to a request of this method.
func (w *wire) answer(t testing.TB, method string) answer {
	t.Helper()
	res, err := http.ReadResponse(w.r, &http.Request{Method: method, URL: &url.URL{}})
	if err != nil {
		t.Fatalf("reading a response: %v", err)
	}
	a, err := read(res)
	if err != nil {
		t.Fatalf("reading the body of a response: %v", err)
	}
	return a
}

// closed waits until the server closes the connection. It ignores what the server sends before.
func (w *wire) closed(t testing.TB) {
	t.Helper()
	if _, err := io.Copy(io.Discard, w.r); isTimeout(err) {
		t.Fatal("the connection stayed open")
	}
}

// ask sends a request without a body and reads the whole response.
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
