package testcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Flush writes all tables from memory to n's disk (nodetool flush). Wipe needs it for the system keyspaces. n must run.
func (n *Node) Flush(ctx context.Context) error {
	_, err := n.Nodetool(ctx, "flush")
	return err
}

// Wipe kills n, deletes its data, and starts it again. It returns when n answers CQL, as Start does. n must run. Call
// Flush a short time before: Wipe does not, because nodetool takes a second of CPU time.
//
// Wipe deletes the tables of all keyspaces except Cassandra's own, the commit log, the hints and the saved caches. The
// system keyspaces stay: n's host id, its tokens, the schema and the roles. So n takes its old place in the ring
// immediately, like a node that has lost its data disk and not its system disk. Cassandra streams nothing to n. Until
// hints, read repair or nodetool repair bring the data back, n answers that it has none. This fault is harder than
// Cassandra's procedure for a lost node (replace_address), which streams the data before it serves.
func (n *Node) Wipe(ctx context.Context) error {
	state, err := n.state(ctx)
	if err != nil {
		return err
	}
	// A stopped process cannot write the files again that removeData removes.
	if err := syscall.Kill(state.Pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stopping node %s to wipe it (needs root, on the engine's machine): %w", n.Name, err)
	}
	err = removeData(filepath.Join("/proc", fmt.Sprint(state.Pid), "root", dataDir))
	if err := errors.Join(err, n.Kill(ctx)); err != nil {
		return fmt.Errorf("wiping node %s: %w", n.Name, err)
	}
	return n.Start(ctx)
}

// removeData removes everything from a data directory except the system keyspaces.
func removeData(dir string) error {
	var paths []string
	for _, pattern := range []string{"data/*", "commitlog/*", "hints/*", "saved_caches/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		paths = append(paths, found...)
	}
	var errs []error
	for _, path := range paths {
		if keyspace := filepath.Base(path); filepath.Base(filepath.Dir(path)) == "data" && isSystemKeyspace(keyspace) {
			continue
		}
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// isSystemKeyspace reports whether a keyspace is one of Cassandra's own, for example system or system_auth.
func isSystemKeyspace(name string) bool {
	return name == "system" || strings.HasPrefix(name, "system_")
}
