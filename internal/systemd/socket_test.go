package systemd

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain is also the program that receives sockets: a process that was started by passSockets.
func TestMain(m *testing.M) {
	if os.Getenv("USERINFO_TEST_RECEIVES") == "" {
		os.Exit(m.Run())
	}
	l, err := Listener()
	switch {
	case err != nil:
		fmt.Print(err)
	case l == nil:
		fmt.Print("no socket")
	default:
		c, err := l.Accept()
		if err != nil {
			fmt.Print(err)
			os.Exit(1)
		}
		_, _ = fmt.Fprint(c, "accepted")
		fmt.Print(l.Addr())
	}
	os.Exit(0)
}

// passSockets starts a process with these files as systemd does, and returns what it prints. The shell knows the number of
// the process, because exec keeps it.
func passSockets(t *testing.T, environment string, files ...*os.File) string {
	t.Helper()
	c := exec.Command("sh", "-c", environment+` exec "$0"`, os.Args[0])
	c.Env = append(os.Environ(), "USERINFO_TEST_RECEIVES=1")
	c.ExtraFiles = files
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

const forThisProcess = "LISTEN_PID=$$ LISTEN_FDNAMES=userinfo.socket "

// file returns the file of a listener, connection or other socket.
func file(t *testing.T, of interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := of.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener)
}

func TestListener_AcceptsConnectionThatWaits(t *testing.T) {
	l := listenTCP(t)
	c, err := net.Dial("tcp", l.Addr().String()) // before the process exists
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := passSockets(t, forThisProcess+"LISTEN_FDS=1", file(t, l)); got != l.Addr().String() {
		t.Errorf("the process says %q, want the address %s", got, l.Addr())
	}
	answer := make([]byte, 100)
	if n, err := c.Read(answer); err != nil || string(answer[:n]) != "accepted" {
		t.Errorf("%q, %v", answer[:n], err)
	}
}

func TestListener_IsNilWithoutSocketForThisProcess(t *testing.T) {
	f := file(t, listenTCP(t))
	for _, environment := range []string{"", "LISTEN_FDS=1", "LISTEN_PID=1 LISTEN_FDS=1", forThisProcess + "LISTEN_FDS=0"} {
		if got := passSockets(t, environment, f); got != "no socket" {
			t.Errorf("%q: %s", environment, got)
		}
	}
}

func TestListener_FailsClosed(t *testing.T) {
	l := listenTCP(t)
	connected, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	unixSocket, err := net.Listen("unix", filepath.Join(socketDir(t), "listener"))
	if err != nil {
		t.Fatal(err)
	}
	defer unixSocket.Close()
	regular, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer regular.Close()
	tcp, one := file(t, l), forThisProcess+"LISTEN_FDS=1"
	for name, test := range map[string]struct {
		environment string
		files       []*os.File
		want        string
	}{
		"number is text":     {forThisProcess + "LISTEN_FDS=one", []*os.File{tcp}, `LISTEN_FDS is "one"`},
		"number is missing":  {forThisProcess, []*os.File{tcp}, `LISTEN_FDS is ""`},
		"number is negative": {forThisProcess + "LISTEN_FDS=-1", []*os.File{tcp}, `LISTEN_FDS is "-1"`},
		"no file":            {one, nil, "is not a listening socket"},
		"two sockets":        {forThisProcess + "LISTEN_FDS=2", []*os.File{tcp, tcp}, "2 sockets (userinfo.socket)"},
		"a connection":       {one, []*os.File{file(t, connected.(*net.TCPConn))}, "is not a listening socket"},
		"a regular file":     {one, []*os.File{regular}, "is not a listening socket"},
		"a Unix socket":      {one, []*os.File{file(t, unixSocket.(*net.UnixListener))}, "use a TCP address in ListenStream="},
	} {
		if got := passSockets(t, test.environment, test.files...); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q does not contain %q", name, got, test.want)
		}
	}
}
