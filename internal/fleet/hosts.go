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

// hostName returns the name of a node that stays when its address changes.
func hostName(n *testcluster.Node) string { return n.Name + ".cassandra.test" }

func (f *Fleet) hostsFile() string { return filepath.Join(f.dir, "hosts") }

// WriteHosts writes the current address of each node into the file that WithHostNames makes the /etc/hosts of every
// instance. Call it when a node has a new address.
func (f *Fleet) WriteHosts() error {
	text := "127.0.0.1 localhost\n"
	for _, n := range f.cluster.Nodes("") {
		text += fmt.Sprintf("%s %s\n", n.Address, hostName(n))
	}
	return os.WriteFile(f.hostsFile(), []byte(text), 0o644) // the same file, because it is mounted
}

// contactPoints returns how instances know the nodes of a datacentre.
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

// command returns a command of an instance. The shell, which mounts the file of WriteHosts, keeps its process id when it
// becomes the program.
func (f *Fleet) command(program string, args ...string) *exec.Cmd {
	if !f.hostNames {
		return exec.Command(program, args...)
	}
	c := exec.Command("sh", append([]string{"-c", `mount --bind "$0" /etc/hosts && exec "$@"`, f.hostsFile(), program}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // Go makes its mounts private
	return c
}
