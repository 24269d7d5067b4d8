package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"userinfo/store"
)

// stalledConn is a connection of a client that reads the first 64 kB and then nothing.
type stalledConn struct {
	net.Conn
	left   int // bytes that it still reads
	closed chan struct{}
	close  func()
}

// newStalledConn returns a stalledConn on top of c.
func newStalledConn(c *net.TCPConn) (*stalledConn, error) {
	closed := make(chan struct{})
	d := &stalledConn{Conn: c, left: 64 << 10, closed: closed, close: sync.OnceFunc(func() { close(closed) })}
	return d, c.SetReadBuffer(4 << 10) // limits what the kernel receives
}

// Read implements net.Conn.
func (d *stalledConn) Read(p []byte) (int, error) {
	if d.left == 0 {
		<-d.closed
		return 0, net.ErrClosed
	}
	n, err := d.Conn.Read(p[:min(len(p), d.left)])
	d.left -= n
	return n, err
}

// Close implements net.Conn.
func (d *stalledConn) Close() error {
	d.close()
	return d.Conn.Close()
}

// stalledClient returns a client whose connections are stalled. hangUp closes them.
func (s *service) stalledClient(t testing.TB, protocol string) (c *http.Client, hangUp func()) {
	t.Helper()
	var mu sync.Mutex
	var all []net.Conn
	c = s.client(t, protocol)
	c.Timeout = 0 // the server must end the request
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		d, err := newStalledConn(raw.(*net.TCPConn))
		all = append(all, d)
		return d, err
	}
	return c, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, d := range all {
			_ = d.Close() // fails if the server has closed it
		}
	}
}

func TestServer_ClientsThatStopReading(t *testing.T) {
	t.Parallel()
	const bound = 4
	value := make([]byte, 16<<20) // more than all buffers between client and server
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := start(t, setup{maxInFlight: bound, store: stub(func(_ context.Context, c call) (store.Value, error) {
				if c.key == "large" {
					return store.Value{Data: value}, nil
				}
				return store.Value{}, store.ErrNotFound
			})})
			other := s.client(t, protocol)
			c, hangUp := s.stalledClient(t, protocol)
			s.must(t, c, get("k")) // opens the one connection of HTTP/2
			var reading sync.WaitGroup
			for range bound {
				reading.Go(func() {
					if got, err := s.do(c, get("large")); err == nil {
						t.Errorf("a client that does not read got status %d and %d bytes", got.status, len(got.body))
					}
				})
			}
			defer reading.Wait()
			defer hangUp()
			eventually(t, "the client has all requests in flight", func() bool { return gauge(t, s, "userinfo_http_in_flight") == bound })
			checkProblem(t, s.must(t, other, get("k")), 503, "overloaded")
			eventually(t, "the client has no request in flight", func() bool { return gauge(t, s, "userinfo_http_in_flight") == 0 })
			if got := s.must(t, other, get("k")); got.status != 404 {
				t.Errorf("another client: %d", got.status)
			}
		})
	}
}

// others runs other clients of s until done is called. It fails the test if a request is not answered within MediaWiki's
// timeout.
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
				case <-time.After(5 * time.Millisecond): // between two requests
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

// slowClient sends begin, and then drop again and again, until the server closes the connection.
type slowClient struct {
	name        string
	raw         bool // without TLS
	http2       bool // responses are not checked
	begin, drop string
	answers     []int // statuses of the responses before the server closes the connection
}

var slowClients = []slowClient{
	{name: "silence in the TLS handshake", raw: true},
	// The header of a ClientHello of 512 bytes. The rest comes one byte at a time.
	{name: "a slow TLS handshake", raw: true, begin: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", drop: "\x00"},
	{name: "silence after the TLS handshake"},
	{name: "a slow request line", begin: "GET /", drop: "k", answers: []int{400}},
	{name: "a slow header", begin: head("GET", "/healthz"), drop: "X-K: v\r\n"},
	{name: "a slow header of a second request", begin: head("GET", "/sessions/v1/k") + "\r\n" + head("GET", "/sessions/v1/k"), drop: "X-K: v\r\n", answers: []int{404}},
	{name: "a body that does not arrive", begin: head("PUT", "/sessions/v1/k", "Content-Length: 1000") + "\r\n", answers: []int{408}},
	{name: "a body that stops", begin: head("PUT", "/sessions/v1/k", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n", answers: []int{408}},
	{name: "a slow body", begin: head("PUT", "/sessions/v1/k", "Content-Length: 1000000") + "\r\n", drop: "v", answers: []int{408}},
	{name: "a body that DELETE does not have", begin: head("DELETE", "/sessions/v1/k", "Transfer-Encoding: chunked") + "\r\n", answers: []int{408}},
	{name: "a body for an unknown path", begin: head("PUT", "/nowhere", "Content-Length: 1000") + "\r\n", answers: []int{404}},
	{name: "silence after the HTTP/2 preface", http2: true, begin: preface},
	{name: "pings without a request", http2: true, begin: preface, drop: frame(framePing, 0, 0, "12345678")},
	{name: "an HTTP/2 header that does not end", http2: true, begin: preface + frame(frameHeaders, flagEndStream, 1, fields(":method", "GET"))},
}

func TestServer_SlowClients(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	done := s.others(t)
	var running sync.WaitGroup
	for _, a := range slowClients {
		running.Go(func() {
			if err := a.run(s); err != nil {
				t.Errorf("%s: %v", a.name, err)
			}
		})
	}
	running.Go(func() {
		body, never := io.Pipe()
		defer func() { _ = never.Close() }()
		got, err := s.do(s.client(t, protocols[1]), ask{method: "PUT", path: "/sessions/v1/k", body: body})
		if err != nil || got.status != 408 || !strings.Contains(got.body, "too-slow") {
			t.Errorf("an HTTP/2 body that does not arrive: %d %s, %v", got.status, got.body, err)
		}
	})
	running.Wait()
	done()
	eventually(t, "nothing is in flight", func() bool { return gauge(t, s, "userinfo_http_in_flight") == 0 })
}

// run runs the client. It returns an error if s does not close the connection in time, or sends other responses.
func (a slowClient) run(s *service) error {
	began := time.Now()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(deadline()); err != nil {
		return err
	}
	protocol := "http/1.1"
	if a.http2 {
		protocol = "h2"
	}
	if !a.raw {
		c = tls.Client(c, &tls.Config{RootCAs: testCA().Pool(), ServerName: "localhost", NextProtos: []string{protocol}})
	}
	var heard bytes.Buffer
	hungUp := make(chan error, 1)
	if _, err := io.WriteString(c, a.begin); err != nil {
		return err
	}
	go func() {
		_, err := heard.ReadFrom(c)
		hungUp <- err
	}()
	err = a.dribble(c, hungUp)
	if isTimeout(err) {
		return errors.New("the connection stayed open")
	}
	if took := time.Since(began); took > headerTimeout+readTimeout+5*time.Second {
		return fmt.Errorf("the connection was closed after %v", took)
	}
	if a.raw || a.http2 {
		return nil
	}
	return a.check(&heard)
}

// dribble sends drops until the server closes the connection, and returns the read error.
func (a slowClient) dribble(c net.Conn, hungUp <-chan error) error {
	for a.drop != "" {
		select {
		case err := <-hungUp:
			return err
		case <-time.After(20 * time.Millisecond): // the pause of a slow client
			if _, err := io.WriteString(c, a.drop); err != nil {
				return <-hungUp
			}
		}
	}
	return <-hungUp
}

func (a slowClient) check(heard *bytes.Buffer) error {
	var statuses []int
	for r := bufio.NewReader(heard); ; {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			break // the end
		}
		if _, err := read(res); err != nil {
			return err
		}
		statuses = append(statuses, res.StatusCode)
	}
	if !slices.Equal(statuses, a.answers) {
		return fmt.Errorf("the responses were %v; want %v", statuses, a.answers)
	}
	return nil
}
