//go:build integration

package api

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

const idleConnections = 10_000

// Of the process that holds the clients' ends. It is this program, for both ends are more open files than some
// machines allow one process.
const (
	idleAddress = "USERINFO_TEST_IDLE_ADDRESS"
	idleCA      = "USERINFO_TEST_IDLE_CA"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(idleAddress); addr != "" {
		if err := beIdle(addr, os.Getenv(idleCA)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestTenThousandIdleConnectionsDoNotKeepOthersFromBeingAnswered(t *testing.T) {
	if err := allowFiles(idleConnections + 500); err != nil {
		t.Fatal(err)
	}
	s := start(t, setup{maxConnections: idleConnections + 100})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, testCA().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	done := s.others(t)
	clients := exec.CommandContext(t.Context(), os.Args[0])
	clients.Env = append(os.Environ(), idleAddress+"="+s.addr, idleCA+"="+ca)
	clients.Stderr = os.Stderr
	finish, err := clients.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := clients.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "idle\n" {
		t.Fatalf("the clients say %q, %v", line, err)
	}
	if open := gauge(t, s, "userinfo_connections"); open < idleConnections {
		t.Errorf("%v connections are open; want at least %d", open, idleConnections)
	}
	c := s.client(t, protocols[1])
	for range 100 {
		if got := s.must(t, c, get("k")); got.status != 404 {
			t.Fatalf("a client among so many: %d", got.status)
		}
	}
	done()
	if err := errors.Join(finish.Close(), clients.Wait()); err != nil {
		t.Errorf("the connections were not kept: %v", err)
	}
}

// beIdle makes the connections, asks once over each, says so, and asks over some again when its input ends.
func beIdle(addr, ca string) error {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	if err := allowFiles(idleConnections + 500); err != nil {
		return err
	}
	// Resumed sessions spare a signature each.
	config := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	all := make([]idle, idleConnections)
	const workers = 8
	errs := make([]error, workers)
	var connecting sync.WaitGroup
	for w := range workers {
		connecting.Go(func() {
			for n := w; n < len(all) && errs[w] == nil; n += workers {
				all[n], errs[w] = newIdle(addr, config)
			}
		})
	}
	connecting.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Println("idle")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	for n := 0; n < len(all); n += 100 {
		if err := all[n].ask(); err != nil {
			return fmt.Errorf("connection %d: %w", n, err)
		}
	}
	return nil
}

// idle is a connection over which a request was answered, and nothing said since.
type idle struct {
	c *tls.Conn
	r *bufio.Reader
}

func newIdle(addr string, config *tls.Config) (idle, error) {
	c, err := (&service{addr: addr}).handshake(config)
	if err != nil {
		return idle{}, err
	}
	i := idle{c, bufio.NewReaderSize(c, 512)}
	return i, i.ask()
}

func (i idle) ask() error {
	if err := i.c.SetDeadline(deadline()); err != nil {
		return err
	}
	if _, err := io.WriteString(i.c, head("GET", "/sessions/v1/k")+"\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(i.r, nil)
	if err != nil {
		return err
	}
	if got, err := read(res); err != nil || got.status != http.StatusNotFound {
		return fmt.Errorf("status %d, %w", got.status, err)
	}
	return nil
}

// allowFiles lets this process have n open files.
func allowFiles(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur, limit.Max = max(limit.Cur, n), max(limit.Max, n)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d open files are needed; raise the hard limit with ulimit -Hn: %w", n, err)
	}
	return nil
}
