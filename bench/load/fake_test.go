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
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"userinfo/internal/devca"
)

// fakeStore is a store in memory. Its functions are set before it is used.
type fakeStore struct {
	before func(n int, r *Request) error // called before the n-th request, from 0; an error is the answer
	dials  func() error

	mu           sync.Mutex
	values       map[string][]byte
	deleted      map[string]bool
	requests     []Request // without values
	made, closed int
}

func (s *fakeStore) Dial(context.Context) (Conn, error) {
	if s.dials != nil {
		if err := s.dials(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	return &fakeConn{s}, nil
}

func (s *fakeStore) Close() error { return nil }

type fakeConn struct{ store *fakeStore }

func (c *fakeConn) Do(_ context.Context, r *Request) error {
	s := c.store
	s.mu.Lock()
	n := len(s.requests)
	noted := *r
	noted.Value = nil
	s.requests = append(s.requests, noted)
	s.mu.Unlock()
	if s.before != nil {
		if err := s.before(n, r); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values, s.deleted = map[string][]byte{}, map[string]bool{}
	}
	value, there := s.values[r.Key]
	switch r.Method {
	case Set:
		if s.deleted[r.Key] {
			return Failure("409")
		}
		s.values[r.Key] = slices.Clone(r.Value)
		return nil
	case Delete:
		delete(s.values, r.Key)
		s.deleted[r.Key] = true
		return nil
	}
	return CheckGet(r, there, len(value))
}

func (c *fakeConn) Close() error {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	c.store.closed++
	return nil
}

// fill sets all values of a data set.
func (s *fakeStore) fill(d Dataset) *fakeStore {
	s.values, s.deleted = map[string][]byte{}, map[string]bool{}
	for i := range d.Values {
		s.values[d.Key(i)] = d.Value(nil, i)
	}
	return s
}

var errBroken = errors.New("the connection is broken")

// server is an HTTPS session store in this process.
type server struct {
	*httptest.Server
	store *fakeStore
	ca    *devca.CA
	dir   string // of certificates

	mu       sync.Mutex
	requests []string
	resumed  int
	opened   int // connections
}

// newServer starts a server. change may change it before it starts.
func newServer(t testing.TB, change func(*server)) *server {
	t.Helper()
	ca, err := devca.New("test")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{ca: ca, dir: t.TempDir(), store: &fakeStore{}}
	if err := os.WriteFile(s.file("ca.crt"), ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := ca.Issue(devca.Loopback())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if state == http.StateNew {
			s.opened++
		}
	}
	if change != nil {
		change(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *server) file(name string) string { return filepath.Join(s.dir, name) }

var methods = map[string]Method{"GET": Get, "PUT": Set, "POST": Set, "PATCH": Touch, "DELETE": Delete}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
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
	request := Request{Method: methods[r.Method], Key: r.URL.Path, Value: value}
	err = (&fakeConn{s.store}).Do(r.Context(), &request)
	switch {
	case errors.Is(err, NotFound):
		w.WriteHeader(http.StatusNotFound)
	case err != nil:
		w.WriteHeader(http.StatusServiceUnavailable)
	case request.Method == Get:
		s.store.mu.Lock()
		value = s.store.values[request.Key]
		s.store.mu.Unlock()
		_, _ = w.Write(value) // in chunks if it is longer than 2 kB
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// connections returns how many connections were opened, and how many requests came over a resumed one.
func (s *server) connections() (opened, resumed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened, s.resumed
}

// config returns a configuration that trusts the server.
func (s *server) config() HTTPConfig {
	return HTTPConfig{URL: s.URL + "/sessions/v1/", CA: s.file("ca.crt")}
}

func dial(t testing.TB, c HTTPConfig) Conn {
	t.Helper()
	d, err := NewHTTP(c)
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

func do(t testing.TB, c Conn, r Request) {
	t.Helper()
	if err := c.Do(t.Context(), &r); err != nil {
		t.Fatalf("method %d: %v", r.Method, err)
	}
}
