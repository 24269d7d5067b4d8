package api

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"

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

func TestAClientThatStopsReadingHoldsItsPlacesOnlyUntilTheWriteTimeout(t *testing.T) {
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
