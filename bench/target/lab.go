package target

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"userinfo/access"
	"userinfo/bench/cost"
	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/internal/devca"
	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// Options of a Lab.
type Options struct {
	// Floor is the command line by which RunFloor is called, without its arguments: this program and `floor`.
	Floor []string
	// Log of the cluster's start; nil discards it.
	Log *slog.Logger
}

// Lab is what a run has started, and a directory (0700) with keys and certificates. One goroutine uses it. Close it.
//
//	ca.crt            of all below
//	server.crt .key   of floors and Redis
//	client.crt .key   of the one client
//	token.header      the client's Authorization header
//	fleet/            of the instances of the service: see package fleet
type Lab struct {
	options Options
	dir     string
	ca      *devca.CA
	program string // the service, once it is built

	cluster *testcluster.Cluster
	started testcluster.Options // of cluster
	fleet   *fleet.Fleet
	driver  *DriverSettings // once its table is there

	closers []func() error // in the order of starting
}

// clientName is the common name of the client's certificate.
const clientName = "bench"

// NewLab makes the directory alone.
func NewLab(o Options) (*Lab, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := os.MkdirTemp("", "userinfo-bench-") // 0700
	if err != nil {
		return nil, err
	}
	l := &Lab{options: o, dir: dir}
	l.closers = append(l.closers, func() error { return os.RemoveAll(dir) })
	if err := l.certify(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// certify fills the directory.
func (l *Lab) certify() (err error) {
	if l.ca, err = devca.New("userinfo bench"); err != nil {
		return err
	}
	if _, _, err := l.ca.Write(l.dir, "server", devca.Loopback()); err != nil {
		return err
	}
	if _, _, err := l.ca.Write(l.dir, "client", devca.Leaf{CommonName: clientName, Client: true}); err != nil {
		return err
	}
	token, err := access.NewToken(rand.Reader) // for those that look at none; the service's instances have theirs
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(l.file("ca.crt"), l.ca.PEM(), 0o600), os.WriteFile(l.file("token.header"), header(token), 0o600))
}

// header is a token as curl -H @FILE takes it.
func header(t access.Token) []byte { return []byte("Authorization: Bearer " + string(t) + "\n") }

func (l *Lab) file(name string) string { return filepath.Join(l.dir, name) }

// files are those of the client.
func (l *Lab) files(url string) load.HTTPSFiles {
	return load.HTTPSFiles{URL: url, CA: l.file("ca.crt"), Certificate: l.file("client.crt"), Key: l.file("client.key")}
}

// Close ends all that was started, the last first, and removes the directory.
func (l *Lab) Close() error {
	var errs []error
	for _, closer := range slices.Backward(l.closers) {
		errs = append(errs, closer())
	}
	l.closers = nil
	return errors.Join(errs...)
}

// stopLimit bounds taking the cluster down.
const stopLimit = time.Minute

// StartCluster starts the one cluster of this lab, for UserInfo and Driver.
func (l *Lab) StartCluster(ctx context.Context, o testcluster.Options) error {
	if l.cluster != nil {
		return errors.New("there is a cluster already; end this lab before another is started")
	}
	if o.Log == nil {
		o.Log = l.options.Log
	}
	cluster, err := testcluster.Start(ctx, o)
	if err != nil {
		return err
	}
	l.cluster, l.started = cluster, o
	l.closers = append(l.closers, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		return cluster.Stop(ctx)
	})
	return nil
}

// Cluster is the one that was started, or nil.
func (l *Lab) Cluster() *testcluster.Cluster { return l.cluster }

// Nodes is how many nodes it has; 0 where there is none.
func (l *Lab) Nodes() int {
	if l.cluster == nil {
		return 0
	}
	return len(l.cluster.Nodes(""))
}

// Describe is the cluster for result.Environment, such as "5.0.6, 1 node in 1 datacentre, heap 4096 MB"; empty where there is none.
func (l *Lab) Describe(ctx context.Context) string {
	if l.cluster == nil {
		return ""
	}
	nodes := l.cluster.Nodes("")
	version, err := l.cluster.CQL(ctx, nodes[0], "SELECT release_version FROM system.local")
	if err != nil {
		version = "version not known"
	}
	datacentres := make(map[string]bool)
	for _, n := range nodes {
		datacentres[n.Datacentre] = true
	}
	heap := "default heap"
	if l.started.HeapMB > 0 {
		heap = fmt.Sprintf("heap %d MB", l.started.HeapMB)
	}
	if l.started.Tuned {
		heap += ", settings of deploy/cassandra"
	}
	return fmt.Sprintf("%s, %s in %s, %s", strings.TrimPrefix(strings.TrimSpace(version), "release_version="),
		count(len(nodes), "node"), count(len(datacentres), "datacentre"), heap)
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// nodes are Cassandra's processes.
func (l *Lab) nodes(ctx context.Context) ([]cost.Process, error) {
	if l.cluster == nil {
		return nil, errors.New("there is no cluster: start one first")
	}
	var all []cost.Process
	for _, n := range l.cluster.Nodes("") {
		pid, err := n.PID(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, cost.Process{Kind: result.KindCassandra, PID: pid})
	}
	return all, nil
}
