package testcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dataDir      = "/var/lib/cassandra" // inside the node
	commitLogDir = dataDir + "/commitlog"

	// Sizes of a node's own disks. Idle, a node has about 2 MB of data and two segments of commit log, which may grow to
	// the commitlog_total_space of cassandra.yaml.
	smallDataSize      = "768m"
	smallCommitLogSize = "512m"
	// cassandraID is the user and group of Cassandra in both images.
	cassandraID = 999
	// noticeLimit is how long Cassandra may take to notice a bad disk.
	noticeLimit = 15 * time.Second
)

// ErrNoSmallDisk says that a node has no disk of its own that could be filled.
var ErrNoSmallDisk = errors.New("the node has no disk of its own: start the cluster with Options.SmallDisk")

// disk is where n's disk of that name is on this machine.
func (n *Node) disk(name string) string {
	return filepath.Join(n.cluster.run.dir, "disks", n.Name, name)
}

// mountDisks makes n's disks, in memory, and returns the bindings that put them into its container. removeRun unmounts
// them.
func (n *Node) mountDisks() ([]string, error) {
	var bindings []string
	for _, d := range []struct{ name, inside, size string }{
		{"data", dataDir, smallDataSize},
		{"commitlog", commitLogDir, smallCommitLogSize},
	} {
		if err := os.MkdirAll(n.disk(d.name), 0o700); err != nil {
			return nil, err
		}
		settings := fmt.Sprintf("size=%s,mode=0755,uid=%d,gid=%d", d.size, cassandraID, cassandraID)
		if err := unix.Mount("userinfo-testcluster", n.disk(d.name), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, settings); err != nil {
			return nil, fmt.Errorf("mounting the %s disk of node %s (needs root, on the engine's machine): %w", d.name, n.Name, err)
		}
		bindings = append(bindings, n.disk(d.name)+":"+d.inside)
	}
	return bindings, nil
}

// unmountDisks unmounts what mountDisks mounted for the run of that directory.
func unmountDisks(dir string) error {
	disks, err := filepath.Glob(filepath.Join(dir, "disks", "*", "*"))
	if err != nil {
		return err
	}
	for _, disk := range disks {
		// EINVAL: it is not mounted; the machine has been restarted since, or mounting failed.
		if err := unix.Unmount(disk, unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmounting %s: %w", disk, err)
		}
	}
	return nil
}

// FillDisk fills the disk that holds n's data, hints and saved caches to the last byte (Options.SmallDisk; else an
// ErrNoSmallDisk), has Cassandra write to it, and returns when Cassandra has seen that it cannot. The commit log has a
// disk of its own.
//
// By disk_failure_policy: stop, as in the distribution's configuration, Cassandra then closes its client port and every
// connection to it, and falls silent in gossip, so that its peers hold it for down after 10 to 20 s (WaitDown); until
// then they send it their reads and writes, and it serves them. Its process lives on. With FreeDisk alone it does not
// come back: it has to be killed and started.
func (n *Node) FillDisk(ctx context.Context) error {
	if _, err := os.Stat(n.disk("data")); err != nil {
		return fmt.Errorf("filling the disk of node %s: %w", n.Name, ErrNoSmallDisk)
	}
	if err := fill(ctx, n.filler()); err != nil {
		return fmt.Errorf("filling the disk of node %s: %w", n.Name, err)
	}
	_, flushed := n.Nodetool(ctx, "flush") // fails for want of space, or the node has refused clients already
	if err := n.stopsServing(ctx); err != nil {
		return fmt.Errorf("the disk of node %s is full, and a flush made no difference (%w): %w", n.Name, flushed, err)
	}
	return nil
}

// FreeDisk takes back FillDisk.
func (n *Node) FreeDisk(context.Context) error {
	if err := os.Remove(n.filler()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("freeing the disk of node %s: %w", n.Name, err)
	}
	return nil
}

func (n *Node) filler() string { return filepath.Join(n.disk("data"), "filler") }

// fill writes to a file until its disk is full. It has to be one that gets full within memory: a node's own.
func fill(ctx context.Context, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	// A short write at the end of the disk comes with no error; the next one has it.
	_, err = io.Copy(f, endless{ctx})
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// endless reads as zeroes until ctx ends.
type endless struct{ ctx context.Context }

func (e endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), e.ctx.Err()
}

// MakeCommitLogReadOnly makes the directory of n's commit log read-only, as a kernel does with a disk that has errors, has
// Cassandra want a new segment of it (all nodes drop a table that is there for that alone), and returns when it has
// seen that there is none. n has to answer CQL.
//
// By commit_failure_policy: stop it then does as with a full disk (FillDisk). What it has open it goes on writing to: some
// 16 MB of what its peers send, until they hold it for down. With MakeCommitLogWritable alone it does not come back: it has
// to be killed and started.
func (n *Node) MakeCommitLogReadOnly(ctx context.Context) error {
	for _, statement := range []string{
		"CREATE KEYSPACE IF NOT EXISTS testcluster WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
		"CREATE TABLE IF NOT EXISTS testcluster.dropped (k int PRIMARY KEY)",
	} {
		if _, err := n.cluster.CQLAt(ctx, n, "ONE", statement); err != nil {
			return fmt.Errorf("preparing node %s for a read-only commit log: %w", n.Name, err)
		}
	}
	err := n.inMounts(ctx, func() error {
		// A mount that has files open for writing is not made read-only. A second one over it has none.
		if err := unix.Mount(commitLogDir, commitLogDir, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		return unix.Mount("", commitLogDir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	})
	if err != nil {
		return fmt.Errorf("making the commit log of node %s read-only: %w", n.Name, err)
	}
	dropCtx, cancel := context.WithTimeout(ctx, noticeLimit)
	defer cancel()
	// It may fail, for the connection is closed upon it.
	_, dropped := n.cluster.CQLAt(dropCtx, n, "ONE", "DROP TABLE testcluster.dropped")
	if err := n.stopsServing(ctx); err != nil {
		return fmt.Errorf("the commit log of node %s is read-only, and dropping a table made no difference (%w): %w", n.Name, dropped, err)
	}
	return nil
}

// stopsServing waits until n's client port is closed. It fails where Cassandra has not noticed within noticeLimit.
func (n *Node) stopsServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, noticeLimit)
	defer cancel()
	err := poll(ctx, pollInterval, func() (bool, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(n.Address, strconv.Itoa(Port)))
		if err != nil {
			return ctx.Err() == nil, nil
		}
		return false, conn.Close()
	})
	if err != nil {
		return fmt.Errorf("waiting until node %s serves no clients: %w", n.Name, err)
	}
	return nil
}

// MakeCommitLogWritable takes back MakeCommitLogReadOnly. So does a restart of the node.
func (n *Node) MakeCommitLogWritable(ctx context.Context) error {
	err := n.inMounts(ctx, func() error { return unix.Unmount(commitLogDir, unix.MNT_DETACH) })
	if err != nil {
		return fmt.Errorf("making the commit log of node %s writable: %w", n.Name, err)
	}
	return nil
}

// inMounts runs do where the file system is as n sees it.
func (n *Node) inMounts(ctx context.Context, do func() error) error {
	state, err := n.state(ctx)
	if err != nil {
		return err
	}
	if !state.Running {
		return errors.New("the node does not run: start it first")
	}
	return within(state.Pid, "mnt", do)
}
