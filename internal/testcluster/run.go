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
	// runLabel is the label of a run's containers and networks. Its value is the run's directory.
	runLabel  = "userinfo.testcluster.run"
	dirPrefix = "userinfo-testcluster-"
)

// run is what one run has for itself: a directory, a network and a name. The directory is locked while the process lives.
type run struct {
	dir    string
	name   string
	lock   *os.File
	subnet netip.Prefix
}

func newRun(ctx context.Context, docker *testcontainers.DockerClient) (*run, error) {
	// Another process may look for abandoned runs now. It ignores the directory until the rename, and by then it is locked.
	hidden, err := os.MkdirTemp("", "."+dirPrefix)
	if err != nil {
		return nil, fmt.Errorf("creating the directory of a test cluster: %w", err)
	}
	name := strings.TrimPrefix(filepath.Base(hidden), ".")
	r := &run{dir: filepath.Join(filepath.Dir(hidden), name), name: name}
	if r.lock, err = tryLock(hidden); err == nil {
		err = os.Rename(hidden, r.dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the directory of a test cluster: %w", err), os.RemoveAll(hidden))
	}
	if err := r.createNetwork(ctx, docker); err != nil {
		return nil, errors.Join(err, r.remove(ctx, docker))
	}
	return r, nil
}

// createNetwork creates a network in the first free subnet of 10.213.0.0/24 to 10.213.255.0/24. The engine refuses a
// subnet that is in use.
func (r *run) createNetwork(ctx context.Context, docker *testcontainers.DockerClient) error {
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
		return fmt.Errorf("creating network %s of a test cluster: %w", r.subnet, err)
	}
	return nil
}

// address returns the address of the node with index i. The engine uses the first address of the network itself.
func (r *run) address(i int) string {
	four := r.subnet.Addr().As4()
	four[3] = byte(11 + i)
	return netip.AddrFrom4(four).String()
}

// remove removes everything that the run has made and releases the lock.
func (r *run) remove(ctx context.Context, docker *testcontainers.DockerClient) error {
	if err := removeRun(ctx, docker, r.dir); err != nil {
		return err
	}
	return r.lock.Close()
}

// removeAbandonedRuns removes the runs whose process has ended.
func removeAbandonedRuns(ctx context.Context, docker *testcontainers.DockerClient, log *slog.Logger) error {
	dirs, err := runDirs(ctx, docker)
	if err != nil {
		return fmt.Errorf("looking for abandoned test clusters: %w", err)
	}
	for dir := range dirs {
		lock, err := tryLock(dir)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("checking whether test cluster %s is in use: %w", dir, err)
		}
		log.Info("removing an abandoned test cluster", "run", dir)
		err = removeRun(ctx, docker, dir)
		if lock != nil {
			err = errors.Join(err, lock.Close())
		}
		if err != nil {
			return fmt.Errorf("removing the abandoned test cluster %s: %w", dir, err)
		}
	}
	return nil
}

// runDirs returns the directories of all runs, found by the engine's labels and in the file system.
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

// removeRun removes a run's containers, networks and disks, and last its directory, by which a run is found.
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

// labelled returns a filter for one run, or for all runs if dir is empty.
func labelled(dir string) client.Filters {
	if dir == "" {
		return client.Filters{}.Add("label", runLabel)
	}
	return client.Filters{}.Add("label", runLabel+"="+dir)
}

// tryLock locks a run's directory, or fails with EWOULDBLOCK. The kernel releases the lock when the process ends.
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
