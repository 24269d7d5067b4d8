package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"userinfo/store"
)

func TestHealth_IsOpen(t *testing.T) {
	s := start(t, setup{})
	for _, protocol := range protocols {
		for path, want := range map[string]string{"/healthz": "alive\n", "/readyz": "ready\n"} {
			for _, header := range []http.Header{as(""), as("unknown"), {"Authorization": {"nonsense"}}} {
				if header.Get("Authorization") == "Bearer " {
					header = http.Header{"Authorization": nil}
				}
				got := s.must(t, s.client(t, protocol), ask{method: "GET", path: path, header: header})
				if got.status != 200 || got.body != want || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
					t.Errorf("%s %s: %d %q %v", protocol, path, got.status, got.body, got.header)
				}
			}
		}
	}
}

func TestHealth_ChecksStoreOncePerSecond(t *testing.T) {
	now := &clock{}
	now.advance(1)
	asked, state := 0, error(nil)
	h := health{now: now.Now, log: slog.New(slog.DiscardHandler), check: func(context.Context) error { asked++; return state }}
	for _, step := range []struct {
		advance time.Duration
		state   error
		asked   int
		want    error
	}{
		{0, nil, 1, nil},
		{999 * time.Millisecond, store.ErrUnavailable, 1, nil},
		{time.Millisecond, store.ErrUnavailable, 2, store.ErrUnavailable},
		{999 * time.Millisecond, nil, 2, store.ErrUnavailable},
		{time.Millisecond, nil, 3, nil},
	} {
		now.advance(step.advance)
		state = step.state
		if got := h.checkStore(t.Context()); got != step.want || asked != step.asked {
			t.Errorf("%+v: error %v after %d checks", step, got, asked)
		}
	}
}

func TestHealth_UnreadableStoreIsNotReady(t *testing.T) {
	for _, err := range []error{store.ErrUnavailable, context.DeadlineExceeded, http.ErrServerClosed} {
		s := newAPI(t, setup{ready: func(context.Context) error { return err }})
		got := s.serve("GET", "/readyz", nil)
		checkProblem(t, got, 503, "not-ready")
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
		}
		if alive := s.serve("GET", "/healthz", nil); alive.status != 200 {
			t.Errorf("/healthz: %d", alive.status)
		}
	}
}

func TestHealth_ReadyzSaysWhatIsMissing(t *testing.T) {
	for _, test := range []struct {
		state  error
		drain  bool
		detail string
	}{
		{fmt.Errorf("%w: %s", store.ErrNotReady, planted), false, "This instance is starting. Nothing was done."},
		{fmt.Errorf("%w: %s", store.ErrNotConnected, planted), false, "This instance has not reached its database yet. Nothing was done."},
		{fmt.Errorf("%w: %s", store.ErrSchemaDiffers, planted), false, "The schema of the database differs from what this instance needs. Nothing was done."},
		{fmt.Errorf("%w: %s", store.ErrUnavailable, planted), false, "This instance cannot read the database."},
		{nil, true, "This instance is shutting down."},
	} {
		s := newAPI(t, setup{level: quiet, ready: func(context.Context) error { return test.state }})
		if test.drain {
			s.api.Drain()
		}
		got := s.serve("GET", "/readyz", nil)
		checkProblem(t, got, 503, "not-ready")
		if !strings.Contains(got.body, `"detail":"`+test.detail+`"`) || strings.Contains(got.body, "planted") {
			t.Errorf("%v: %s; want %s", test.state, got.body, test.detail)
		}
		if log := s.logs.String(); strings.Contains(log, `"level":"ERROR"`) {
			t.Errorf("%v: probes fill the log: %s", test.state, log)
		}
	}
}

func TestHealth_CheckContinuesWithoutClient(t *testing.T) {
	h := health{now: (&clock{}).Now, check: func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the check has no time limit")
		}
		return ctx.Err()
	}}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if err := h.checkStore(ctx); err != nil {
		t.Error(err)
	}
}

func TestHealth_SharesOneCheck(t *testing.T) {
	var now clock
	now.advance(1)
	asked, hanging := 0, make(chan struct{})
	s := newAPI(t, setup{ready: func(context.Context) error {
		asked++
		<-hanging
		now.advance(readyTimeout)
		return context.DeadlineExceeded
	}})
	s.api.health.now = now.Now
	var waiting sync.WaitGroup
	for range 1000 {
		waiting.Go(func() {
			if got := s.serve("GET", "/readyz", nil); got.status != 503 {
				t.Errorf("status %d", got.status)
			}
		})
	}
	close(hanging)
	waiting.Wait()
	if asked != 1 {
		t.Errorf("the store was checked %d times; want once", asked)
	}
}

func TestHealth_LogsChangesOnly(t *testing.T) {
	var now clock
	now.advance(1)
	var state error
	s := newAPI(t, setup{level: quiet, ready: func(context.Context) error { return state }})
	s.api.health.now = now.Now
	var want []string
	for _, step := range []struct {
		state error
		logs  string // "": nothing
	}{
		{nil, ""},
		{store.ErrUnavailable, `"ready":false,"cause":"` + store.ErrUnavailable.Error() + `"`},
		{context.DeadlineExceeded, ""},
		{store.ErrUnavailable, ""},
		{nil, `"ready":true`},
		{nil, ""},
		{errors.New("another"), `"ready":false,"cause":"another"`},
	} {
		now.advance(readyCacheTime)
		if state = step.state; step.logs != "" {
			want = append(want, step.logs)
		}
		for range 10 {
			if got := s.serve("GET", "/readyz", nil); (got.status == 200) != (state == nil) {
				t.Fatalf("%v: %d", state, got.status)
			}
		}
		lines := strings.Split(strings.TrimSpace(s.logs.String()), "\n")
		if s.logs.String() == "" {
			lines = nil
		}
		if len(lines) != len(want) {
			t.Fatalf("%v: %d records; want %d:\n%s", state, len(lines), len(want), s.logs)
		}
		if step.logs != "" && !strings.Contains(lines[len(lines)-1], `"level":"WARN","msg":"readiness changed",`+step.logs) {
			t.Errorf("%v: logged %s", state, lines[len(lines)-1])
		}
	}
}
