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

	// Sizes of the disks that Options.SmallDisk makes. An idle node has about 2 MB of data and two commit log segments. The
	// commit log grows up to commitlog_total_space in conf/cassandra.yaml.
	dataDiskSize      = "768m"
	commitLogDiskSize = "512m"
	// cassandraID is the user id and group id of Cassandra in both images.
	cassandraID = 999
	// diskErrorTimeout is how long Cassandra may take to react to a disk error.
	diskErrorTimeout = 15 * time.Second
)

// ErrNoSmallDisk is the error of FillDisk on a cluster without Options.SmallDisk.
var ErrNoSmallDisk = errors.New("the node has no disk of its own: start the cluster with Options.SmallDisk")

// diskDir returns where one of n's disks is mounted on this machine. name is "data" or "commitlog".
func (n *Node) diskDir(name string) string {
	return filepath.Join(n.cluster.run.dir, "disks", n.Name, name)
}

// mountDisks mounts n's disks, in memory, and returns the bindings for its container. removeRun unmounts them.
func (n *Node) mountDisks() ([]string, error) {
	var bindings []string
	for _, d := range []struct{ name, inside, size string }{
		{"data", dataDir, dataDiskSize},
		{"commitlog", commitLogDir, commitLogDiskSize},
	} {
		dir := n.diskDir(d.name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		settings := fmt.Sprintf("size=%s,mode=0755,uid=%d,gid=%d", d.size, cassandraID, cassandraID)
		if err := unix.Mount("userinfo-testcluster", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, settings); err != nil {
			return nil, fmt.Errorf("mounting the %s disk of node %s (needs root, on the engine's machine): %w", d.name, n.Name, err)
		}
		bindings = append(bindings, dir+":"+d.inside)
	}
	return bindings, nil
}

// unmountDisks unmounts the disks of the run with this directory.
func unmountDisks(runDir string) error {
	disks, err := filepath.Glob(filepath.Join(runDir, "disks", "*", "*"))
	if err != nil {
		return err
	}
	for _, disk := range disks {
		// EINVAL means not mounted: mounting failed, or the machine was restarted.
		if err := unix.Unmount(disk, unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmounting %s: %w", disk, err)
		}
	}
	return nil
}

// FillDisk fills n's data disk, makes Cassandra write to it, and returns when Cassandra has reacted. The commit log has
// another disk. Without Options.SmallDisk it returns ErrNoSmallDisk.
//
// With disk_failure_policy: stop, as in the official configuration, Cassandra closes its client port with all
// connections and stops gossip. Its peers see it as down after 10 to 20 s (WaitDown). Until then they send it reads and
// writes, and it answers them. The process keeps running. After FreeDisk it must be killed and started.
func (n *Node) FillDisk(ctx context.Context) error {
	if _, err := os.Stat(n.diskDir("data")); err != nil {
		return fmt.Errorf("filling the disk of node %s: %w", n.Name, ErrNoSmallDisk)
	}
	if err := fillDisk(ctx, n.fillerFile()); err != nil {
		return fmt.Errorf("filling the disk of node %s: %w", n.Name, err)
	}
	_, flushErr := n.Nodetool(ctx, "flush") // it is expected to fail
	if err := n.waitClientPortClosed(ctx); err != nil {
		return fmt.Errorf("the disk of node %s is full, but the node still serves clients: %w", n.Name, errors.Join(flushErr, err))
	}
	return nil
}

// FreeDisk frees the space that FillDisk has taken.
func (n *Node) FreeDisk(context.Context) error {
	if err := os.Remove(n.fillerFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("freeing the disk of node %s: %w", n.Name, err)
	}
	return nil
}

func (n *Node) fillerFile() string { return filepath.Join(n.diskDir("data"), "filler") }

// fillDisk writes zeros to a file until its disk is full. Only call it for a file on one of the small disks.
func fillDisk(ctx context.Context, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, zeros{ctx})
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// zeros reads as zeros until ctx ends.
type zeros struct{ ctx context.Context }

func (z zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), z.ctx.Err()
}

// waitClientPortClosed waits until n's client port is closed, at most diskErrorTimeout.
func (n *Node) waitClientPortClosed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, diskErrorTimeout)
	defer cancel()
	err := poll(ctx, pollInterval, func() (bool, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(n.Address, strconv.Itoa(Port)))
		if err != nil {
			return ctx.Err() == nil, nil
		}
		return false, conn.Close()
	})
	if err != nil {
		return fmt.Errorf("waiting until node %s closes its client port: %w", n.Name, err)
	}
	return nil
}
