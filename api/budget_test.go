package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/access"
	"userinfo/store"
	"userinfo/store/storetest"
)

// share returns limits that let a client set n values of testMaxValue at the same time, and all clients together m.
func share(n, m int64) setup {
	return setup{maxBytesInFlight: m * SetCopies * testMaxValue, limits: access.Limits{MaxBytesInFlight: int(n) * SetCopies * testMaxValue}}
}

// withholds begins a set of the largest value over HTTP/1.1, and sends all of its body except the last byte.
func (s *service) withholds(t testing.TB, token access.Token) *wire {
	t.Helper()
	w := s.wire(t)
	w.send(t, strings.Replace(head("PUT", "/sessions/v1/enwiki%3Ak", fmt.Sprintf("Content-Length: %d", testMaxValue)), string(wiki), string(token), 1)+"\r\n")
	// Fails where the service has refused the set and closed the connection.
	_, _ = w.Write(make([]byte, testMaxValue-1))
	return w
}

func TestBudget_WithheldBodies(t *testing.T) {
	u := share(2, 3)
	u.paceInterval = time.Hour // the bodies are in flight until the test sends their ends
	s := startWithoutTimeouts(t, u)
	withheld := []*wire{s.withholds(t, wiki), s.withholds(t, wiki)}
	held := func(bodies float64) func() bool {
		return func() bool { return gauge(t, s, "userinfo_in_flight_bytes") == bodies*SetCopies*testMaxValue }
	}
	eventually(t, "two bodies are in flight", held(2))
	refuse := func(token access.Token, status int, name string) {
		t.Helper()
		w := s.wire(t)
		w.send(t, strings.Replace(head("PUT", "/sessions/v1/enwiki%3Ak", fmt.Sprintf("Content-Length: %d", testMaxValue)), string(wiki), string(token), 1)+"\r\n")
		got := w.answer(t, "PUT") // although nothing of the body was sent
		checkProblem(t, got, status, name)
		if got.header.Get("Retry-After") != "1" || !got.close {
			t.Errorf("%d: Retry-After %q, close %v", status, got.header["Retry-After"], got.close)
		}
	}
	refuse(wiki, 429, "too-many-requests")
	if got := s.must(t, s.client(t, protocols[1]), ask{method: "PUT", path: "/sessions/v1/enwiki%3Aother", header: as(enwiki), body: strings.NewReader("small")}); got.status != 204 {
		t.Errorf("another client: %d %s", got.status, got.body)
	}
	withheld = append(withheld, s.withholds(t, enwiki))
	eventually(t, "three bodies are in flight", held(3))
	refuse(enwiki, 503, "overloaded")
	if n := testutil.ToFloat64(s.api.limiter.limited.WithLabelValues("wiki", "bytes_in_flight")); n != 1 {
		t.Errorf("the metric counts %v refusals of the client; want 1", n)
	}
	if n := gauge(t, s, "userinfo_in_flight_bytes_refused_total"); n != 1 {
		t.Errorf("the metric counts %v refusals of the process; want 1", n)
	}
	for _, w := range withheld {
		w.send(t, "x")
		if got := w.answer(t, "PUT"); got.status != 204 {
			t.Errorf("a complete body: %d %s", got.status, got.body)
		}
	}
	eventually(t, "nothing is in flight", held(0))
}

// TestBudget_ChunkedBody sends a body of unknown length, whose memory is reserved in steps.
func TestBudget_ChunkedBody(t *testing.T) {
	s := start(t, share(1, 2))
	for _, protocol := range protocols {
		c := s.client(t, protocol)
		body := func(size int) io.Reader { return io.MultiReader(bytes.NewReader(make([]byte, size))) }
		if got := s.must(t, c, ask{method: "PUT", path: "/sessions/v1/k", body: body(testMaxValue)}); got.status != 204 {
			t.Errorf("%s, a body that fits: %d %s", protocol, got.status, got.body)
		}
		r, w := io.Pipe()
		var answered sync.WaitGroup
		answered.Go(func() {
			if got, err := s.do(c, ask{method: "PUT", path: "/sessions/v1/k", body: r}); err != nil || got.status != 204 {
				t.Errorf("%s, the first body: %d, %v", protocol, got.status, err)
			}
		})
		if _, err := w.Write(make([]byte, testMaxValue*3/4)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the first body is in flight", func() bool { return gauge(t, s, "userinfo_in_flight_bytes") > SetCopies*testMaxValue/2 })
		got := s.must(t, s.client(t, protocol), ask{method: "PUT", path: "/sessions/v1/k", body: body(testMaxValue / 2)})
		checkProblem(t, got, 429, "too-many-requests")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		answered.Wait()
		if n := gauge(t, s, "userinfo_in_flight_bytes"); n != 0 {
			t.Errorf("%s: %v bytes are reserved afterwards", protocol, n)
		}
	}
}

// TestBudget_SlowReader reads a large value slowly: it stays reserved until the response is written, or cannot be written.
func TestBudget_SlowReader(t *testing.T) {
	t.Parallel()
	const size = 16 << 20 // more than all buffers between client and server
	value := make([]byte, size)
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := startWithoutTimeouts(t, setup{maxBytesInFlight: 8 * size, limits: access.Limits{MaxBytesInFlight: GetCopies*size + size},
				store: stub(func(context.Context, call) (store.Value, error) { return store.Value{Data: value}, nil })})
			c, hangUp := s.stalledClient(t, protocol)
			var reading sync.WaitGroup
			reading.Go(func() { _, _ = s.do(c, get("large")) })
			defer reading.Wait()
			defer hangUp()
			eventually(t, "the value is in flight", func() bool { return gauge(t, s, "userinfo_in_flight_bytes") == GetCopies*size })
			other := s.client(t, protocol)
			got := s.must(t, other, get("large"))
			if checkProblem(t, got, 429, "too-many-requests"); got.close {
				t.Error("the connection is closed, although the request has no body")
			}
			if got := s.must(t, other, ask{method: "GET", path: "/sessions/v1/k", header: as(reader)}); got.status != 200 {
				t.Errorf("another client: %d", got.status)
			}
			hangUp()
			eventually(t, "the service has given up", func() bool { return gauge(t, s, "userinfo_in_flight_bytes") == 0 })
		})
	}
}

// TestBudget_RefusesLargeGetsBeforeStore gets large values until their average is known. Then a get beyond the client's share
// does not ask the store.
func TestBudget_RefusesLargeGetsBeforeStore(t *testing.T) {
	const size = 1 << 20
	value := store.Value{Data: make([]byte, size)}
	var asked atomic.Int64
	s := newAPI(t, setup{limits: access.Limits{MaxBytesInFlight: GetCopies*size + size/2}, store: stub(func(context.Context, call) (store.Value, error) {
		asked.Add(1)
		return value, nil
	})})
	for range 100 {
		if status, _ := s.status(requestFor("GET", "k", wiki)); status != 200 {
			t.Fatalf("status %d", status)
		}
	}
	limits := s.api.limiter.client(wikiIdentity(t), time.Now())
	if err := limits.reserve(GetCopies * size); err != nil { // as another get in flight does
		t.Fatal(err)
	}
	asked.Store(0)
	if status, after := s.status(requestFor("GET", "k", wiki)); status != 429 || after != "1" || asked.Load() != 0 {
		t.Errorf("status %d, Retry-After %q, %d calls of the store", status, after, asked.Load())
	}
	limits.release(GetCopies * size)
	value.Data = value.Data[:1]
	for range 100 {
		s.status(requestFor("GET", "k", wiki))
	}
	if n := limits.expectGet(); n > size/100 {
		t.Errorf("after 100 gets of 1 byte, %d bytes are expected", n)
	}
	if n := gauge(t, s, "userinfo_in_flight_bytes"); n != 0 {
		t.Errorf("%v bytes are reserved afterwards", n)
	}
}

// TestBudget_Touch touches a value whose rewriting takes more memory than the client has.
func TestBudget_Touch(t *testing.T) {
	s := newAPI(t, share(1, 1))
	r := requestFor("PUT", "k", wiki)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, testMaxValue))), testMaxValue
	if status, _ := s.status(r); status != 204 {
		t.Fatalf("setting: %d", status)
	}
	if status, _ := s.status(requestFor("PATCH", "k", wiki)); status != 204 {
		t.Errorf("a touch that fits: %d", status)
	}
	limits := s.api.limiter.client(wikiIdentity(t), time.Now())
	if err := limits.reserve(1); err != nil {
		t.Fatal(err)
	}
	touch := requestFor("PATCH", "k", wiki)
	touch.Header.Set("TTL", "600")
	if status, after := s.status(touch); status != 429 || after != "1" {
		t.Errorf("a touch that does not fit: status %d, Retry-After %q", status, after)
	}
	limits.release(1)
	if status, _ := s.status(touch.Clone(t.Context())); status != 204 {
		t.Errorf("the touch afterwards: %d", status)
	}
	if n := gauge(t, s, "userinfo_in_flight_bytes"); n != 0 {
		t.Errorf("%v bytes are reserved afterwards", n)
	}
}

// wikiIdentity returns the identity of the client wiki.
func wikiIdentity(t testing.TB) access.Identity {
	t.Helper()
	policy, err := testPolicy()
	if err != nil {
		t.Fatal(err)
	}
	id, err := policy.Authenticate(access.Credentials{Authorization: []string{"Bearer " + string(wiki)}, Remote: netip.MustParseAddr("127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestBudget_Unauthenticated sends bodies without a credential. Nothing is reserved for them, and nothing of them is read.
func TestBudget_Unauthenticated(t *testing.T) {
	s := start(t, share(1, 1))
	for _, protocol := range protocols {
		pr, pw := io.Pipe() // nothing is written to it
		a := ask{method: "PUT", path: "/sessions/v1/k", header: http.Header{"Authorization": {""}}, body: pr}
		r := a.request(s)
		r.ContentLength = testMaxValue
		res, err := s.client(t, protocol).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(res)
		if err != nil {
			t.Fatal(err)
		}
		checkProblem(t, got, 401, "unauthenticated")
		if n := gauge(t, s, "userinfo_in_flight_bytes"); n != 0 {
			t.Errorf("%s: %v bytes are reserved", protocol, n)
		}
		_ = pw.Close()
	}
}

// heldRows are rows whose Write waits until opened is closed.
type heldRows struct {
	store.Rows
	entered chan struct{}
	opened  chan struct{}
}

func (h heldRows) Write(_ context.Context, _ access.Key, data []byte, _ int64, _ time.Duration) error {
	h.entered <- struct{}{}
	<-h.opened
	runtime.KeepAlive(data)
	return nil
}

// TestHold_CoversCopies compares the memory of sets in flight, without their frames to Cassandra, with what they reserve.
func TestHold_CoversCopies(t *testing.T) {
	const sets, size = 4, testMaxValue
	metrics := store.NewMetrics(prometheus.NewRegistry())
	rows := heldRows{store.NewMemory(1<<20, time.Now), make(chan struct{}, sets), make(chan struct{})}
	s := newAPI(t, setup{store: store.NewCollection(storetest.NewSealedRows(t, rows, "sessions"),
		store.CollectionConfig{Name: "sessions", MaxTTL: testMaxTTL}, store.Options{
			Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: metrics, LargeValues: store.NewLargeValues(2*sets*size, metrics),
		})})
	value := make([]byte, size)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	var all sync.WaitGroup
	for range sets {
		all.Go(func() {
			r := requestFor("PUT", "k", wiki)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(value)), size
			if status, _ := s.status(r); status != 204 {
				t.Errorf("status %d", status)
			}
		})
	}
	for range sets {
		<-rows.entered
	}
	copies := float64(heap()-before) / (sets * size)
	t.Logf("a set holds %.2f times its body, without the frame to Cassandra", copies)
	// The body can be collected once the value is sealed. Each attempt has a frame of at most 1.25 times the value, because
	// append grows a large buffer by a quarter, and there can be two attempts.
	if copies > SetCopies-2*1.25 {
		t.Errorf("a set holds %.2f times its body, without the frame to Cassandra; %d are reserved in all", copies, SetCopies)
	}
	if n := gauge(t, s, "userinfo_in_flight_bytes"); n != sets*SetCopies*size {
		t.Errorf("%v bytes are reserved", n)
	}
	close(rows.opened)
	all.Wait()
	runtime.KeepAlive(value)
}
