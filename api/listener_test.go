package api

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"userinfo/internal/panics"
)

// failingListener is a listener whose next accepts fail as the test says.
type failingListener struct {
	net.Listener
	mu   sync.Mutex
	next []func() error
}

func (l *failingListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	var fail func() error
	if len(l.next) > 0 {
		fail, l.next = l.next[0], l.next[1:]
	}
	l.mu.Unlock()
	if fail != nil {
		return nil, fail()
	}
	return l.Listener.Accept()
}

func acceptError(errno syscall.Errno) func() error {
	return func() error { return &net.OpError{Op: "accept", Net: "tcp", Err: errno} }
}

func TestConnListener_GoesOnAfterErrors(t *testing.T) {
	t.Parallel()
	l := &failingListener{next: []func() error{
		acceptError(syscall.EMFILE), acceptError(syscall.ENFILE), acceptError(syscall.ENOBUFS), acceptError(syscall.EPROTO),
		func() error { panic(planted) },
	}}
	s := start(t, setup{listener: func(inner net.Listener) net.Listener {
		l.Listener = inner
		return l
	}})
	isServed(t, s.dialogue(t, protocols[0]))
	if n := gauge(t, s, "userinfo_accept_errors_total"); n != 5 {
		t.Errorf("%v errors are counted; want 5", n)
	}
	if n := panicsAt(t, s, panics.Connection); n != 1 {
		t.Errorf("%v panics are counted; want 1", n)
	}
	if log := s.logs.String(); strings.Count(log, logAccept) != 1 || !strings.Contains(log, `"level":"ERROR","msg":"`+logAccept) || !strings.Contains(log, "too many open files") {
		t.Errorf("the log does not say once what is wrong:\n%s", log)
	}
}

func TestConnListener_EndsWhenNoAcceptCanSucceed(t *testing.T) {
	l := &failingListener{next: []func() error{acceptError(syscall.EBADF)}}
	s := start(t, setup{listener: func(inner net.Listener) net.Listener {
		l.Listener = inner
		return l
	}})
	if err := <-s.served; !errors.Is(err, syscall.EBADF) {
		t.Errorf("Serve returned %v", err)
	}
	s.served <- nil
}

// TestConnListener_ClosesDuringPause covers a shutdown while accepts fail again and again.
func TestConnListener_ClosesDuringPause(t *testing.T) {
	l := &failingListener{}
	for range 1000 {
		l.next = append(l.next, acceptError(syscall.EMFILE))
	}
	s := start(t, setup{listener: func(inner net.Listener) net.Listener {
		l.Listener = inner
		return l
	}})
	eventually(t, "the pauses are long", func() bool { return gauge(t, s, "userinfo_accept_errors_total") > 4 })
	l.mu.Lock()
	l.next = nil
	l.mu.Unlock()
	s.stop()
	if err := <-s.served; err != nil {
		t.Errorf("Serve returned %v", err)
	}
	s.served <- nil
}

func TestPasses_KnowsErrorsOfAccept(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.EMFILE: true, syscall.ECONNABORTED: true, syscall.ENOMEM: true, panics.ErrPanic: true,
		syscall.EINVAL: false, syscall.ENOTSOCK: false, net.ErrClosed: false, io.EOF: false,
	} {
		if got := passes(&net.OpError{Op: "accept", Err: err}); got != want {
			t.Errorf("%v: %v; want %v", err, got, want)
		}
	}
}
