package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"userinfo/internal/config"
	"userinfo/internal/panics"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/store/cassandra"
)

// testDatabase is a database in memory that a test breaks and mends.
type testDatabase struct {
	memory *store.Memory

	mu          sync.Mutex // guards the fields below
	openError   error
	differences []schema.Difference
	checkError  error

	checks, running, closed atomic.Int64
}

// set changes the database.
func (d *testDatabase) set(openError error, checkError error, differences ...schema.Difference) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.openError, d.checkError, d.differences = openError, checkError, differences
}

// open is an opener.
func (d *testDatabase) open(context.Context) (*database, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.openError != nil {
		return nil, d.openError
	}
	return &database{
		table:       func(store.CollectionConfig) store.Rows { return d.memory },
		checkSchema: d.checkSchema,
		background: []backgroundLoop{{panics.Replay, func(ctx context.Context) {
			d.running.Add(1)
			<-ctx.Done()
			d.running.Add(-1)
		}}},
		close: func() {
			d.closed.Add(1)
			if d.running.Load() != 0 {
				panic("the database is closed before the work in the background has ended")
			}
		},
	}, nil
}

func (d *testDatabase) checkSchema(context.Context) ([]schema.Difference, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checks.Add(1)
	return d.differences, d.checkError
}

// startWaitingService starts a service whose database is d.
func startWaitingService(t *testing.T, d *testDatabase) *testService {
	t.Helper()
	return startTestService(t, func(s *testService, ctx context.Context, l net.Listener) error {
		return s.serveDatabase(ctx, l, d.open)
	})
}

// ask sends a request, with the token of the client t unless it is anonymous, and returns the status and the body.
func (s *testService) ask(method, path string, anonymous bool) (int, string, http.Header) {
	s.t.Helper()
	r, err := http.NewRequest(method, "https://"+s.address+path, nil)
	s.must("request", err)
	if !anonymous {
		r.Header.Set("Authorization", "Bearer "+string(*s.token.Load()))
	}
	transport := s.transport(nil)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(r)
	s.must("response", err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	s.must("body", err)
	return res.StatusCode, string(body), res.Header
}

// awaitReadiness waits until /readyz has this status and a body that contains text.
func (s *testService) awaitReadiness(status int, text string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		got, body, _ := s.ask("GET", "/readyz", true)
		if got == status && strings.Contains(body, text) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("/readyz is %d %s; want %d %s\n%s", got, body, status, text, s.logText())
		}
	}
}

// wantMetrics checks lines of /metrics.
func (s *testService) wantMetrics(step string, lines ...string) {
	s.t.Helper()
	status, body, _ := s.ask("GET", "/metrics", false)
	for _, line := range lines {
		if status != http.StatusOK || !strings.Contains("\n"+body, "\n"+line+"\n") {
			s.t.Errorf("%s: /metrics is %d without %q", step, status, line)
		}
	}
}

// wantNotReady checks that health and metrics answer, and that requests on keys are 503 after access has been checked.
func (s *testService) wantNotReady(step string) {
	s.t.Helper()
	for _, test := range []struct {
		method, path string
		anonymous    bool
		status       int
		body         string
	}{
		{"GET", "/healthz", true, 200, "alive"},
		{"GET", "/readyz", true, 503, "urn:userinfo:problem:not-ready"},
		{"GET", "/metrics", true, 401, "unauthenticated"},
		{"GET", "/metrics", false, 200, "userinfo_http_request_seconds"},
		{"GET", "/sessions/v1/k", true, 401, "unauthenticated"},
		{"DELETE", "/sessions/v1/k", false, 403, "forbidden"}, // not granted
		{"GET", "/sessions/v1/k", false, 503, "urn:userinfo:problem:not-ready"},
		{"GET", "/elsewhere", false, 404, "no-such-resource"},
	} {
		status, body, header := s.ask(test.method, test.path, test.anonymous)
		if status != test.status || !strings.Contains(body, test.body) {
			s.t.Errorf("%s: %s %s, anonymous %v: %d %.200s; want %d %s", step, test.method, test.path, test.anonymous, status, body, test.status, test.body)
		}
		if status == http.StatusServiceUnavailable && header.Get("Retry-After") == "" {
			s.t.Errorf("%s: %s %s: no Retry-After", step, test.method, test.path)
		}
	}
}

var (
	wrongTable  = schema.Difference{Object: "table userinfo.sessions", Want: "a table", Have: "none", Remedy: "run `userinfo schema apply`"}
	lowSetting  = schema.Difference{Object: "setting x", Want: "1", Have: "0", Remedy: "raise it", Warning: true}
	errAway     = errors.New("connection refused")
	errUnread   = errors.New("the schema cannot be read")
	notReached  = "This instance has not reached its database yet."
	schemaWrong = "The schema of the database differs from what this instance needs."
)

func TestService_IsReadyOnceDatabaseCanBeUsed(t *testing.T) {
	d := &testDatabase{memory: store.NewMemory(1<<20, time.Now)}
	d.set(errAway, nil)
	s := startWaitingService(t, d)
	s.awaitReadiness(503, notReached)
	s.wantNotReady("Cassandra is away")
	s.wantMetrics("Cassandra is away", "userinfo_schema_differences NaN", "userinfo_schema_check_failed 1")

	d.set(nil, errUnread)
	for d.checks.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	s.awaitReadiness(503, notReached)
	s.wantNotReady("the schema cannot be read")

	d.set(nil, nil, wrongTable, lowSetting)
	s.awaitReadiness(503, schemaWrong)
	s.wantNotReady("the schema is wrong")
	s.wantMetrics("the schema is wrong", "userinfo_schema_differences 1", "userinfo_schema_warnings 1", "userinfo_schema_check_failed 0")

	d.set(nil, nil, lowSetting)
	s.awaitReadiness(200, "ready")
	if status, body, _ := s.ask("GET", "/sessions/v1/k", false); status != http.StatusNotFound {
		t.Errorf("after all: %d %s", status, body)
	}
	s.wantMetrics("after all", "userinfo_schema_differences 0", "userinfo_schema_warnings 1", "userinfo_schema_check_failed 0")
	s.stop()
	if d.closed.Load() != 1 {
		t.Errorf("the database was closed %d times", d.closed.Load())
	}
	for text, count := range map[string]int{
		`"msg":"listening; not ready before Cassandra can be used"`:                                                 1,
		`"msg":"Cassandra cannot be used yet; trying again"`:                                                        3,
		`trying again","error":"not ready: no connection to the database yet: connection refused"`:                  1,
		`trying again","error":"not ready: no connection to the database yet: the schema cannot be read"`:           1,
		`trying again","error":"not ready: the schema of the database differs from what is needed (differences: 1)`: 1,
		`"msg":"the schema differs from what the service needs","object":"table userinfo.sessions","have":"none"`:   1,
		`"msg":"warning about Cassandra; see remedy","object":"setting x"`:                                          1,
		`"msg":"a difference is gone","object":"table userinfo.sessions"`:                                           1,
		`"msg":"serving"`: 1,
		`"msg":"stopped"`: 1,
	} {
		if got := strings.Count(s.logText(), text); got != count {
			t.Errorf("the log has %d times %s; want %d:\n%s", got, text, count, s.logText())
		}
	}
}

func TestService_StopsWhileItWaits(t *testing.T) {
	for name, open := range map[string]opener{
		"for an attempt that hangs": func(context.Context) (*database, error) { select {} },
		"between attempts":          func(context.Context) (*database, error) { return nil, errAway },
		"for a schema that is read": func(context.Context) (*database, error) {
			return &database{close: func() {}, checkSchema: func(ctx context.Context) ([]schema.Difference, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startTestService(t, func(s *testService, ctx context.Context, l net.Listener) error { return s.serveDatabase(ctx, l, open) })
			s.awaitReadiness(503, notReached)
			s.stop()
			if log := s.logText(); !strings.Contains(log, `"msg":"stopped"`) {
				t.Error(log)
			}
		})
	}
}

func TestService_EndsIfDatabaseCanNeverBeUsed(t *testing.T) {
	ended := make(chan error, 1)
	open := func(context.Context) (*database, error) {
		return nil, fmt.Errorf("%w: it asks for a ticket", cassandra.ErrCannotLogIn)
	}
	s := startTestService(t, func(s *testService, ctx context.Context, l net.Listener) error {
		ended <- s.serveDatabase(ctx, l, open)
		return nil
	})
	if err := <-ended; !errors.Is(err, cassandra.ErrCannotLogIn) || s.exit(t.Context(), err) == nil {
		t.Errorf("serving ended with %v; want what the database asks for", err)
	}
	if log := s.logText(); !strings.Contains(log, `"level":"ERROR","msg":"cannot serve","error":"the service cannot log in to Cassandra: it asks for a ticket"`) {
		t.Error(log)
	}
}

func TestService_ClosesDatabaseThatComesTooLate(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	release, closed := make(chan struct{}), make(chan struct{})
	open := func(context.Context) (*database, error) {
		stop()
		<-release
		return &database{close: func() { close(closed) }}, nil
	}
	if d, err := newTestService(t).openUnlessDone(ctx, open); d != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", d, err)
	}
	close(release)
	<-closed
}

func TestWaitLog_RecordsReasonsOnceAndThenRarely(t *testing.T) {
	var out bytes.Buffer
	w := waitLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	count := func() int { return strings.Count(out.String(), "\n") }
	for i := range repeatAfter {
		w.record(errors.New("read tcp 127.0.0.1:" + strings.Repeat("1", 1+i%5) + "->127.0.0.1:9042: refused"))
	}
	if count() != 1 {
		t.Errorf("one reason is logged %d times:\n%s", count(), out.String())
	}
	w.record(errors.New("password"))
	w.record(errors.New("read tcp 127.0.0.1:1->127.0.0.1:9042: refused"))
	w.record(errors.New("password"))
	if count() != 3 {
		t.Errorf("a new reason, and an old one after a while, make %d records:\n%s", count(), out.String())
	}
	for i := range 3 * maxReasons {
		w.record(errors.New(strings.Repeat("x", i)))
	}
	if len(w.logged) > maxReasons {
		t.Errorf("%d reasons are remembered", len(w.logged))
	}
}

func TestService_ClosesDatabaseThatIsOpenedWhileItStops(t *testing.T) {
	s := newTestService(t)
	for range 100 { // the end and the database race
		ctx, stop := context.WithCancel(t.Context())
		closed := make(chan struct{})
		open := func(context.Context) (*database, error) {
			go stop()
			return &database{close: func() { close(closed) }, checkSchema: func(ctx context.Context) ([]schema.Difference, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}, nil
		}
		if err := s.useDatabase(ctx, nil, open, newSchemaWatch(prometheus.NewRegistry(), slog.New(slog.DiscardHandler))); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want context.Canceled", err)
		}
		<-closed
	}
}

// fixedListener is a listener that only has an address.
type fixedListener struct{ net.Listener }

func (fixedListener) Addr() net.Addr { return new(net.TCPAddr) }

// TestService_GoesOnAfterPanics makes every step of useDatabase panic once: opening, the first check of the schema, the work
// in the background, and the schema watch.
func TestService_GoesOnAfterPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		registry := prometheus.NewRegistry()
		s := &service{config: &config.Opened{File: &config.File{Config: new(config.Config)}}, log: log, registry: registry,
			panics: panics.NewRecorder(registry, log), backend: newBackend()}
		var d testDatabase
		var opened, checked, background int
		open := func(ctx context.Context) (*database, error) {
			if opened++; opened == 1 {
				panic("while opening")
			}
			db, err := d.open(ctx)
			db.checkSchema = func(ctx context.Context) ([]schema.Difference, error) {
				if checked++; checked == 1 || checked == 4 { // the first in requireUsable, the second in schemaWatch.run
					panic("while checking")
				}
				return d.checkSchema(ctx)
			}
			run := db.background[0].run
			db.background[0].run = func(ctx context.Context) {
				if background++; background == 1 {
					panic("in the background")
				}
				run(ctx)
			}
			return db, err
		}
		stop := s.inBackground(t.Context(), panics.Database, func(ctx context.Context) {
			_ = s.useDatabase(ctx, fixedListener{}, open, newSchemaWatch(prometheus.NewRegistry(), log)) // ends with ctx
		})
		time.Sleep(10 * schemaInterval)
		synctest.Wait()
		if d.running.Load() != 1 || d.checks.Load() < 5 || d.closed.Load() != 1 {
			t.Errorf("%d loops run, %d checks, closed %d times; want 1, at least 5, and 1 time", d.running.Load(), d.checks.Load(), d.closed.Load())
		}
		stop()
		if n := strings.Count(out.String(), "msg=panic"); n != 4 {
			t.Errorf("%d panics are logged; want 4:\n%s", n, &out)
		}
	})
}
