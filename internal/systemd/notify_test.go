package systemd

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// socketDir returns a directory whose name is short enough for the address of a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "systemd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// listenForNotifications makes NOTIFY_SOCKET lead to the returned socket.
func listenForNotifications(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return c
}

func newNotifier(t *testing.T) *Notifier {
	t.Helper()
	n, err := NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNotifier_SendsOneMessage(t *testing.T) {
	for kind, name := range map[string]string{"path": filepath.Join(socketDir(t), "notify"), "abstract": "@userinfo-test-" + strconv.Itoa(os.Getpid())} {
		t.Run(kind, func(t *testing.T) {
			c := listenForNotifications(t, name)
			if err := newNotifier(t).Notify(Ready, Status("serving")); err != nil {
				t.Fatal(err)
			}
			message := make([]byte, 4096)
			n, err := c.Read(message)
			if got := string(message[:n]); err != nil || got != "READY=1\nSTATUS=serving" {
				t.Errorf("received %q, %v", got, err)
			}
		})
	}
}

func TestNotifier_WithoutSystemdDoesNothing(t *testing.T) {
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		t.Setenv(name, "")
	}
	n := newNotifier(t)
	if err := n.Notify(Ready); err != nil || n.Watchdog != 0 {
		t.Errorf("error %v, watchdog %v", err, n.Watchdog)
	}
}

func TestNotifier_ReportsThatNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(socketDir(t), "nothing"))
	if err := newNotifier(t).Notify(Ready); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestNotifier_DoesNotWaitForReaderThatIsBlocked(t *testing.T) {
	listenForNotifications(t, filepath.Join(socketDir(t), "notify"))
	n := newNotifier(t)
	for range 100_000 { // nobody reads: the queue of the socket fills
		if err := n.Notify(Alive); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("error %v, want a deadline", err)
			}
			return
		}
	}
	t.Error("a socket that nobody reads has taken every message")
}

func TestNotifier_ReadsWatchdog(t *testing.T) {
	own, other := strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getpid()+1)
	for _, test := range []struct {
		microseconds, pid string
		want              time.Duration
		wrong             bool
	}{
		{"", "", 0, false},
		{"30000000", own, 30 * time.Second, false},
		{"30000000", "", 30 * time.Second, false},
		{"30000000", other, 0, false},
		{"0", own, 0, true},
		{"-1", own, 0, true},
		{"30s", own, 0, true},
		{"9223372036854775807", own, 0, true},
	} {
		t.Setenv("WATCHDOG_USEC", test.microseconds)
		t.Setenv("WATCHDOG_PID", test.pid)
		n, err := NewNotifier()
		if (err != nil) != test.wrong || err == nil && n.Watchdog != test.want {
			t.Errorf("%q of process %q: %v, %v", test.microseconds, test.pid, n, err)
		}
	}
}

func TestStatus_IsOneLine(t *testing.T) {
	if got := Status("not ready:\nREADY=1\r\nMAINPID=1 "); got != "STATUS=not ready: READY=1 MAINPID=1" || strings.ContainsAny(got, "\n\r") {
		t.Errorf("%q", got)
	}
}

func TestReloading_HasMonotonicTime(t *testing.T) {
	pattern := regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=(\d+)$`)
	at := func() int {
		text, err := Reloading()
		m := pattern.FindStringSubmatch(text)
		if err != nil || m == nil {
			t.Fatalf("%q, %v", text, err)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := at()
	time.Sleep(time.Millisecond)
	if second := at(); first <= 0 || second < first+1000 || second > first+int(time.Hour/time.Microsecond) {
		t.Errorf("%d, then %d", first, second)
	}
}
