package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"userinfo/internal/systemd"
)

// fakeSystemd starts services as systemd does, and receives their notifications.
type fakeSystemd struct {
	*plantedSecrets
	notifications *net.UnixConn
	environment   []string
}

func newFakeSystemd(t *testing.T) *fakeSystemd {
	t.Helper()
	dir, err := os.MkdirTemp("", "systemd-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	name := filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &fakeSystemd{plantedSecrets: newPlantedSecrets(t), notifications: c,
		environment: append(os.Environ(), "NOTIFY_SOCKET="+name, "WATCHDOG_USEC=300000")}
}

// startService starts a service with these sockets. The shell knows the number of the process, because exec keeps it.
func (f *fakeSystemd) startService(program string, sockets ...*os.File) *startedService {
	f.t.Helper()
	c := exec.Command("sh", "-c", fmt.Sprintf("LISTEN_PID=$$ LISTEN_FDS=%d WATCHDOG_PID=$$ exec %s --config userinfo.yaml", len(sockets), program))
	c.Env, c.ExtraFiles = f.environment, sockets
	return f.startCommand(c)
}

// await waits for a message that matches, and returns the first group.
func (f *fakeSystemd) await(expression string) string {
	f.t.Helper()
	want := regexp.MustCompile("(?s)" + expression)
	if err := f.notifications.SetReadDeadline(time.Now().Add(patience)); err != nil {
		f.t.Fatal(err)
	}
	var last string
	for message := make([]byte, 4096); ; {
		n, err := f.notifications.Read(message)
		if err != nil {
			f.t.Fatalf("systemd has not got %s (%v); the last message was %q", expression, err, last)
		}
		last = string(message[:n])
		if m := want.FindStringSubmatch(last); m != nil {
			return m[len(m)-1]
		}
	}
}

// terminate ends a service as systemd does, and waits for its end.
func (s *startedService) terminate() {
	s.t.Helper()
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	s.await(`"msg":"stopped"`)
	for range s.log {
	}
	if err := s.command.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

func TestServe_TellsSystemdWhatItDoes(t *testing.T) {
	f := newFakeSystemd(t)
	s := f.startService("userinfo-memory")
	address := f.await(`^READY=1\nSTATUS=listening on (127.0.0.1:\d+)$`)
	f.await("^WATCHDOG=1$")
	f.await("^STATUS=ready; listening on " + address + "$")

	signal := func() {
		t.Helper()
		if err := s.command.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		f.await(`^RELOADING=1\nMONOTONIC_USEC=\d+$`)
	}
	signal()
	f.await(`^READY=1\nSTATUS=read all files again$`)
	original, err := os.ReadFile(filepath.Join(f.dir, "userinfo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	f.write("userinfo.yaml", append(original, "wrong: 1\n"...))
	f.write("seal.key", []byte("wrong"))
	signal()
	f.await(`^READY=1\nSTATUS=read all files again; reload failed, see the log: clients, seal$`)
	f.await("^WATCHDOG=1$")
	f.await("^STATUS=ready; listening on " + address + "; reload failed, see the log: clients, seal$")

	s.terminate()
	f.await(`^STOPPING=1\nSTATUS=shutting down`)
}

func TestServe_IsStartedBeforeCassandraIsReached(t *testing.T) {
	f := newFakeSystemd(t)
	f.write("userinfo.yaml", []byte(strings.NewReplacer("HASH", f.token.HashText(), "hosts: [127.0.0.1]", "hosts: [127.0.0.1], port: 1").Replace(memoryConfig)))
	s := f.startService("userinfo serve")
	address := f.await(`^READY=1\nSTATUS=listening on (127.0.0.1:\d+)$`)
	f.await("^STATUS=not ready: This instance has not reached its database yet; listening on " + address + "$")
	s.terminate()
}

// openSocket returns the file of a socket that listens, as systemd opens it. It stays open.
func openSocket(t *testing.T) (address string, file *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	file, err = l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return l.Addr().String(), file
}

// newConnections opens a connection for each request, all the time, and counts answers and failures.
type newConnections struct {
	answered atomic.Int64
	mu       sync.Mutex
	failed   []error
}

func (n *newConnections) run(ctx context.Context, url string, tls *tls.Config) {
	for ctx.Err() == nil {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: tls.Clone(), DisableKeepAlives: true}, Timeout: patience}
		res, err := client.Get(url)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			err = errors.Join(err, res.Body.Close())
		}
		n.answered.Add(1)
		if err != nil {
			n.mu.Lock()
			n.failed = append(n.failed, err)
			n.mu.Unlock()
		}
	}
}

// awaitMore waits until more connections were answered.
func (n *newConnections) awaitMore(t *testing.T) {
	t.Helper()
	from := n.answered.Load()
	for end := time.Now().Add(patience); n.answered.Load() < from+20; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("only %d connections were answered in %v", n.answered.Load()-from, patience)
		}
	}
}

func TestServe_RestartWithSocketRefusesNoConnection(t *testing.T) {
	f := newFakeSystemd(t)
	address, socket := openSocket(t)
	var load newConnections
	var clients sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for range 4 { // they connect before the first service exists
		clients.Go(func() { load.run(ctx, "https://"+address+"/healthz", &tls.Config{RootCAs: f.ca.Pool()}) })
	}
	for range 4 {
		s := f.startService("userinfo-memory", socket)
		f.await(`^READY=1\nSTATUS=listening on ` + address + "$")
		load.awaitMore(t)
		s.terminate()
	}
	s := f.startService("userinfo-memory", socket)
	load.awaitMore(t)
	stop()
	clients.Wait()
	s.terminate()
	if len(load.failed) > 0 {
		t.Errorf("%d of %d connections failed, the first: %v", len(load.failed), load.answered.Load(), load.failed[0])
	}
}

func TestServe_RejectsSocketAtAnotherAddress(t *testing.T) {
	f := newFakeSystemd(t)
	address, socket := openSocket(t)
	f.write("userinfo.yaml", []byte(strings.NewReplacer("HASH", f.token.HashText(), "127.0.0.1:0", "127.0.0.1:8443").Replace(memoryConfig)))
	f.startService("userinfo serve", socket).await(`"msg":"cannot serve","error":"listen: systemd has opened ` + address + `, but listen in the configuration is 127.0.0.1:8443: write the same address into ListenStream= of userinfo.socket"`)
}

func TestCheckSocketAddress_WantsTheAddressOfTheConfiguration(t *testing.T) {
	tcp := func(ip string, port int) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: port} }
	for _, test := range []struct {
		listen string
		socket net.Addr
		ok     bool
	}{
		{"0.0.0.0:8443", tcp("0.0.0.0", 8443), true},
		{":8443", tcp("::", 8443), true},
		{":8443", tcp("0.0.0.0", 8443), true},
		{"[::]:8443", tcp("::", 8443), true},
		{"192.0.2.1:8443", tcp("192.0.2.1", 8443), true},
		{"[2001:db8::1]:https", tcp("2001:db8::1", 443), true},
		{"127.0.0.1:0", tcp("127.0.0.1", 8443), true},
		{"0.0.0.0:8443", tcp("::", 8443), true},
		{"0.0.0.0:8443", tcp("0.0.0.0", 8444), false},
		{"192.0.2.1:8443", tcp("0.0.0.0", 8443), false},
		{":8443", tcp("192.0.2.1", 8443), false},
		{"", tcp("::", 8443), false},
		{"8443", tcp("::", 8443), false},
		{":8443", nil, false},
		{":8443", &net.UnixAddr{Name: "/run/userinfo", Net: "unix"}, false},
	} {
		if err := checkSocketAddress(test.listen, test.socket); (err == nil) != test.ok {
			t.Errorf("listen %q, socket %v: %v", test.listen, test.socket, err)
		}
	}
}

func TestWatchdogInterval_AllowsTwoLateLooks(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{
		0: reportInterval, 30 * time.Second: reportInterval, 6 * time.Second: 2 * time.Second, time.Hour: reportInterval,
	} {
		if got := watchdogInterval(limit); got != want {
			t.Errorf("%v: %v, want %v", limit, got, want)
		}
	}
}

func TestWatchdog_IsSilentWhileSomethingHangs(t *testing.T) {
	var sent []string
	var log strings.Builder
	hangs := ""
	w := watchdog{
		notify:  func(n ...string) { sent = append(sent, n...) },
		stalled: func(time.Duration) string { return hangs },
		log:     slog.New(slog.NewJSONHandler(&log, nil)),
	}
	w.look(time.Second)
	hangs = "requests"
	w.look(time.Second)
	w.look(time.Second)
	if !slices.Equal(sent, []string{systemd.Alive}) {
		t.Errorf("sent %q", sent)
	}
	if n := strings.Count(log.String(), `"part":"requests"`); n != 1 || !strings.Contains(log.String(), "TestWatchdog_IsSilentWhileSomethingHangs") {
		t.Errorf("%d records, want one with the stacks:\n%s", n, log.String())
	}
	hangs = ""
	w.look(time.Second)
	if len(sent) != 2 || !strings.Contains(log.String(), "makes progress again") {
		t.Errorf("after the hang: sent %q\n%s", sent, log.String())
	}
}

func TestGoroutineStacks_HaveNoArguments(t *testing.T) {
	text := goroutineStacks()
	if !strings.Contains(text, "userinfo.goroutineStacks") || len(text) > maxStacks {
		t.Errorf("%d bytes:\n%s", len(text), text)
	}
	if call := regexp.MustCompile(`goroutineStacks\(|\{0x|\(0x[0-9a-f]+, 0x`).FindString(text); call != "" {
		t.Errorf("there are arguments: %q in\n%s", call, text)
	}
}
