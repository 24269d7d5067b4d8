package testcluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// MakeCommitLogReadOnly remounts n's commit log directory read-only, as a kernel does after disk errors. Then it fills the
// open segments, so that Cassandra must create one, and returns when n has closed its client port. n must answer CQL.
//
// With commit_failure_policy: stop, Cassandra then behaves as after FillDisk. After MakeCommitLogWritable it must be killed
// and started.
func (n *Node) MakeCommitLogReadOnly(ctx context.Context) error {
	err := n.inMountNamespace(ctx, func() error {
		// A mount with files open for writing cannot be made read-only. A second mount over the first has no open files.
		if err := unix.Mount(commitLogDir, commitLogDir, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		return unix.Mount("", commitLogDir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	})
	if err != nil {
		return fmt.Errorf("making the commit log of node %s read-only: %w", n.Name, err)
	}
	fillErr := n.fillCommitLog(ctx)
	if err := n.waitClientPortClosed(ctx); err != nil {
		return fmt.Errorf("the commit log of node %s is read-only, but the node still serves clients: %w", n.Name, errors.Join(fillErr, err))
	}
	return nil
}

// fillCommitLog writes 64 MB to n, twice a segment, or until a write fails. It writes to a table of the keyspace system, which each
// node has for itself, so that no other node gets the writes. Cassandra uses this table only while a node joins.
func (n *Node) fillCommitLog(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, diskErrorTimeout)
	defer cancel()
	statement := fmt.Sprintf("INSERT INTO system.available_ranges_v2 (keyspace_name, full_ranges) VALUES ('testcluster', {0x%s})", strings.Repeat("00", 1<<20))
	for range 64 {
		if _, err := n.cluster.CQLAt(ctx, n, "ONE", statement); err != nil {
			return err
		}
	}
	return nil
}

// MakeCommitLogWritable reverts MakeCommitLogReadOnly. A restart of the node does the same.
func (n *Node) MakeCommitLogWritable(ctx context.Context) error {
	err := n.inMountNamespace(ctx, func() error { return unix.Unmount(commitLogDir, unix.MNT_DETACH) })
	if err != nil {
		return fmt.Errorf("making the commit log of node %s writable: %w", n.Name, err)
	}
	return nil
}

// inMountNamespace calls do in n's mount namespace.
func (n *Node) inMountNamespace(ctx context.Context, do func() error) error {
	state, err := n.state(ctx)
	if err != nil {
		return err
	}
	if !state.Running {
		return errors.New("the node does not run: start it first")
	}
	return inNamespace(state.Pid, "mnt", do)
}
