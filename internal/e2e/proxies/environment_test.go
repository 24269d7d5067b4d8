//go:build integration

// Package proxies tests the service behind a real haproxy and a real nginx, with the configurations in deploy. The tests
// replace addresses and paths in these files, and what a test breaks on purpose.
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
	"sync"
	"syscall"
	"testing"
	"time"

	"userinfo/internal/devca"
)

// environment is a directory with the certificates of clients, proxies and service.
type environment struct {
	dir              string
	servers, clients *devca.CA
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	env := &environment{dir: t.TempDir(), servers: newCA(t, "servers"), clients: newCA(t, "clients")}
	named := devca.Loopback()
	named.DNSNames = append(named.DNSNames, "userinfo.example")
	env.issue(t, env.servers, "userinfo", named)
	env.issue(t, env.servers, "edge", named)
	for _, name := range []string{"alice", "bob", "edge-proxy", "other-proxy"} {
		env.issue(t, env.clients, name, devca.Leaf{CommonName: name, Client: true})
	}
	big := devca.Leaf{CommonName: "alice", Client: true}
	for i := range 150 {
		big.DNSNames = append(big.DNSNames, fmt.Sprintf("%d.alice.example", i))
	}
	env.issue(t, env.clients, "alice-of-many-names", big) // a header of 6 kB
	env.issue(t, newCA(t, "unknown"), "mallory", devca.Leaf{CommonName: "alice", Client: true})
	env.write(t, "userinfo-ca.crt", env.servers.PEM())
	env.write(t, "clients-ca.crt", env.clients.PEM())
	script, err := os.ReadFile("../../../deploy/nginx-client-cert.js")
	if err != nil {
		t.Fatal(err)
	}
	env.write(t, "nginx-client-cert.js", script)
	return env
}

func newCA(t *testing.T, name string) *devca.CA {
	t.Helper()
	ca, err := devca.New(name)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func (env *environment) file(name string) string { return filepath.Join(env.dir, name) }

func (env *environment) write(t *testing.T, name string, contents ...[]byte) {
	t.Helper()
	if err := os.WriteFile(env.file(name), bytes.Join(contents, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue writes name.crt, name.key, and name.pem with both.
func (env *environment) issue(t *testing.T, ca *devca.CA, name string, leaf devca.Leaf) {
	t.Helper()
	cert, key, err := ca.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	env.write(t, name+".crt", cert)
	env.write(t, name+".key", key)
	env.write(t, name+".pem", cert, key)
}

func (env *environment) pair(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(env.file(name+".crt"), env.file(name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// field returns a certificate as the value of a Client-Cert header (RFC 9440).
func (env *environment) field(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(env.file(name + ".crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	return ":" + base64.StdEncoding.EncodeToString(block.Bytes) + ":"
}

// kind is a proxy program with an example in deploy, and what to replace in the example.
type kind struct {
	name    string
	example string // the file
	command func(config string) *exec.Cmd
	paths   func(env *environment) []string // pairs of old and new text
	address string                          // on which the example listens
	ports   []string
}

var (
	haproxy = kind{
		name:    "haproxy",
		example: "haproxy.cfg",
		address: "10.64.0.10",
		ports:   []string{passthrough, terminating},
		command: func(config string) *exec.Cmd { return exec.Command("haproxy", "-db", "-f", config) },
		paths: func(env *environment) []string {
			return []string{"/etc/haproxy/", env.dir + "/", "/run/haproxy/userinfo.sock", env.file("haproxy.sock"), "maxconn 20000", "maxconn 200", "fall 2 ", "fall 100 "} // fewer file descriptors; health checks that tolerate a slow machine
		},
	}
	nginx = kind{
		name:    "nginx",
		example: "nginx.conf",
		address: "10.64.0.10",
		ports:   []string{passthrough, terminating},
		command: func(config string) *exec.Cmd {
			return exec.Command("nginx", "-e", "stderr", "-g", "daemon off;", "-c", config)
		},
		paths: func(env *environment) []string {
			return []string{
				"include /etc/nginx/modules-enabled", "include MODULES", "/etc/nginx/", env.dir + "/", "include MODULES", "include /etc/nginx/modules-enabled",
				"/run/nginx.pid", env.file("nginx.pid"), "error_log /var/log/nginx/error.log", "error_log stderr",
				"/var/log/nginx/userinfo.log", env.file("nginx.log"), "worker_connections 20000", "worker_connections 200",
			}
		},
	}
	both = []kind{haproxy, nginx}
	// local is the haproxy on a web server. It ends no TLS.
	local = kind{
		name:    "local haproxy",
		example: "mediawiki/haproxy.cfg",
		address: "127.0.0.1",
		ports:   []string{plain},
		command: haproxy.command,
		paths: func(env *environment) []string {
			return []string{"/etc/haproxy/", env.dir + "/", "/run/haproxy/userinfo.sock", env.file("haproxy.sock"), "maxconn 2000", "maxconn 200",
				" check ", " check fall 100 ", "\tserver userinfo2 10.64.0.22:8443\n", ""}
		},
	}
)

// isHaproxy reports whether the program is haproxy.
func (k kind) isHaproxy() bool { return k.name != nginx.name }

// Ports of the examples.
const (
	passthrough           = "8443"
	passthroughV2         = "8444" // haproxy
	passthroughV1         = "8445"
	terminating           = "8446"
	dedicatedCertificates = "8447"
	dedicatedTokens       = "8448"
	plain                 = "8081" // local
)

// proxy is a running proxy.
type proxy struct {
	host string
	*process
}

func (p *proxy) at(port string) string { return net.JoinHostPort(p.host, port) }

// start starts a proxy in front of a service. It ends with the test. changes are pairs of a text, which the example must
// contain, and its replacement.
func (env *environment) start(t *testing.T, k kind, v *service, changes ...string) *proxy {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/" + k.example)
	if err != nil {
		t.Fatal(err)
	}
	// A random loopback address, because the ports are fixed in the example.
	b := make([]byte, 3)
	_, _ = rand.Read(b) // returns no error
	p := &proxy{host: fmt.Sprintf("127.%d.%d.%d", 100+b[0]%100, b[1], 1+b[2]%254)}
	config := string(text)
	pairs := append(changes, append(append([]string{k.address, p.host}, k.paths(env)...), "10.64.0.21:8443", v.address)...)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(config, pairs[i]) {
			t.Fatalf("%s does not contain %q", k.example, pairs[i])
		}
		config = strings.ReplaceAll(config, pairs[i], pairs[i+1])
	}
	env.write(t, k.name+".conf", []byte(config))
	var listens []string
	for _, port := range k.ports {
		listens = append(listens, p.at(port))
	}
	p.process = run(t, k.command(env.file(k.name+".conf")), listens...)
	return p
}

// process is a running program.
type process struct {
	command *exec.Cmd
	ended   chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
}

// Write implements io.Writer. It receives what the program prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

// printed returns what the program has printed.
func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// stop asks the program to end, and waits for it.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM) // fails if the program has ended
	<-p.ended
}

// run starts a program and waits until it listens on addresses. The program ends with the test.
func run(t *testing.T, c *exec.Cmd, addresses ...string) *process {
	t.Helper()
	p := &process{command: c, ended: make(chan struct{})}
	c.Stdout, c.Stderr = p, p
	if err := c.Start(); err != nil {
		t.Fatalf("%v; internal/testenv/packages.sh installs it", err)
	}
	go func() {
		defer close(p.ended)
		_ = c.Wait() // returns an error if a signal ended the program
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", c.Path, p.printed())
		}
	})
	for _, address := range addresses {
		if err := waitListening(address, p.ended); err != nil {
			t.Fatalf("%s: %v", c.Path, err)
		}
	}
	return p
}

// waitListening tries to connect until it succeeds. There is no event for a port that another process opens.
func waitListening(address string, ended <-chan struct{}) error {
	deadline := time.After(20 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ended:
			return errors.New("the program ended before it listened")
		case <-deadline:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}
