package testcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/testcontainers/testcontainers-go"
)

const (
	// clockLibrary is where Debian's package libfaketime has the library for multi-threaded programs.
	clockLibrary       = "/usr/lib/*/faketime/libfaketimeMT.so.1"
	clockLibraryInside = "/etc/cassandra/libfaketime.so"
	// clockDirInside is mounted as a directory, because a mounted file could not be replaced by a rename.
	clockDirInside = "/run/userinfo-clock"
	clockFile      = "offset"

	// clockReloadTime is how long libfaketime may take to read the offset again. It reads again when its clock, in whole
	// seconds, is more than FAKETIME_CACHE_DURATION later than at the last reading.
	clockReloadTime = 2100 * time.Millisecond
)

// ErrClockNotSettable is the error of SetClock on a cluster without Options.SettableClocks.
var ErrClockNotSettable = errors.New("the clock of the node cannot be set: start the cluster with Options.SettableClocks")

// clockDir is the directory on this machine that contains n's clock offset.
func (n *Node) clockDir() string { return filepath.Join(n.cluster.run.dir, "clocks", n.Name) }

// makeClock prepares n's clock with offset 0. It returns the file of the library, the mount of the offset's directory,
// and the environment variables of the node.
func (n *Node) makeClock() (testcontainers.ContainerFile, string, map[string]string, error) {
	found, err := filepath.Glob(clockLibrary)
	if err != nil || len(found) == 0 {
		return testcontainers.ContainerFile{}, "", nil, fmt.Errorf("no libfaketime at %s: install Debian's package libfaketime (internal/testenv/packages.sh)", clockLibrary)
	}
	if err := os.MkdirAll(n.clockDir(), 0o755); err != nil {
		return testcontainers.ContainerFile{}, "", nil, err
	}
	if err := n.writeClock(0); err != nil {
		return testcontainers.ContainerFile{}, "", nil, err
	}
	library := testcontainers.ContainerFile{HostFilePath: found[0], ContainerFilePath: clockLibraryInside, FileMode: 0o755}
	return library, n.clockDir() + ":" + clockDirInside + ":ro", map[string]string{
		"LD_PRELOAD":              clockLibraryInside,
		"FAKETIME_TIMESTAMP_FILE": clockDirInside + "/" + clockFile,
		"FAKETIME_CACHE_DURATION": "1", // seconds
		"DONT_FAKE_MONOTONIC":     "1", // only the wall clock changes
		// If this is 1, every wait of the JVM on the monotonic clock ends immediately.
		"FAKETIME_FORCE_MONOTONIC_FIX": "0",
		"NO_FAKE_STAT":                 "1", // files keep their true times
	}, nil
}

// SetClock sets n's wall clock to the true time plus offset. It returns when the node uses the new time, after about
// two seconds. The offset stays across Kill and Start. Without Options.SettableClocks it returns ErrClockNotSettable.
//
// Expiry, gossip generations and certificates follow the wall clock. Timestamps that Cassandra generates, with now() or
// for writes without a timestamp, never go back: after a jump backwards they stand still until the clock reaches them.
// Waits follow the monotonic clock, which does not change.
func (n *Node) SetClock(ctx context.Context, offset time.Duration) error {
	if _, err := os.Stat(n.clockDir()); err != nil {
		return fmt.Errorf("setting the clock of node %s: %w", n.Name, ErrClockNotSettable)
	}
	if err := n.writeClock(offset); err != nil {
		return fmt.Errorf("setting the clock of node %s: %w", n.Name, err)
	}
	select {
	case <-time.After(clockReloadTime):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writeClock writes n's offset as libfaketime reads it: seconds with a sign.
func (n *Node) writeClock(offset time.Duration) error {
	file := filepath.Join(n.clockDir(), clockFile)
	if err := os.WriteFile(file+".new", fmt.Appendf(nil, "%+.3f\n", offset.Seconds()), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
