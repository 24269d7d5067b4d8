// Package debian runs a Debian machine in a container, with systemd as its first process, for tests of the Debian package and of
// the systemd unit.
//
// Invariants:
//
//  1. A machine belongs to one test. It ends with the test. If the test failed, the end of its journal is in the test's log.
//  2. Nothing of a machine is kept: the next one is fresh.
//
// The container has nearly all capabilities and no filter of system calls, because systemd mounts file systems and makes control
// groups. So a test must not run code there that it would not run on its own machine.
package debian

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// image is the name that internal/testenv/debian-image.sh gives the image.
const image = "userinfo-debian:12"

// How long a machine may take to boot, and a command to end.
const (
	bootTimeout    = 3 * time.Minute
	commandTimeout = 5 * time.Minute
)

// Machine is a running Debian machine.
type Machine struct {
	t  *testing.T
	id string // of the container
}

// options give systemd what it needs. SYS_RESOURCE is missing, because an engine that runs in a container may not have it.
var options = []string{"--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--security-opt", "seccomp=unconfined",
	"--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
	"--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs", "/run:exec", "--tmpfs", "/run/lock"}

// Start boots a machine.
func Start(t *testing.T) *Machine {
	t.Helper()
	if err := exec.Command("docker", "image", "inspect", image).Run(); err != nil {
		t.Fatalf("the image %s is missing (%v); run internal/testenv/debian-image.sh", image, err)
	}
	args := slices.Concat([]string{"run", "--detach"}, options, []string{image})
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("starting a machine: %v\n%s", err, out)
	}
	m := &Machine{t: t, id: strings.TrimSpace(string(out))}
	t.Cleanup(m.remove)
	ctx, cancel := context.WithTimeout(t.Context(), bootTimeout)
	defer cancel()
	// The first attempts fail, until systemd listens.
	if out, err := m.exec(ctx, "until systemctl is-system-running --wait | grep -E '^(running|degraded)$'; do sleep 0.1; done"); err != nil {
		t.Fatalf("the machine did not boot: %v\n%s", err, out)
	}
	return m
}

// remove ends the machine.
func (m *Machine) remove() {
	if m.t.Failed() {
		out, _ := exec.Command("docker", "exec", m.id, "journalctl", "--no-pager", "--lines=60").CombinedOutput()
		m.t.Logf("the end of the machine's journal:\n%s", out)
	}
	if out, err := exec.Command("docker", "rm", "--force", "--volumes", m.id).CombinedOutput(); err != nil {
		m.t.Errorf("removing the machine: %v\n%s", err, out)
	}
}

// Run runs a shell script as root and returns what it wrote, without white space around it. If the script fails, the test ends.
func (m *Machine) Run(script string) string {
	m.t.Helper()
	out, err := m.Try(script)
	if err != nil {
		m.t.Fatalf("%v: %s\n%s", err, script, out)
	}
	return out
}

// Try is like Run, but returns the error of a script that fails.
func (m *Machine) Try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), commandTimeout)
	defer cancel()
	return m.exec(ctx, script)
}

func (m *Machine) exec(ctx context.Context, script string) (string, error) {
	// timeout, because the command in the container does not end with the client.
	cmd := exec.CommandContext(ctx, "docker", "exec", m.id, "timeout", fmt.Sprint(commandTimeout.Seconds()), "sh", "-euc", script)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Copy copies a file or a directory of the test's machine into the machine. The owner there is root.
func (m *Machine) Copy(from, to string) {
	m.t.Helper()
	if out, err := exec.Command("docker", "cp", from, m.id+":"+to).CombinedOutput(); err != nil {
		m.t.Fatalf("copying %s to %s: %v\n%s", from, to, err, out)
	}
}
