package testcluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// inIdleTime calls wait, which waits until n has started. Meanwhile n gets only the CPU time that nothing else wants. Otherwise a
// starting JVM would slow down all other nodes of a small machine, which does not happen if each node has its own machine.
//
// A small share of the CPU would not be enough: each time the JVM has the CPU, the others would wait for the end of its time
// slice. If the kernel is older than 5.15, or the engine is on another machine, n starts like any other process.
func (n *Node) inIdleTime(ctx context.Context, wait func() error) error {
	file, err := n.idleFile(ctx)
	if err == nil {
		err = os.WriteFile(file, []byte("1"), 0)
	}
	if err != nil {
		n.cluster.log.Warn("a starting node may slow down the others", "node", n.Name, "error", err)
		return wait()
	}
	defer func() { _ = os.WriteFile(file, []byte("0"), 0) }() // if n has ended, the file is gone
	return wait()
}

// idleFile returns the name of the file that says whether n's container is idle: see cpu.idle in the kernel's
// Documentation/admin-guide/cgroup-v2.rst.
func (n *Node) idleFile(ctx context.Context) (string, error) {
	pid, err := n.PID(ctx)
	if err != nil {
		return "", err
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	dir := cpuGroup(string(groups))
	if dir == "" {
		return "", fmt.Errorf("process %d of node %s has no group for the CPU: %q", pid, n.Name, groups)
	}
	return filepath.Join(dir, "cpu.idle"), nil
}

// cpuGroup returns the directory of the control group that shares out the CPU, from the text of /proc/PID/cgroup, or an empty
// string. A line is ID:CONTROLLERS:PATH (cgroups(7)). In version 2, there are no controllers.
func cpuGroup(groups string) (dir string) {
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		switch {
		case len(fields) < 3:
		case slices.Contains(strings.Split(fields[1], ","), "cpu"):
			return filepath.Join("/sys/fs/cgroup/cpu", fields[2])
		case fields[1] == "":
			dir = filepath.Join("/sys/fs/cgroup", fields[2])
		}
	}
	return dir
}
