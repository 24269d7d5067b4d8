//go:build integration

// Package image tests the container image of deploy/image as docs/operations.md runs it: read-only, without capabilities, as
// a user that is not root.
package image

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"userinfo/internal/devca"
)

// user is the numeric user and group of the image.
const user = 64001

// patience is the time after which a test stops waiting. It is much longer than anything takes.
const patience = 2 * time.Minute

// configuration has no Cassandra to reach: the instance is alive, but not ready.
const configuration = `listen: 0.0.0.0:8443
tls: {certificate: server.crt, key: server.key, client_ca: ca.crt}
cassandra: {hosts: [127.0.0.1], port: 1, local_datacentre: dc1, username: userinfo, password_file: password, tls: {ca: ca.crt}}
collections: [{name: sessions}]
seal: {index_key: index.key, keys: [seal.key]}
audiences: {sessions: [{certificate: true}], health: [{allow: true}]}
clients: [{name: wiki, certificates: [{cn: wiki}], grants: [sessions:get], keys: ["*"]}]
`

// docker runs the command of the container engine and returns what it prints.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// remove runs a command of the container engine at the end of a test.
func remove(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
		t.Errorf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// image is the image that all tests share.
var image string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if image, err = build(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = exec.Command("docker", "image", "rm", "--force", image).Run() }()
		return m.Run()
	}())
}

// build builds the image under a new name.
func build() (name string, err error) {
	name = "userinfo-test:" + strings.ToLower(rand.Text())
	if out, err := exec.Command("../../../deploy/image/build.sh", name).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build.sh: %w\n%s", err, out)
	}
	return name, nil
}

// writeFiles makes a directory with the configuration and the files that it names. They belong to the image's user.
func writeFiles(t *testing.T) (dir string, ca *devca.CA) {
	t.Helper()
	dir = t.TempDir()
	ca, err := devca.New("image")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.Write(dir, "server", devca.Loopback()); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"ca.crt": string(ca.PEM()), "userinfo.yaml": configuration, "password": "secret\n",
		"index.key": docker(t, "run", "--rm", image, "key", "new", "index"),
		"seal.key":  docker(t, "run", "--rm", image, "key", "new", "seal"),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chown(filepath.Join(dir, e.Name()), user, user); err != nil {
			t.Fatalf("this test must run as root: %v", err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, ca
}

// runCommand matches the command in docs/operations.md that starts a container.
var runCommand = regexp.MustCompile("(?s)```sh\n(docker run --detach .*?)```")

// start starts a container with the command in docs/operations.md. It is removed at the end of the test.
func start(t *testing.T, dir string) (id string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	found := runCommand.FindSubmatch(text)
	if found == nil {
		t.Fatal("docs/operations.md has no command docker run --detach")
	}
	command := string(found[1])
	for _, change := range [][2]string{
		{"registry.example/userinfo:v1.2.3", image},
		{"--volume /etc/userinfo:", "--volume " + dir + ":"},
		{"--publish 8443:8443", "--publish 127.0.0.1::8443 --health-interval 1s --health-retries 1"},
		{"--name userinfo ", ""},
		{"--ulimit nofile=65536", "--ulimit nofile=17408"}, // the smallest number that the service accepts
	} {
		if !strings.Contains(command, change[0]) {
			t.Fatalf("the command in docs/operations.md does not contain %q:\n%s", change[0], command)
		}
		command = strings.Replace(command, change[0], change[1], 1)
	}
	run := exec.CommandContext(t.Context(), "sh", "-euc", command)
	var warnings strings.Builder // such as a kernel that does not limit swap
	run.Stderr = &warnings
	out, err := run.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, &warnings)
	}
	id = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		log, _ := exec.Command("docker", "logs", id).CombinedOutput() // the removal reports a missing container
		remove(t, "rm", "--force", id)
		if t.Failed() {
			t.Logf("log of the container:\n%s", log)
		}
	})
	return id
}

// waitHealth waits until the engine's HEALTHCHECK has this result.
func waitHealth(t *testing.T, id, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		health := docker(t, "inspect", "--format", "{{json .State}}", id)
		var state struct {
			Status string
			Health struct{ Status string }
		}
		if err := json.Unmarshal([]byte(health), &state); err != nil {
			t.Fatal(err)
		}
		switch {
		case state.Health.Status == want:
			return
		case state.Status == "exited":
			t.Fatalf("the container has ended: %s", health)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the container is not %s: %s", want, health)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func TestImage_RunsReadOnlyWithoutRootAndCapabilities(t *testing.T) {
	dir, ca := writeFiles(t)
	id := start(t, dir)
	waitHealth(t, id, "healthy")

	t.Run("the process has no rights", func(t *testing.T) {
		status, err := os.ReadFile("/proc/" + docker(t, "inspect", "--format", "{{.State.Pid}}", id) + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			fmt.Sprintf("\nUid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", user), fmt.Sprintf("\nGid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", user),
			"\nCapPrm:\t0000000000000000\n", "\nCapEff:\t0000000000000000\n", "\nCapBnd:\t0000000000000000\n", "\nNoNewPrivs:\t1\n",
		} {
			if !strings.Contains(string(status), want) {
				t.Errorf("the process does not have %q:\n%s", want, status)
			}
		}
	})
	t.Run("it answers /healthz", func(t *testing.T) {
		address := docker(t, "port", id, "8443/tcp")
		client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
		response, err := client.Get("https://" + address + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK || string(text) != "alive\n" {
			t.Errorf("%s %q %v", response.Status, text, err)
		}
	})
	t.Run("without Cassandra it is not ready", func(t *testing.T) {
		out, err := exec.CommandContext(t.Context(), "docker", "exec", id, "/userinfo", "healthcheck", "--ready", "--config", "/etc/userinfo/userinfo.yaml").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "/readyz: 503 Service Unavailable: This instance has not reached its database yet.") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("the log has no warning about its protection", func(t *testing.T) {
		if log := docker(t, "logs", id); strings.Contains(log, "core dumps are possible") || strings.Contains(log, "memory that is not locked") {
			t.Error(log)
		}
	})
	t.Run("SIGTERM ends it", func(t *testing.T) {
		docker(t, "stop", "--time", "60", id)
		if code := docker(t, "inspect", "--format", "{{.State.ExitCode}}", id); code != "0" {
			t.Errorf("exit code %s", code)
		}
		if log := docker(t, "logs", id); !strings.Contains(log, `"msg":"stopped"`) || strings.Contains(log, `"level":"ERROR"`) {
			t.Error(log)
		}
	})
}

func TestImage_IsUnhealthyWhenTheProgramDoesNotAnswer(t *testing.T) {
	dir, _ := writeFiles(t)
	id := start(t, dir)
	waitHealth(t, id, "healthy")
	docker(t, "kill", "--signal", "STOP", id)
	waitHealth(t, id, "unhealthy")
}

func TestImage_LayersAreReproducible(t *testing.T) {
	again, err := build()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, "image", "rm", "--force", again) })
	content := func(name string) string {
		return docker(t, "image", "inspect", "--format", "{{json .RootFS.Layers}} {{json .Config.Labels}} {{json .Config.Cmd}}", name)
	}
	if first, second := content(image), content(again); first != second || !strings.Contains(first, "sha256:") {
		t.Errorf("two builds of the same source differ:\n%s\n%s", first, second)
	}
}

func TestImage_HoldsTheProgramOnly(t *testing.T) {
	id := docker(t, "create", image)
	t.Cleanup(func() { remove(t, "rm", id) })
	list, err := exec.CommandContext(t.Context(), "sh", "-c", "docker export "+id+" | tar -tf -").Output()
	if err != nil {
		t.Fatal(err)
	}
	// The engine itself adds these to every container.
	const added = " .dockerenv dev/ dev/console dev/pts/ dev/shm/ etc/ etc/hostname etc/hosts etc/mtab etc/resolv.conf proc/ sys/ "
	for name := range strings.Lines(string(list)) {
		name = strings.TrimSpace(name)
		if name != "userinfo" && !strings.Contains(added, " "+name+" ") {
			t.Errorf("the image holds %s", name)
		}
	}
	if !strings.Contains("\n"+string(list), "\nuserinfo\n") {
		t.Errorf("the image does not hold the program: %s", list)
	}
	for _, label := range []string{"title", "description", "version", "revision", "created"} {
		value := docker(t, "image", "inspect", "--format", `{{index .Config.Labels "org.opencontainers.image.`+label+`"}}`, image)
		if value == "" || strings.Contains(value, "no value") {
			t.Errorf("the image has no label %s", label)
		}
	}
}
