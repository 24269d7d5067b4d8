package testcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

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
// ErrNoSmallDisk). The commit log has a disk of its own.
func (n *Node) FillDisk(ctx context.Context) error {
	if _, err := os.Stat(n.disk("data")); err != nil {
		return fmt.Errorf("filling the disk of node %s: %w", n.Name, ErrNoSmallDisk)
	}
	if err := fill(ctx, n.filler()); err != nil {
		return fmt.Errorf("filling the disk of node %s: %w", n.Name, err)
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

// ReadOnlyCommitLog makes the directory of n's commit log read-only, as a kernel does with a disk that has errors, and
// makes Cassandra want a new segment of it, if no other node is down. What Cassandra has open it goes on writing to.
func (n *Node) ReadOnlyCommitLog(ctx context.Context) error {
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
	return nil
}

// WritableCommitLog takes back ReadOnlyCommitLog. So does a restart of the node.
func (n *Node) WritableCommitLog(ctx context.Context) error {
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
