//go:build integration

package compose

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// demonstration is a copy of deploy/compose and of what its files refer to, with a name and ports of its own.
type demonstration struct {
	dir      string // of the copy of deploy/compose
	image    string // of the service
	dc1, dc2 string // ports
	env      []string
}

// newDemonstration copies the files, and chooses a name and free ports.
func newDemonstration(t *testing.T) *demonstration {
	t.Helper()
	copied := t.TempDir()
	d := &demonstration{dir: filepath.Join(copied, "deploy", "compose"), dc1: freePort(t), dc2: freePort(t)}
	run(t, exec.Command("cp", "-R", filepath.Join(root, "deploy"), copied))
	conf := filepath.Join(copied, "internal", "testcluster")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, exec.Command("cp", "-R", filepath.Join(root, "internal", "testcluster", "conf"), conf))
	run(t, exec.Command("chmod", "-R", "a+rX", copied)) // the containers have users of their own
	run(t, exec.Command("sh", "-c", "rm -f "+d.dir+"/client/*"))
	name := "userinfo-demo-" + strings.ToLower(rand.Text()[:8])
	d.image = name + ":test"
	d.env = append(os.Environ(), "PATH="+composePlugin(t)+":"+os.Getenv("PATH"), "COMPOSE_PROJECT_NAME="+name,
		"IMAGE="+d.image, "USERINFO_IMAGE="+d.image, "DC1_PORT="+d.dc1, "DC2_PORT="+d.dc2)
	return d
}

// useLocalImages builds images that replace the pinned ones, from Debian packages.
func (d *demonstration) useLocalImages(t *testing.T) {
	t.Helper()
	cassandra, err := exec.CommandContext(t.Context(), filepath.Join(root, "internal", "testenv", "image.sh")).Output()
	if err != nil {
		t.Fatalf("image.sh: %v", err)
	}
	d.env = append(d.env, "CASSANDRA_IMAGE="+strings.TrimSpace(string(cassandra)), "HAPROXY_IMAGE="+buildHAProxy(t))
}

// freePort returns a port that nothing listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// composePlugin returns a directory with a program docker that has the command compose. Debian has docker-compose instead.
func composePlugin(t *testing.T) string {
	t.Helper()
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(`#!/bin/sh
if [ "$1" = compose ] && ! %[1]s compose version >/dev/null 2>&1; then
	shift
	exec docker-compose "$@"
fi
exec %[1]s "$@"
`, docker)
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return bin
}

// buildHAProxy makes an image of the haproxy of this machine, with the libraries that it needs.
func buildHAProxy(t *testing.T) (image string) {
	t.Helper()
	tree := t.TempDir()
	run(t, exec.Command("sh", "-euc", `
program=$(command -v haproxy)
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
	mkdir -p "$1/files$(dirname "$library")"
	cp -L "$library" "$1/files$library"
done
mkdir -p "$1/files/usr/local/sbin"
cp "$program" "$1/files/usr/local/sbin/haproxy"
printf 'FROM scratch\nCOPY files /\nENV PATH=/usr/local/sbin\n' >"$1/Dockerfile"
`, "sh", tree))
	image = "userinfo-haproxy:" + strings.ToLower(rand.Text()[:8])
	build := exec.Command("docker", "build", "--quiet", "--tag", image, tree)
	build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	run(t, build)
	t.Cleanup(func() { remove(t, "docker", "image", "rm", "--force", image) })
	return image
}

// run runs a command that must succeed.
func run(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c, err, out)
	}
}

// remove runs a command at the end of a test.
func remove(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// shell returns the command of a shell that runs a script in the demonstration's directory.
func (d *demonstration) shell(ctx context.Context, script string) *exec.Cmd {
	c := exec.CommandContext(ctx, "bash", "-eu", "-c", script)
	c.Dir, c.Env = d.dir, d.env
	return c
}

var (
	shellBlock     = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	expectedStatus = regexp.MustCompile(`(?m)^(.*\S)\s+# (\d{3})$`)
)

// readmeScript returns the commands of the README's blocks as one script, which ends with an error if a status is not the expected
// one. The README's blocks of language bash are not in it: they need images that cannot be had everywhere.
func (d *demonstration) readmeScript(t *testing.T) (up, use, down string) {
	t.Helper()
	text := readFile(t, "README.md")
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.NewReplacer("make -C ../..", "make -C "+absolute, "localhost:8443/", "localhost:"+d.dc1+"/", "localhost:9443/", "localhost:"+d.dc2+"/").Replace(text)
	var blocks []string
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, expectedStatus.ReplaceAllString(block[1], `answer=$$($1)
printf '%s: %s\n' '$2 expected' "$$answer"
[ "$${answer##* }" = $2 ]`))
	}
	if len(blocks) != 5 {
		t.Fatalf("the README has %d blocks of language sh, want 5: up, set, lose, cut, down", len(blocks))
	}
	return blocks[0], strings.Join(blocks[1:len(blocks)-1], "\n"), blocks[len(blocks)-1]
}

// TestReadme_CommandsWork runs the commands of the README: two datacentres come up; a session is set in one, read in the other
// and deleted; a datacentre hangs, the link is cut, and both come back; nothing is left at the end.
func TestReadme_CommandsWork(t *testing.T) {
	d := newDemonstration(t)
	d.useLocalImages(t)
	t.Cleanup(func() { remove(t, "docker", "image", "rm", "--force", d.image) })
	up, use, down := d.readmeScript(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	isDown := false
	defer func() {
		if t.Failed() {
			logs, _ := d.shell(context.Background(), "docker compose ps; docker compose logs --tail=40").CombinedOutput()
			t.Logf("%s", logs)
		}
		if !isDown {
			_ = d.shell(context.Background(), down).Run() // the failure is reported already
		}
	}()
	began := time.Now()
	for _, step := range []struct{ name, script string }{{"up", up}, {"use", use}} {
		out, err := d.shell(ctx, step.script).CombinedOutput()
		t.Logf("%s, after %v:\n%s", step.name, time.Since(began).Round(time.Second), out)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	run(t, d.shell(ctx, down))
	isDown = true
	left, err := d.shell(ctx, "docker ps --all --quiet --filter label=com.docker.compose.project=$COMPOSE_PROJECT_NAME; docker volume ls --quiet --filter label=com.docker.compose.project=$COMPOSE_PROJECT_NAME; ls client").CombinedOutput()
	if err != nil || len(bytes.TrimSpace(left)) > 0 {
		t.Errorf("after down, this is left (%v): %s", err, left)
	}
}

// TestCompose_FilesAreAccepted lets each program check its own file: Compose, and Prometheus where it reads its rules.
func TestCompose_FilesAreAccepted(t *testing.T) {
	d := newDemonstration(t)
	run(t, d.shell(t.Context(), "docker compose config --quiet && docker compose --profile monitoring config --services | grep -qx grafana"))
	prometheus := t.TempDir()
	config := strings.ReplaceAll(readFile(t, "prometheus.yml"), "/etc/prometheus/", prometheus+"/")
	if err := os.WriteFile(filepath.Join(prometheus, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, d.shell(t.Context(), `mkdir "`+prometheus+`/tls" && cp -R ../prometheus/rules "`+prometheus+`/rules"
touch "`+prometheus+`"/tls/{ca.crt,prometheus.crt,prometheus.key}
promtool check config "`+prometheus+`/prometheus.yml"`))
}
