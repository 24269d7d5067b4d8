package target

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"userinfo/access"
	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/internal/devca"
	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// Testbed is everything that a run has started, and a directory (mode 0700) of keys and certificates. One goroutine uses
// it.
//
//	ca.crt            of all certificates below
//	server.crt .key   of baselines and Redis
//	client.crt .key   of the client
//	token.header      the client's Authorization header
//	fleet/            files of the service's instances; see package fleet
type Testbed struct {
	self     string // this executable, which also runs the baselines
	dir      string
	ca       *devca.CA
	program  string // the service, when it has been built
	cluster  *testcluster.Cluster
	options  testcluster.Options
	fleet    *fleet.Fleet
	started  int // instances
	closings []func() error
}

// clientName is the common name of the client's certificate.
const clientName = "bench"

// New makes the directory. self is the command of the benchmark, which runs the baselines: see RunBaseline.
func New(self string) (*Testbed, error) {
	dir, err := os.MkdirTemp("", "userinfo-bench-") // with mode 0700
	if err != nil {
		return nil, err
	}
	b := &Testbed{self: self, dir: dir}
	b.onClose(func() error { return os.RemoveAll(dir) })
	if err := b.writeCredentials(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Testbed) writeCredentials() (err error) {
	if b.ca, err = devca.New("userinfo bench"); err != nil {
		return err
	}
	if _, _, err := b.ca.Write(b.dir, "server", devca.Loopback()); err != nil {
		return err
	}
	if _, _, err := b.ca.Write(b.dir, "client", devca.Leaf{CommonName: clientName, Client: true}); err != nil {
		return err
	}
	token, err := access.NewToken(rand.Reader) // for baselines, which do not check it
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(b.file("ca.crt"), b.ca.PEM(), 0o600), os.WriteFile(b.file("token.header"), header(token), 0o600))
}

// header returns a token as curl -H @FILE reads it.
func header(t access.Token) []byte { return []byte("Authorization: Bearer " + string(t) + "\n") }

func (b *Testbed) file(name string) string { return filepath.Join(b.dir, name) }

// client returns the configuration of the client with its certificate.
func (b *Testbed) client(url string) *load.HTTPConfig {
	return &load.HTTPConfig{URL: url, CA: b.file("ca.crt"), Certificate: b.file("client.crt"), Key: b.file("client.key")}
}

func (b *Testbed) onClose(f func() error) { b.closings = append(b.closings, f) }

// Close stops everything, in reverse order, and removes the directory.
func (b *Testbed) Close() error {
	var errs []error
	for _, f := range slices.Backward(b.closings) {
		errs = append(errs, f())
	}
	b.closings = nil
	return errors.Join(errs...)
}

// StartCluster starts the Cassandra cluster of this testbed.
func (b *Testbed) StartCluster(ctx context.Context, o testcluster.Options) error {
	cluster, err := testcluster.Start(ctx, o)
	if err != nil {
		return err
	}
	b.cluster, b.options = cluster, o
	b.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return cluster.Stop(ctx)
	})
	return nil
}

// Cluster returns the cluster, or nil.
func (b *Testbed) Cluster() *testcluster.Cluster { return b.cluster }

// Describe returns the version, size and settings of the cluster.
func (b *Testbed) Describe(ctx context.Context) string {
	nodes := b.cluster.Nodes("")
	version, err := b.cluster.CQL(ctx, nodes[0], "SELECT release_version FROM system.local")
	if err != nil {
		version = "unknown version"
	}
	settings := "Cassandra's default settings"
	if b.options.Tuned {
		settings = "settings of deploy/cassandra"
	}
	return fmt.Sprintf("%s, nodes: %d, datacentres: %d, heap %d MB, %s", strings.TrimPrefix(strings.TrimSpace(version), "release_version="),
		len(nodes), len(b.options.Datacentres), b.options.HeapMB, settings)
}

// nodes returns Cassandra's processes.
func (b *Testbed) nodes(ctx context.Context) (all []Process, err error) {
	if b.cluster == nil {
		return nil, errors.New("there is no cluster")
	}
	for _, n := range b.cluster.Nodes("") {
		pid, err := n.PID(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, Process{Kind: result.KindCassandra, PID: pid})
	}
	return all, nil
}

// Start starts the target with a name that ParseName accepts.
func (b *Testbed) Start(ctx context.Context, name string) (*Target, error) {
	i, err := ParseName(name)
	if err != nil {
		return nil, err
	}
	switch i.Kind {
	case result.UserInfo:
		return b.startService(ctx, name, i)
	case result.Memory:
		return b.startMemory(ctx, name, i)
	case result.Driver:
		return b.newDriver(ctx, name)
	case result.Redis:
		return b.startRedis(ctx, name)
	case result.Handler, result.Loop:
		return b.startBaseline(ctx, name)
	}
	return nil, fmt.Errorf("%s needs the target that it stands before: use StartSidecar", name)
}

// programs are the programs that targets need, with the way to get them.
var programs = map[string]string{
	result.UserInfo: "go (from go.dev/dl)", result.Memory: "go (from go.dev/dl)", result.Driver: "go (from go.dev/dl)",
	result.Redis: "redis-server (apt-get install redis-server)", result.Sidecar: "haproxy (apt-get install haproxy)",
}

// Check returns an error that lists what this machine lacks for kinds of targets, and for the cluster if one is needed.
func Check(ctx context.Context, kinds []string, cluster bool) error {
	var errs []error
	for _, kind := range kinds {
		program, _, _ := strings.Cut(programs[kind], " ")
		if _, err := exec.LookPath(program); err != nil && program != "" {
			errs = append(errs, fmt.Errorf("target %s needs %s", kind, programs[kind]))
		}
	}
	if cluster {
		if err := testcluster.Check(ctx); err != nil {
			errs = append(errs, fmt.Errorf("the Cassandra cluster needs a container engine (apt-get install docker.io, or make environment): %w", err))
		}
	}
	return errors.Join(errs...)
}
