// Package devserver builds the userinfo program and runs `userinfo dev`, for tests with clients that are not written in
// Go. The server is a process of its own. It ends with the test at the latest.
package devserver

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Server is a running `userinfo dev`.
type Server struct {
	URL       string // of its only collection: https://127.0.0.1:PORT/sessions/v1
	CAFile    string // path of the CA's certificate
	TokenFile string // path of a file with an Authorization header; its client may do everything
	Dir       string // of all files that the server made; it is removed when the server stops
	Stop      func() // sends SIGTERM and waits until the process has ended
}

// Origin returns scheme, host and port: https://127.0.0.1:PORT.
func (s *Server) Origin() string { return strings.TrimSuffix(s.URL, collectionPath) }

const collectionPath = "/sessions/v1"

var (
	printedDir = regexp.MustCompile(`--cacert (\S+)/ca\.crt`)
	printedURL = regexp.MustCompile(`https://\S+?` + collectionPath)
)

// inLastLine occurs in the last line that `userinfo dev` prints, and in no other. The server listens then.
const inLastLine = "Ctrl-C"

// Build builds the program and returns its path.
func Build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "userinfo")
	if out, err := exec.Command("go", "build", "-o", program, "userinfo/cmd/userinfo").CombinedOutput(); err != nil {
		t.Fatalf("building userinfo: %v\n%s", err, out)
	}
	return program
}

// Start builds the program and starts `userinfo dev` with these flags on a free port. If the test fails, its log is added
// to the test's log.
func Start(t *testing.T, flags ...string) *Server {
	t.Helper()
	cmd := exec.Command(Build(t), append([]string{"dev", "--listen", "127.0.0.1:0"}, flags...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal("starting userinfo dev: ", err)
	}
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // fails if the process has ended; Wait reports that
		_, _ = io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("userinfo dev ended with an error: %v", err)
		}
		if t.Failed() {
			t.Logf("userinfo dev logged:\n%s", log.String())
		}
	})
	t.Cleanup(stop)

	var printed strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan() && !strings.Contains(lines.Text(), inLastLine); {
		printed.WriteString(lines.Text() + "\n")
	}
	dir, url := printedDir.FindStringSubmatch(printed.String()), printedURL.FindString(printed.String())
	if dir == nil || url == "" {
		t.Fatalf("userinfo dev did not print its directory and its URL; it printed:\n%s", printed.String())
	}
	return &Server{URL: url, CAFile: filepath.Join(dir[1], "ca.crt"), TokenFile: filepath.Join(dir[1], "token.header"), Dir: dir[1], Stop: stop}
}
