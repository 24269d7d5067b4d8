package testcluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

const (
	// runLabel is on everything a run makes in the engine; its value is the run's directory.
	runLabel  = "userinfo.testcluster.run"
	dirPrefix = "userinfo-testcluster-"
)

// run is what sets one run apart from others: a directory (locked while the process lives, whatever ends it), a
// network, and a name.
type run struct {
	dir    string
	name   string
	lock   *os.File
	subnet netip.Prefix
}

func newRun(ctx context.Context, docker *testcontainers.DockerClient) (*run, error) {
	// It gets the name that others look for only once it is locked, so that nobody takes it for a left-over.
	making, err := os.MkdirTemp("", "."+dirPrefix)
	if err != nil {
		return nil, fmt.Errorf("making the run's directory: %w", err)
	}
	name := strings.TrimPrefix(filepath.Base(making), ".")
	r := &run{dir: filepath.Join(filepath.Dir(making), name), name: name}
	if r.lock, err = tryLock(making); err == nil {
		err = os.Rename(making, r.dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the run's directory: %w", err), os.RemoveAll(making))
	}
	if err := r.makeNetwork(ctx, docker); err != nil {
		return nil, errors.Join(err, r.remove(ctx, docker))
	}
	return r, nil
}

// makeNetwork takes the first free one of 256 networks. The engine knows which are taken, also by other projects.
func (r *run) makeNetwork(ctx context.Context, docker *testcontainers.DockerClient) error {
	var err error
	for i := range 256 {
		r.subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 213, byte(i), 0}), 24)
		_, err = docker.NetworkCreate(ctx, r.name, client.NetworkCreateOptions{
			Driver: "bridge",
			Labels: map[string]string{runLabel: r.dir},
			IPAM:   &network.IPAM{Config: []network.IPAMConfig{{Subnet: r.subnet}}},
		})
		if err == nil || !strings.Contains(err.Error(), "overlap") {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("making network %s of the test cluster: %w", r.subnet, err)
	}
	return nil
}

// address of the i-th node; the engine itself takes the first of the network.
func (r *run) address(i int) string {
	four := r.subnet.Addr().As4()
	four[3] = byte(11 + i)
	return netip.AddrFrom4(four).String()
}

func (r *run) remove(ctx context.Context, docker *testcontainers.DockerClient) error {
	if err := removeRun(ctx, docker, r.dir); err != nil {
		return err
	}
	return r.lock.Close()
}

// removeLeftOvers removes all runs whose process is gone.
func removeLeftOvers(ctx context.Context, docker *testcontainers.DockerClient, log *slog.Logger) error {
	dirs, err := runDirs(ctx, docker)
	if err != nil {
		return fmt.Errorf("looking for left-overs of aborted runs: %w", err)
	}
	for dir := range dirs {
		lock, err := tryLock(dir)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("looking whether run %s still lives: %w", dir, err)
		}
		log.Info("removing what an aborted run left behind", "run", dir)
		err = removeRun(ctx, docker, dir)
		if lock != nil {
			err = errors.Join(err, lock.Close())
		}
		if err != nil {
			return fmt.Errorf("removing what run %s left behind: %w", dir, err)
		}
	}
	return nil
}

// runDirs are the directories of all runs, from the engine's labels and from the file system.
func runDirs(ctx context.Context, docker *testcontainers.DockerClient) (map[string]bool, error) {
	dirs := map[string]bool{}
	containers, err := docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: labelled("")})
	if err != nil {
		return nil, err
	}
	for _, c := range containers.Items {
		dirs[c.Labels[runLabel]] = true
	}
	networks, err := docker.NetworkList(ctx, client.NetworkListOptions{Filters: labelled("")})
	if err != nil {
		return nil, err
	}
	for _, n := range networks.Items {
		dirs[n.Labels[runLabel]] = true
	}
	found, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, dir := range found {
		dirs[dir] = true
	}
	return dirs, err
}

// removeRun removes whatever carries the run's label, then its directory.
func removeRun(ctx context.Context, docker *testcontainers.DockerClient, dir string) error {
	containers, err := docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: labelled(dir)})
	if err != nil {
		return err
	}
	for _, c := range containers.Items {
		if _, err := docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			return err
		}
	}
	networks, err := docker.NetworkList(ctx, client.NetworkListOptions{Filters: labelled(dir)})
	if err != nil {
		return err
	}
	for _, n := range networks.Items {
		if _, err := docker.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{}); err != nil {
			return err
		}
	}
	if err := unmountDisks(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// labelled selects one run, or all where dir is empty.
func labelled(dir string) client.Filters {
	if dir == "" {
		return client.Filters{}.Add("label", runLabel)
	}
	return client.Filters{}.Add("label", runLabel+"="+dir)
}

// tryLock locks a run's directory. The kernel releases the lock when the process ends, however it ends.
func tryLock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
