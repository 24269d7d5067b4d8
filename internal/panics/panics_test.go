package panics

import (
	"bytes"
	"context"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const secret = "alice's session key"

func newTestRecorder() (*Recorder, *bytes.Buffer) {
	var out bytes.Buffer
	return NewRecorder(prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&out, nil))), &out
}

// fail panics with value. It has a secret as an argument.
//
//go:noinline
func fail(value any, _ [16]byte) { panic(value) }

func call(r *Recorder, place Place, do func()) (err error) {
	defer r.Recover(place, &err)
	do()
	return nil
}

func TestRecorder_RecoverCountsAndLogsWithoutTheValue(t *testing.T) {
	key := [16]byte([]byte("0123456789abcdef"))
	var empty []int
	for name, c := range map[string]struct {
		do   func()
		want []string
	}{
		"text":          {func() { fail(secret, key) }, []string{"type=string"}},
		"error":         {func() { fail(errors.New(secret), key) }, []string{"type=*errors.errorString"}},
		"runtime error": {func() { fail(empty[len(secret)], key) }, []string{"type=runtime.boundsError", "index out of range [19] with length 0"}},
		"nil pointer":   {func() { fail((*http.Server)(nil).Addr, key) }, []string{"type=runtime.errorString", "nil pointer dereference"}},
		"nil":           {func() { panic(nil) }, []string{"type=*runtime.PanicNilError"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, out := newTestRecorder()
			if err := call(r, Store, c.do); !errors.Is(err, ErrPanic) {
				t.Errorf("the error is %v; want ErrPanic", err)
			}
			for _, want := range append(c.want, "level=ERROR", "where=store", "panics_test.go:", "panics.call") {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the log has no %q:\n%s", want, out)
				}
			}
			for _, forbidden := range []string{secret, "0x", "panics.go", "0123"} {
				if strings.Contains(out.String(), forbidden) {
					t.Errorf("the log has %q:\n%s", forbidden, out)
				}
			}
			if n := testutil.ToFloat64(r.total.WithLabelValues("store")); n != 1 {
				t.Errorf("counted %v; want 1", n)
			}
		})
	}
}

func TestRecorder_RecoverDoesNothingWithoutPanic(t *testing.T) {
	r, out := newTestRecorder()
	want := errors.New("own")
	err := func() (err error) {
		defer r.Recover(Store, &err)
		return want
	}()
	if err != want || out.Len() > 0 {
		t.Errorf("%v, logged %q", err, out)
	}
}

func TestRecorder_NilRecovers(t *testing.T) {
	if err := call(nil, Store, func() { panic(secret) }); !errors.Is(err, ErrPanic) {
		t.Errorf("%v; want ErrPanic", err)
	}
}

// TestRecorder_RecordTextOfNetHTTP passes on what net/http writes into its log when a handler panics.
func TestRecorder_RecordTextOfNetHTTP(t *testing.T) {
	r, out := newTestRecorder()
	var text bytes.Buffer
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		fail(secret+"\n\t"+secret+"\ngoroutine 1\n\t"+secret, [16]byte{1, 2, 3})
	}))
	s.Config.ErrorLog = log.New(&text, "", 0)
	s.Start()
	if res, err := s.Client().Get(s.URL); err == nil {
		t.Errorf("status %d", res.StatusCode)
	}
	s.Close()
	if !strings.Contains(text.String(), secret) {
		t.Fatal("net/http does not write what this test expects")
	}
	r.RecordText(Connection, text.String())
	if got := out.String(); strings.Contains(got, secret) || !strings.Contains(got, "panics_test.go:") || strings.Contains(got, "({0x") {
		t.Errorf("logged:\n%s", got)
	}
	if n := testutil.ToFloat64(r.total.WithLabelValues("connection")); n != 1 {
		t.Errorf("counted %v; want 1", n)
	}
}

func TestRecorder_LoopStartsAgainAfterPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newTestRecorder()
		var starts []time.Duration
		began := time.Now()
		r.Loop(t.Context(), Replay, func(context.Context) {
			starts = append(starts, time.Since(began))
			if len(starts) < 3 {
				panic("once more")
			}
		})
		if len(starts) != 3 || starts[1] != Pause || starts[2] != 2*Pause {
			t.Errorf("started at %v", starts)
		}
		if n := testutil.ToFloat64(r.total.WithLabelValues("replay")); n != 2 {
			t.Errorf("counted %v; want 2", n)
		}
	})
}

func TestRecorder_LoopEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newTestRecorder()
		ctx, cancel := context.WithTimeout(t.Context(), Pause/2)
		defer cancel()
		starts := 0
		r.Loop(ctx, Replay, func(context.Context) {
			starts++
			panic("always")
		})
		if starts != 1 {
			t.Errorf("%d starts; want 1", starts)
		}
	})
}
