package load

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"userinfo/internal/devca"
)

// fakeStore is a target in memory. Its fields are set before it is used.
type fakeStore struct {
	takes func(n int, op *Op) error // what the n-th request, from 0, comes to; it may sleep. nil: nothing
	dials func(n int) error

	mu           sync.Mutex
	values       map[string][]byte
	deleted      map[string]bool
	asked        []Op // without values
	made, closed int
}

func (s *fakeStore) Dial(context.Context) (Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	if s.dials != nil {
		if err := s.dials(s.made - 1); err != nil {
			return nil, err
		}
	}
	return &fakeConn{store: s}, nil
}

func (s *fakeStore) Close() error { return nil }

type fakeConn struct {
	store *fakeStore
	asked int64
}

// Do keeps values as a store does.
func (c *fakeConn) Do(_ context.Context, op *Op) error {
	s := c.store
	s.mu.Lock()
	n := len(s.asked)
	noted := *op
	noted.Value = nil
	s.asked = append(s.asked, noted)
	s.mu.Unlock()
	c.asked++
	if s.takes != nil {
		if err := s.takes(n, op); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values, s.deleted = map[string][]byte{}, map[string]bool{}
	}
	value, there := s.values[op.Key]
	switch {
	case op.Method == Set && s.deleted[op.Key]:
		return Failure("409")
	case op.Method == Set:
		s.values[op.Key] = append([]byte(nil), op.Value...)
	case op.Method == Delete:
		delete(s.values, op.Key)
		s.deleted[op.Key] = true
	case op.Absent && there:
		return Found
	case !op.Absent && !there:
		return NotFound
	case op.Length > 0 && len(value) != op.Length:
		return OtherLength
	}
	return nil
}

func (c *fakeConn) Close() error {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	c.store.closed++
	return nil
}

// Wire is 10 bytes sent for each request, and 100 received.
func (c *fakeConn) Wire() (sent, received int64) { return 10 * c.asked, 100 * c.asked }

// fill sets all of a data set.
func (s *fakeStore) fill(d Dataset) *fakeStore {
	s.values, s.deleted = map[string][]byte{}, map[string]bool{}
	for i := range d.Values {
		s.values[d.Key(i)] = d.Value(nil, i)
	}
	return s
}

var errBroken = errors.New("it is broken")

// bubbleClock sleeps by the time of package synctest, which is exact.
type bubbleClock struct{}

func (bubbleClock) sleep(d time.Duration) error { time.Sleep(d); return nil }
func (bubbleClock) close()                      {}

func newBubbleClock() (sleeper, error) { return bubbleClock{}, nil }

// site is an HTTPS session store in this process.
type site struct {
	*httptest.Server
	ca    *devca.CA
	store *fakeStore

	mu       sync.Mutex
	requests []string // head lines that matter, in the order of arrival
	resumed  int      // connections that were
	conns    map[net.Conn]bool
	news     int       // connections that were made
	changed  sync.Cond // conns has
}

// newSite serves; change may alter the server before it starts.
func newSite(t testing.TB, change func(*site)) *site {
	t.Helper()
	ca, err := devca.New("test")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{ca: ca, store: &fakeStore{}, conns: map[net.Conn]bool{}}
	s.changed.L = &s.mu
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{issue(t, ca, devca.Loopback())}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are to fail
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		defer s.changed.Broadcast()
		switch state {
		case http.StateNew:
			s.news++
			s.conns[c] = true
		case http.StateClosed, http.StateHijacked:
			delete(s.conns, c)
		}
	}
	if change != nil {
		change(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func issue(t testing.TB, ca *devca.CA, leaf devca.Leaf) tls.Certificate {
	t.Helper()
	certPEM, keyPEM, err := ca.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

var methods = map[string]Method{"GET": Get, "PUT": Set, "POST": Set, "PATCH": Touch, "DELETE": Delete}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Proto+" "+r.Method+" "+r.URL.EscapedPath()+" TTL="+r.Header.Get("TTL")+" "+r.Header.Get("Authorization"))
	if r.TLS != nil && r.TLS.DidResume {
		s.resumed++
	}
	s.mu.Unlock()
	value, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	op := Op{Method: methods[r.Method], Key: r.URL.Path, Value: value}
	err = (&fakeConn{store: s.store}).Do(r.Context(), &op)
	switch {
	case errors.Is(err, NotFound):
		w.WriteHeader(http.StatusNotFound)
	case err != nil:
		w.WriteHeader(http.StatusServiceUnavailable)
	case op.Method == Get:
		s.store.mu.Lock()
		value = s.store.values[op.Key]
		s.store.mu.Unlock()
		_, _ = w.Write(value) // over 2 kB in chunks
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// count is of connections that were made.
func (s *site) count() (news, resumed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.news, s.resumed
}

func (s *site) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// await returns once n connections are open.
func (s *site) await(t *testing.T, n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) != n {
		s.changed.Wait() // the test's own deadline ends it
	}
}

func (s *site) base() string { return s.URL + "/sessions/v1/" }

// config trusts the site.
func (s *site) config() HTTPSConfig {
	return HTTPSConfig{URL: s.base(), TLS: &tls.Config{RootCAs: s.ca.Pool()}}
}

// dial makes a Conn that is closed at the test's end.
func dial(t testing.TB, c HTTPSConfig) Conn {
	t.Helper()
	d, err := NewHTTPS(c)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := d.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func do(t testing.TB, c Conn, op Op) {
	t.Helper()
	if err := c.Do(t.Context(), &op); err != nil {
		t.Fatalf("%+v: %v", op.Method, err)
	}
}
