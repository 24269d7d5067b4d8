//go:build integration

// Package proxies tests what stands between clients and the service: a real haproxy and a real nginx, with the
// configurations in deploy, of which tests replace addresses and paths alone, or name what they break.
package proxies

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"userinfo/internal/devca"
)

// world is the certificates of everybody, as files of one directory.
type world struct {
	dir              string
	servers, clients *devca.CA
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), servers: newCA(t, "servers"), clients: newCA(t, "clients")}
	named := devca.Loopback()
	named.DNSNames = append(named.DNSNames, "userinfo.example")
	w.issue(t, w.servers, "userinfo", named)
	w.issue(t, w.servers, "edge", named)
	for _, name := range []string{"alice", "bob", "edge-proxy", "other-proxy"} {
		w.issue(t, w.clients, name, devca.Leaf{CommonName: name, Client: true})
	}
	big := devca.Leaf{CommonName: "alice", Client: true}
	for i := range 150 {
		big.DNSNames = append(big.DNSNames, fmt.Sprintf("%d.alice.example", i))
	}
	w.issue(t, w.clients, "alice-of-many-names", big) // 6 kB as a field
	w.issue(t, newCA(t, "nobody's"), "mallory", devca.Leaf{CommonName: "alice", Client: true})
	w.write(t, "userinfo-ca.crt", w.servers.PEM())
	w.write(t, "clients-ca.crt", w.clients.PEM())
	script, err := os.ReadFile("../../../deploy/nginx-client-cert.js")
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "nginx-client-cert.js", script)
	return w
}

func newCA(t *testing.T, name string) *devca.CA {
	t.Helper()
	ca, err := devca.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(t *testing.T, name string, contents ...[]byte) {
	t.Helper()
	if err := os.WriteFile(w.file(name), bytes.Join(contents, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue writes name.crt and name.key, and both in name.pem.
func (w *world) issue(t *testing.T, ca *devca.CA, name string, leaf devca.Leaf) {
	t.Helper()
	cert, key, err := ca.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, name+".crt", cert)
	w.write(t, name+".key", key)
	w.write(t, name+".pem", cert, key)
}

func (w *world) pair(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(w.file(name+".crt"), w.file(name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// field is a certificate as RFC 9440 has it.
func (w *world) field(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(w.file(name + ".crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	return ":" + base64.StdEncoding.EncodeToString(block.Bytes) + ":"
}

// kind is a proxy program, and how its example in deploy becomes a test's.
type kind struct {
	name    string
	command func(config string) *exec.Cmd
	paths   func(w *world) []string // old and new
}

var (
	haproxy = kind{
		name:    "haproxy",
		command: func(config string) *exec.Cmd { return exec.Command("haproxy", "-db", "-f", config) },
		paths: func(w *world) []string {
			return []string{"/etc/haproxy/", w.dir + "/", "maxconn 20000", "maxconn 200", "fall 2 ", "fall 100 "} // file descriptors; a slow machine
		},
	}
	nginx = kind{
		name: "nginx",
		command: func(config string) *exec.Cmd {
			return exec.Command("nginx", "-e", "stderr", "-g", "daemon off;", "-c", config)
		},
		paths: func(w *world) []string {
			return []string{
				"include /etc/nginx/modules-enabled", "include MODULES", "/etc/nginx/", w.dir + "/", "include MODULES", "include /etc/nginx/modules-enabled",
				"/run/nginx.pid", w.file("nginx.pid"), "error_log /var/log/nginx/error.log", "error_log stderr", "worker_connections 20000", "worker_connections 200",
			}
		},
	}
	both = []kind{haproxy, nginx}
)

func (k kind) example() string {
	return "../../../deploy/" + map[string]string{"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}[k.name]
}

// Ports of the examples.
const (
	passthrough           = "8443"
	passthroughV2         = "8444" // haproxy
	passthroughV1         = "8445"
	terminating           = "8446"
	dedicatedCertificates = "8447"
	dedicatedTokens       = "8448"
)

// proxy is a running one.
type proxy struct{ host string }

func (p *proxy) at(port string) string { return net.JoinHostPort(p.host, port) }

// start runs the proxy of an example in front of a service, and ends it with the test. changes are pairs of a text
// of the example, which must be there, and what a test has instead.
func (w *world) start(t *testing.T, k kind, v *service, changes ...string) *proxy {
	t.Helper()
	text, err := os.ReadFile(k.example())
	if err != nil {
		t.Fatal(err)
	}
	// An address of loopback that nobody else has: the ports are the example's.
	b := make([]byte, 3)
	_, _ = rand.Read(b) // never fails
	p := &proxy{host: fmt.Sprintf("127.%d.%d.%d", 100+b[0]%100, b[1], 1+b[2]%254)}
	config := string(text)
	pairs := append(changes, append(k.paths(w), "10.64.0.21:8443", v.address, "10.64.0.10", p.host)...)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(config, pairs[i]) {
			t.Fatalf("%s has no %q", k.example(), pairs[i])
		}
		config = strings.ReplaceAll(config, pairs[i], pairs[i+1])
	}
	w.write(t, k.name+".conf", []byte(config))
	run(t, k.command(w.file(k.name+".conf")), p.at(passthrough), p.at(terminating))
	return p
}

// run starts a program and waits until it listens on addresses.
func run(t *testing.T, c *exec.Cmd, addresses ...string) {
	t.Helper()
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatalf("%v; internal/testenv/packages.sh installs it", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Wait() // a program that a signal ended did not succeed
	}()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", c.Path, said.String())
		}
	})
	for _, address := range addresses {
		if err := await(address, ended); err != nil {
			t.Fatalf("%s: %v", c.Path, err)
		}
	}
}

// await tries to connect until it can. There is no event for a port that another process opens.
func await(address string, ended <-chan struct{}) error {
	deadline := time.After(20 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ended:
			return errors.New("it ended at once")
		case <-deadline:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}
