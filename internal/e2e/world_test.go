//go:build integration

// Package e2e tests the built program as its users have it: real processes, one in each datacentre of a real
// Cassandra cluster, real faults, real clients.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"userinfo/access"
	"userinfo/internal/devca"
	"userinfo/internal/testcluster"
)

// world is a cluster of two datacentres, the program, and what both need. Tests share it, one after another.
type world struct {
	cluster *testcluster.Cluster
	ca      *devca.CA
	token   access.Token
	dir     string
	program string
}

var shared *world

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "userinfo-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		shared, err = newWorld(ctx, dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() {
			if err := shared.cluster.Stop(context.Background()); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		return m.Run()
	}())
}

func newWorld(ctx context.Context, dir string) (w *world, err error) {
	w = &world{dir: dir, program: filepath.Join(dir, "userinfo")}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", w.program, "userinfo/cmd/userinfo").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building: %w\n%s", err, out)
	}
	if w.ca, err = devca.New("userinfo e2e"); err != nil {
		return nil, err
	}
	if w.token, err = access.NewToken(rand.Reader); err != nil {
		return nil, err
	}
	if err := os.WriteFile(w.caFile(), w.ca.PEM(), 0o600); err != nil {
		return nil, err
	}
	if _, _, err := w.ca.Write(dir, "server", devca.Loopback()); err != nil {
		return nil, err
	}
	if err := w.makeKeys(ctx); err != nil {
		return nil, err
	}
	if w.cluster, err = testcluster.Start(ctx, testcluster.Options{}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = w.cluster.Stop(context.WithoutCancel(ctx))
		}
	}()
	config, err := w.config("dc1", w.cluster.Hosts("dc1"), "apply")
	if err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, w.program, "schema", "apply", "--config", config).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("schema apply: %w\n%s", err, out)
	}
	return w, nil
}

// makeKeys has the program make the keys that all instances share.
func (w *world) makeKeys(ctx context.Context) error {
	for _, kind := range []string{"index", "seal"} {
		text, err := exec.CommandContext(ctx, w.program, "key", "new", kind).Output()
		if err != nil {
			return fmt.Errorf("key new %s: %w", kind, err)
		}
		if err := os.WriteFile(filepath.Join(w.dir, kind+".key"), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) caFile() string { return filepath.Join(w.dir, "ca.crt") }

// config writes a configuration for an instance in dc and returns its file.
func (w *world) config(dc string, hosts []string, name string) (string, error) {
	file := filepath.Join(w.dir, name+".yaml")
	return file, os.WriteFile(file, fmt.Appendf(nil, `
listen: 127.0.0.1:0
log_level: info
tls:
  certificate: %[1]s/server.crt
  key: %[1]s/server.key
cassandra:
  hosts: [%[2]s]
  local_datacentre: %[3]s
  replication: {dc1: 3, dc2: 3}
  username: %[4]s
  password_file: %[5]s
  tls: {ca: %[6]s}
seal: {index_key: %[1]s/index.key, keys: [%[1]s/seal.key]}
collections:
  - name: sessions
  - name: kask
    layout: kask
clients:
  - name: mediawiki
    tokens: [{sha256: %[7]s, networks: [127.0.0.0/8]}]
    grants: [sessions:get, sessions:set, sessions:touch, sessions:delete, kask:get, kask:set, kask:touch, kask:delete, metrics:get]
    keys: ["*"]
audiences: {sessions: [{token: true}], kask: [{token: true}], metrics: [{token: true}], health: [{allow: true}]}
shutdown: {drain: 0s}
`, w.dir, strings.Join(hosts, ", "), dc, testcluster.Username, w.cluster.PasswordFile(), w.cluster.CAFile(), w.token.HashText()), 0o600)
}

// instance is a running service.
type instance struct {
	address string
	process *exec.Cmd
	mu      sync.Mutex
	logs    bytes.Buffer
	serving chan struct{} // closed once it listens
	ended   chan struct{} // closed once the process has
	killed  bool          // by kill
}

// start runs the program in dc and stops it when the test is over.
func (w *world) start(t *testing.T, dc string, hosts []string) *instance {
	t.Helper()
	config, err := w.config(dc, hosts, dc+"-"+rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{
		process: exec.Command(w.program, "serve", "--config", config),
		serving: make(chan struct{}), ended: make(chan struct{}),
	}
	stderr, err := i.process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := i.process.Start(); err != nil {
		t.Fatal(err)
	}
	go i.read(bufio.NewScanner(stderr))
	t.Cleanup(func() { i.stop(t) })
	return i
}

// serve starts an instance and waits until it listens.
func (w *world) serve(t *testing.T, dc string) *instance {
	t.Helper()
	i := w.start(t, dc, w.cluster.Hosts(dc))
	i.await(t, i.serving)
	return i
}

func (i *instance) read(lines *bufio.Scanner) {
	for lines.Scan() {
		i.mu.Lock()
		i.logs.Write(append(lines.Bytes(), '\n'))
		i.mu.Unlock()
		var record struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &record) == nil && record.Msg == "serving" {
			i.address = record.Address
			close(i.serving)
		}
	}
	_ = i.process.Wait() // its code is in ProcessState
	close(i.ended)
}

func (i *instance) log() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.logs.String()
}

func (i *instance) await(t *testing.T, event chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(time.Minute):
		t.Fatalf("the instance is not so far after a minute:\n%s", i.log())
	}
}

// stop ends the process in good order, or fails the test.
func (i *instance) stop(t *testing.T) {
	_ = i.process.Process.Signal(syscall.SIGTERM) // it may have ended
	i.await(t, i.ended)
	if code := i.process.ProcessState.ExitCode(); code != 0 && !i.killed {
		t.Errorf("the instance ended with %d:\n%s", code, i.log())
	}
}

// kill ends the process with SIGKILL.
func (i *instance) kill(t *testing.T) {
	t.Helper()
	i.killed = true
	if err := i.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	i.await(t, i.ended)
}

func (i *instance) url(collection string) string {
	return "https://" + i.address + "/" + collection + "/v1/"
}

func (w *world) pool() *x509.CertPool { return w.ca.Pool() }
