//go:build integration

// Package systemd tests the unit files of deploy with a real systemd, which is process 1 of a container.
package systemd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
	"userinfo/internal/e2e/debian"
	"userinfo/internal/fleet"
)

// patience is how long a test waits for an event that must happen. No test waits that long if it passes.
const patience = time.Minute

// configuration is the configuration of the service. No Cassandra answers, so the service listens and is not ready.
const configuration = `listen: 0.0.0.0:8443
tls: {certificate: tls/server.crt, key: tls/server.key}
cassandra:
  hosts: [127.0.0.1]
  port: 1
  local_datacentre: dc1
  username: userinfo
  password_file: cassandra.password
  tls: {ca: tls/ca.crt}
seal: {index_key: keys/index, keys: [keys/seal-1]}
collections: [{name: sessions}]
audiences:
  health: [{allow: true}]
  sessions: [{token: true}]
clients:
  - {name: wiki, grants: [sessions:get], keys: ["*"], tokens: [{sha256: "0000000000000000000000000000000000000000000000000000000000000001"}]}
`

// install makes the user and the keys, as docs/operations.md says.
const install = `useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin userinfo
chgrp userinfo /etc/userinfo
chmod 0750 /etc/userinfo
umask 077
userinfo key new index >/etc/userinfo/keys/index
userinfo key new seal >/etc/userinfo/keys/seal-1
printf %s password >/etc/userinfo/cassandra.password
chown -R userinfo /etc/userinfo/keys /etc/userinfo/tls /etc/userinfo/cassandra.password
systemctl daemon-reload`

// program is the path of the built program.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "userinfo-systemd-")
		if err == nil {
			defer os.RemoveAll(dir)
			program = filepath.Join(dir, "userinfo")
			err = errors.Join(os.Setenv("CGO_ENABLED", "0"), fleet.Build(context.Background(), program, ""))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// machine is a Debian machine on which the service is installed and not started.
type machine struct {
	*debian.Machine
	t       *testing.T
	address string // of the service: host:port
	client  tls.Config
}

func startMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{Machine: debian.Start(t), t: t}
	m.Run("mount --make-rshared /") // as on a real machine: LoadCredential= needs it, and containers do not do it
	m.address = m.Run("hostname -I | cut -d ' ' -f 1") + ":8443"
	root := t.TempDir()
	ca, err := devca.New("machine")
	if err != nil {
		t.Fatal(err)
	}
	m.client = tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
	files := map[string][]byte{"etc/userinfo/tls/ca.crt": ca.PEM(), "etc/userinfo/userinfo.yaml": []byte(configuration), "etc/userinfo/keys/.keep": nil}
	for _, name := range []string{"userinfo.service", "userinfo.socket"} {
		if files["etc/systemd/system/"+name], err = os.ReadFile("../../../deploy/" + name); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := ca.Write(filepath.Join(root, "etc/userinfo/tls"), "server", devca.Loopback()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	m.Copy(root+"/.", "/")
	m.Copy(program, "/usr/local/bin/userinfo")
	m.Run(install)
	return m
}

// startService starts the service on a new machine. The command returns when the service has reported that it has started.
func startService(t *testing.T) *machine {
	t.Helper()
	m := startMachine(t)
	m.Run("systemctl start userinfo")
	return m
}

// property returns a property of the service's unit.
func (m *machine) property(name string) string {
	m.t.Helper()
	return m.Run("systemctl show --value --property=" + name + " userinfo.service")
}

// wantProperty checks a property of the service's unit.
func (m *machine) wantProperty(name, want string) {
	m.t.Helper()
	if got := m.property(name); got != want {
		m.t.Errorf("%s is %q, want %q", name, got, want)
	}
}

// awaitProperty waits until a property of the service's unit contains a text.
func (m *machine) awaitProperty(name, want string) {
	m.t.Helper()
	var got string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = m.property(name); strings.Contains(got, want) {
			return
		}
	}
	m.t.Fatalf("%s is %q; it does not become %q", name, got, want)
}

// journal returns the service's log.
func (m *machine) journal() string {
	m.t.Helper()
	return m.Run("journalctl --sync; journalctl --unit=userinfo.service --no-pager --output=cat")
}

// write writes a file on the machine.
func (m *machine) write(name, text string) {
	m.t.Helper()
	file := filepath.Join(m.t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
	m.Run("mkdir -p " + filepath.Dir(name))
	m.Copy(file, name)
}

// dropIn adds lines to the service's unit.
func (m *machine) dropIn(text string) {
	m.t.Helper()
	m.write("/etc/systemd/system/userinfo.service.d/test.conf", text)
	m.Run("systemctl daemon-reload")
}

// get asks for /healthz on a connection of its own.
func (m *machine) get() error {
	client := http.Client{Transport: &http.Transport{TLSClientConfig: m.client.Clone(), DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get("https://" + m.address + "/healthz")
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	_, readErr := io.Copy(io.Discard, res.Body)
	return errors.Join(err, readErr, res.Body.Close())
}

// wantServed checks that the service answers.
func (m *machine) wantServed() {
	m.t.Helper()
	if err := m.get(); err != nil {
		m.t.Error(err)
	}
}
