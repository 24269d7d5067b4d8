package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"userinfo/internal/testcluster"
)

// hostName returns the host name of a node. It stays the same when the node's address changes.
func hostName(n *testcluster.Node) string { return n.Name + ".cassandra.test" }

func (f *Fleet) hostsFile() string { return filepath.Join(f.dir, "hosts") }

// WriteHosts writes the current address of each node into the file that is the /etc/hosts of every instance if there is
// WithHostNames. Call it when a node has a new address.
func (f *Fleet) WriteHosts() error {
	text := "127.0.0.1 localhost\n"
	for _, n := range f.cluster.Nodes("") {
		text += fmt.Sprintf("%s %s\n", n.Address, hostName(n))
	}
	return os.WriteFile(f.hostsFile(), []byte(text), 0o644) // in place, because the file is mounted
}

// contactPoints returns the contact points of a datacentre for the configuration: addresses, or host names.
func (f *Fleet) contactPoints(dc string) string {
	if !f.hostNames {
		return strings.Join(f.cluster.Hosts(dc), ", ")
	}
	var names []string
	for _, n := range f.cluster.Nodes(dc) {
		names = append(names, hostName(n))
	}
	return strings.Join(names, ", ")
}

// command returns the command of an instance. With WithHostNames, a shell mounts the file of WriteHosts and then becomes the
// program, which keeps the shell's process id.
func (f *Fleet) command(program string, args ...string) *exec.Cmd {
	if !f.hostNames {
		return exec.Command(program, args...)
	}
	c := exec.Command("sh", append([]string{"-c", `mount --bind "$0" /etc/hosts && exec "$@"`, f.hostsFile(), program}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // Go makes its mounts private
	return c
}
