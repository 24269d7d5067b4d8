package http1

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"userinfo/internal/devca"
)

// patience is how long a test waits for an event that must come.
const patience = 20 * time.Second

var certificate = sync.OnceValues(func() (*devca.CA, tls.Certificate) {
	ca, err := devca.New("http1 tests")
	if err != nil {
		panic(err)
	}
	certPEM, keyPEM, err := ca.Issue(devca.Loopback())
	if err != nil {
		panic(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		panic(err)
	}
	return ca, pair
})

// service has each connection of its listener served by a Server.
type service struct {
	*Server
	addr string
	logs bytes.Buffer // to be read when nothing is served any more
}

// start serves h until the test ends; change says how its configuration differs from the usual.
func start(t *testing.T, h http.HandlerFunc, change ...func(*Config)) *service {
	t.Helper()
	s := &service{}
	config := Config{
		Handler: h,
		Refuse: func(w http.ResponseWriter, status int, detail string) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, detail)
		},
		HeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: patience, ParkAfter: patience,
		MaxHeaderBytes: 64 << 10,
		Log:            slog.New(slog.NewTextHandler(&s.logs, nil)),
	}
	for _, f := range change {
		f(&config)
	}
	s.Server = NewServer(config)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	_, pair := certificate()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				if t := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}); t.Handshake() == nil {
					s.Serve(context.Background(), t)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.Close()
		serving.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("connections are left: %v", err)
		}
	})
	return s
}

// client is a connection on which a test writes what it likes.
type client struct {
	*tls.Conn
	r *bufio.Reader
}

func (s *service) dial(t *testing.T) *client {
	t.Helper()
	return s.dialTLS(t, 0)
}

// dialTLS dials with no later version of TLS than most, unless that is 0.
func (s *service) dialTLS(t *testing.T, most uint16) *client {
	t.Helper()
	ca, _ := certificate()
	c, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MaxVersion: most})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.NetConn().Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{c, bufio.NewReader(c)}
}

func (c *client) send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// answer is the next one, read to its end.
func (c *client) answer(t *testing.T) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: "GET", URL: &url.URL{}})
	if err != nil {
		t.Fatalf("reading an answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("reading the body of an answer: %v", err)
	}
	return res, string(body)
}

// rest is what is said until the connection ends.
func (c *client) rest(t *testing.T) string {
	t.Helper()
	b, err := io.ReadAll(c.r)
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		t.Fatal("the connection stayed open")
	}
	return string(b)
}

// ask is a GET of path.
func ask(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n" }

// echo answers with the request's path and body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	text := r.URL.Path + " " + string(body)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = io.WriteString(w, text)
}

// eventually waits for what cannot announce itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so after %v: %s", patience, what)
		}
	}
}
