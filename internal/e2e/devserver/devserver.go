// Package devserver builds the program and runs `userinfo dev`, for tests with clients that are not written in Go.
//
// The service is a process of its own, as its users run it. It ends with the test at the latest.
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
	// URL of its one collection: https://127.0.0.1:PORT/sessions/v1.
	URL string
	// CAFile has the CA's certificate, TokenFile a line with the Authorization header of a client that may do everything.
	CAFile, TokenFile string
	// Stop ends it as SIGTERM does and returns once it has ended.
	Stop func()
}

// Origin is the beginning of every URL of the service: https://127.0.0.1:PORT.
func (s *Server) Origin() string { return strings.TrimSuffix(s.URL, collectionPath) }

const collectionPath = "/sessions/v1"

var (
	saidDir = regexp.MustCompile(`--cacert (\S+)/ca\.crt`)
	saidURL = regexp.MustCompile(`https://\S+?` + collectionPath)
)

// lastLine is what `userinfo dev` says last, once it listens.
const lastLine = "Ctrl-C stops it."

// Start builds the program and starts it on a free port. What it logs becomes the test's log where the test fails.
func Start(t *testing.T) *Server {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "userinfo")
	if out, err := exec.Command("go", "build", "-o", program, "userinfo/cmd/userinfo").CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "dev", "--listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
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
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself; Wait tells
		_, _ = io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("userinfo dev ended badly: %v", err)
		}
		if t.Failed() {
			t.Logf("userinfo dev logged:\n%s", log.String())
		}
	})
	t.Cleanup(stop)

	var said strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan() && lines.Text() != lastLine; {
		said.WriteString(lines.Text() + "\n")
	}
	d, u := saidDir.FindStringSubmatch(said.String()), saidURL.FindString(said.String())
	if d == nil || u == "" {
		t.Fatalf("userinfo dev does not say where its keys are and what its URL is; it said:\n%s", said.String())
	}
	return &Server{URL: u, CAFile: filepath.Join(d[1], "ca.crt"), TokenFile: filepath.Join(d[1], "token.header"), Stop: stop}
}
