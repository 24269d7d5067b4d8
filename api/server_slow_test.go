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

// deaf is a client's connection that reads the beginning of what it is sent, and then nothing until it is closed.
type deaf struct {
	net.Conn
	left   int // bytes that it still reads; the reader's
	closed chan struct{}
	close  func()
}

// newDeaf takes c over.
func newDeaf(c *net.TCPConn) (*deaf, error) {
	closed := make(chan struct{})
	d := &deaf{Conn: c, left: 64 << 10, closed: closed, close: sync.OnceFunc(func() { close(closed) })}
	return d, c.SetReadBuffer(4 << 10) // what the kernel reads in its place
}

// Read implements net.Conn.
func (d *deaf) Read(p []byte) (int, error) {
	if d.left == 0 {
		<-d.closed
		return 0, net.ErrClosed
	}
	n, err := d.Conn.Read(p[:min(len(p), d.left)])
	d.left -= n
	return n, err
}

// Close implements net.Conn.
func (d *deaf) Close() error {
	d.close()
	return d.Conn.Close()
}

// deafClient is one whose connections are deaf; hangUp closes them.
func (s *service) deafClient(t testing.TB, protocol string) (c *http.Client, hangUp func()) {
	t.Helper()
	var mu sync.Mutex
	var all []net.Conn
	c = s.client(t, protocol)
	c.Timeout = 0 // it is for the server to end it
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		d, err := newDeaf(raw.(*net.TCPConn))
		all = append(all, d)
		return d, err
	}
	return c, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, d := range all {
			_ = d.Close() // the server may have been first
		}
	}
}

func TestServer_ClientsThatStopReading(t *testing.T) {
	t.Parallel()
	const bound = 4
	value := make([]byte, 16<<20) // more than all the buffers between the two hold
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
			c, hangUp := s.deafClient(t, protocol)
			s.must(t, c, get("k")) // so that HTTP/2 has its one connection
			var reading sync.WaitGroup
			for range bound {
				reading.Go(func() {
					if got, err := s.do(c, get("large")); err == nil {
						t.Errorf("it was answered %d, and %d bytes", got.status, len(got.body))
					}
				})
			}
			defer reading.Wait()
			defer hangUp()
			eventually(t, "it has all the places", func() bool { return gauge(t, s, "userinfo_http_in_flight") == bound })
			checkProblem(t, s.must(t, other, get("k")), 503, "overloaded")
			eventually(t, "it has none", func() bool { return gauge(t, s, "userinfo_http_in_flight") == 0 })
			if got := s.must(t, other, get("k")); got.status != 404 {
				t.Errorf("another client: %d", got.status)
			}
		})
	}
}

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

// attack is a client that begins and then takes its time: it sends drop after drop, or nothing more, until the server
// hangs up.
type attack struct {
	name        string
	raw         bool // without TLS
	http2       bool // and what it is answered is not looked at
	begin, drop string
	answers     []int // statuses that it is sent before the server hangs up
}

var attacks = []attack{
	{name: "silence in the TLS handshake", raw: true},
	// The header of a ClientHello of 512 bytes, which then come one at a time.
	{name: "a dribbled TLS handshake", raw: true, begin: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", drop: "\x00"},
	{name: "silence after the TLS handshake"},
	{name: "a dribbled request line", begin: "GET /", drop: "k", answers: []int{400}},
	{name: "a dribbled header", begin: head("GET", "/healthz"), drop: "X-K: v\r\n"},
	{name: "a dribbled second header", begin: head("GET", "/sessions/v1/k") + "\r\n" + head("GET", "/sessions/v1/k"), drop: "X-K: v\r\n", answers: []int{404}},
	{name: "a body that does not come", begin: head("PUT", "/sessions/v1/k", "Content-Length: 1000") + "\r\n", answers: []int{408}},
	{name: "a body that stops", begin: head("PUT", "/sessions/v1/k", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n", answers: []int{408}},
	{name: "a dribbled body", begin: head("PUT", "/sessions/v1/k", "Content-Length: 1000000") + "\r\n", drop: "v", answers: []int{408}},
	{name: "a body that a DELETE has not", begin: head("DELETE", "/sessions/v1/k", "Transfer-Encoding: chunked") + "\r\n", answers: []int{408}},
	{name: "a body that nobody asked for", begin: head("PUT", "/nowhere", "Content-Length: 1000") + "\r\n", answers: []int{404}},
	{name: "silence after HTTP/2's preface", http2: true, begin: preface},
	{name: "pings without a request", http2: true, begin: preface, drop: frame(framePing, 0, 0, "12345678")},
	{name: "a header in HTTP/2 that does not end", http2: true, begin: preface + frame(frameHeaders, flagEndStream, 1, fields(":method", "GET"))},
}

func TestServer_SlowClients(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	done := s.others(t)
	var attacking sync.WaitGroup
	for _, a := range attacks {
		attacking.Go(func() {
			if err := a.run(s); err != nil {
				t.Errorf("%s: %v", a.name, err)
			}
		})
	}
	attacking.Go(func() {
		body, never := io.Pipe()
		defer func() { _ = never.Close() }()
		got, err := s.do(s.client(t, protocols[1]), ask{method: "PUT", path: "/sessions/v1/k", body: body})
		if err != nil || got.status != 408 || !strings.Contains(got.body, "too-slow") {
			t.Errorf("a body that does not come, by HTTP/2: %d %s, %v", got.status, got.body, err)
		}
	})
	attacking.Wait()
	done()
	eventually(t, "nothing is in flight", func() bool { return gauge(t, s, "userinfo_http_in_flight") == 0 })
}

// run attacks s. It is an error if s does not hang up in time or says anything else than expected.
func (a attack) run(s *service) error {
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
		return fmt.Errorf("it was cut off after %v", took)
	}
	if a.raw || a.http2 {
		return nil
	}
	return a.check(&heard)
}

// dribble sends drops until the server has hung up, and gives the error that this was.
func (a attack) dribble(c net.Conn, hungUp <-chan error) error {
	for a.drop != "" {
		select {
		case err := <-hungUp:
			return err
		case <-time.After(20 * time.Millisecond): // slow is what it is
			if _, err := io.WriteString(c, a.drop); err != nil {
				return <-hungUp
			}
		}
	}
	return <-hungUp
}

func (a attack) check(heard *bytes.Buffer) error {
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
		return fmt.Errorf("it was answered %v; want %v", statuses, a.answers)
	}
	return nil
}
