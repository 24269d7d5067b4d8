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

// Wipe ends n's process with SIGKILL, takes away what it has of the data, and starts it again: a replica that has lost
// all tables of all keyspaces but Cassandra's own, its commit log, hints and saved caches. It returns when n answers
// CQL, as Start does. n has to run.
//
// What is kept is what system keyspaces hold: n's host id and tokens, the schema and the roles. So n takes its own place
// in the ring at once, as a node does whose data disk was lost and whose system disk was not, and nothing is streamed to
// it: until hints, read repair or nodetool repair bring it what it lacks, it answers that there is nothing. Cassandra's
// own way back from a lost node (replace_address) streams before it serves; this is the harder fault.
func (n *Node) Wipe(ctx context.Context) error {
	// What is to be kept may yet be in memory and the commit log only.
	if _, err := n.Nodetool(ctx, "flush"); err != nil {
		return fmt.Errorf("wiping node %s: %w", n.Name, err)
	}
	state, err := n.state(ctx)
	if err != nil {
		return err
	}
	// Stopped, it cannot write anew what is being taken away.
	if err := syscall.Kill(state.Pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stopping node %s to wipe it (needs root, on the engine's machine): %w", n.Name, err)
	}
	err = removeData(filepath.Join("/proc", fmt.Sprint(state.Pid), "root", dataDir))
	if err := errors.Join(err, n.Kill(ctx)); err != nil {
		return fmt.Errorf("wiping node %s: %w", n.Name, err)
	}
	return n.Start(ctx)
}

// removeData empties a Cassandra's directory, but for its system keyspaces.
func removeData(dir string) error {
	var lost []string
	for _, pattern := range []string{"data/*", "commitlog/*", "hints/*", "saved_caches/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		lost = append(lost, found...)
	}
	var errs []error
	for _, path := range lost {
		if keyspace := filepath.Base(path); filepath.Base(filepath.Dir(path)) == "data" && systemKeyspace(keyspace) {
			continue
		}
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// systemKeyspace tells whether a keyspace is one of Cassandra's own: system, system_auth, …
func systemKeyspace(name string) bool {
	return name == "system" || strings.HasPrefix(name, "system_")
}
