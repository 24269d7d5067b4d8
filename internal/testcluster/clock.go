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
	// faketime is libfaketime for programs of many threads, as Debian's package installs it, and as it is in a node.
	faketime       = "/usr/lib/*/faketime/libfaketimeMT.so.1"
	faketimeInside = "/etc/cassandra/libfaketime.so"
	clockInside    = "/run/userinfo-clock" // a directory, so that its file can be replaced at one stroke
	clockFile      = "offset"
)

// ErrClockNotSettable says that a node's clock is this machine's and cannot be set.
var ErrClockNotSettable = errors.New("the node's clock is this machine's: start the cluster with Options.SettableClocks")

// clockDir is where the file with n's offset is on this machine.
func (n *Node) clockDir() string { return filepath.Join(n.cluster.run.dir, "clocks", n.Name) }

// fakeClock makes n's clock, true at first. It returns the library's file, the binding of the clock's, and the
// environment of the node.
func (n *Node) fakeClock() (testcontainers.ContainerFile, string, map[string]string, error) {
	found, err := filepath.Glob(faketime)
	if err != nil || len(found) == 0 {
		return testcontainers.ContainerFile{}, "", nil, fmt.Errorf("there is no libfaketime at %s: install Debian's package libfaketime (internal/testenv/packages.sh)", faketime)
	}
	if err := os.MkdirAll(n.clockDir(), 0o755); err != nil {
		return testcontainers.ContainerFile{}, "", nil, err
	}
	if err := n.writeClock(0); err != nil {
		return testcontainers.ContainerFile{}, "", nil, err
	}
	library := testcontainers.ContainerFile{HostFilePath: found[0], ContainerFilePath: faketimeInside, FileMode: 0o755}
	return library, n.clockDir() + ":" + clockInside + ":ro", map[string]string{
		"LD_PRELOAD":              faketimeInside,
		"FAKETIME_TIMESTAMP_FILE": clockInside + "/" + clockFile,
		"FAKETIME_CACHE_DURATION": "1", // seconds
		"DONT_FAKE_MONOTONIC":     "1", // only the wall clock jumps
		// Its way with waits by the monotonic clock makes each of the JVM's end at once.
		"FAKETIME_FORCE_MONOTONIC_FIX": "0",
		"NO_FAKE_STAT":                 "1", // files have the times that they have
	}, nil
}

// SetClock makes n's wall clock jump to offset from the true time; 0 makes it true again (Options.SettableClocks; else an
// ErrClockNotSettable). It returns when the node has seen it, after two seconds. The offset holds across Kill and Start.
//
// What jumps is what expiry, gossip's generations and certificates go by. What Cassandra hands out itself, now() and the
// timestamps of writes that bring none, never goes back: after a jump backwards it stands still until the clock is there
// again. Waits go by the monotonic clock, which does not jump.
func (n *Node) SetClock(ctx context.Context, offset time.Duration) error {
	if _, err := os.Stat(n.clockDir()); err != nil {
		return fmt.Errorf("setting the clock of node %s: %w", n.Name, ErrClockNotSettable)
	}
	if err := n.writeClock(offset); err != nil {
		return fmt.Errorf("setting the clock of node %s: %w", n.Name, err)
	}
	// The library looks again when more than one second, counted in whole ones, has passed since it last did.
	select {
	case <-time.After(2100 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *Node) writeClock(offset time.Duration) error {
	file := filepath.Join(n.clockDir(), clockFile)
	if err := os.WriteFile(file+".new", fmt.Appendf(nil, "%+.3f\n", offset.Seconds()), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
