package testcluster

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// PrepareReadOnlyCommitLog creates the table that MakeCommitLogReadOnly drops. Call it some seconds before: a change of the schema
// keeps all nodes busy for a moment.
func (n *Node) PrepareReadOnlyCommitLog(ctx context.Context) error {
	for _, statement := range []string{
		"CREATE KEYSPACE IF NOT EXISTS testcluster WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
		"CREATE TABLE IF NOT EXISTS testcluster.dropped (k int PRIMARY KEY)",
	} {
		if _, err := n.cluster.CQLAt(ctx, n, "ONE", statement); err != nil {
			return fmt.Errorf("preparing node %s for a read-only commit log: %w", n.Name, err)
		}
	}
	return nil
}

// MakeCommitLogReadOnly remounts n's commit log directory read-only, as a kernel does after disk errors. Then it makes
// Cassandra allocate a new segment, by dropping a table in all nodes, and returns when n has closed its client port. n
// must answer CQL, and PrepareReadOnlyCommitLog must have run.
//
// With commit_failure_policy: stop, Cassandra then behaves as after FillDisk. It still writes to the segments that it has
// open, about 16 MB, until its peers see it as down. After MakeCommitLogWritable it must be killed and started.
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
	dropCtx, cancel := context.WithTimeout(ctx, diskErrorTimeout)
	defer cancel()
	// The statement may fail, because Cassandra closes the connection.
	_, dropErr := n.cluster.CQLAt(dropCtx, n, "ONE", "DROP TABLE testcluster.dropped")
	if err := n.waitClientPortClosed(ctx); err != nil {
		return fmt.Errorf("the commit log of node %s is read-only, but the node still serves clients (DROP TABLE: %w): %w", n.Name, dropErr, err)
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
