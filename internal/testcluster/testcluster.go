// Package testcluster runs real Cassandra clusters in containers for tests, benchmarks and drills: by default two
// datacentres of three Cassandra 5.0 nodes, with TLS and passwords on the client port, and faults to inflict on them.
//
// It needs a container engine on this machine and an image; internal/testenv's engine.sh and image.sh see to both.
// It uses the official cassandra:5.0 where that is present, else userinfo-cassandra:5.0, which image.sh makes. Every
// node gets its whole configuration from package conf/ here, in /etc/cassandra, where both images look for it; the
// official entry point then rewrites a few lines of cassandra.yaml with the values that they have already. The
// official image starts as root and steps down to user cassandra, keeps its data in an anonymous volume (removed with
// the container), and has cqlsh; the local one has neither.
//
// Invariants: every run has a cluster name, a network and a directory of its own, and each node keeps its address for
// the whole run, also across a restart. Runs may overlap. What an aborted run left behind is removed at the next
// Start: a run holds a lock on its directory for as long as its process lives.
//
// It does not defend against anything: the superuser is cassandra/cassandra, authorization is off, traffic between nodes is
// in the clear, and whoever reaches the bridge network of this machine reaches the nodes.
// Cutting links and most other faults need root here, because they enter the nodes' namespaces.
package testcluster

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"

	"userinfo/internal/devca"
)

const (
	// Port is where nodes speak CQL: over TLS only.
	Port = 9042
	// Username is the role that the service is to use; it has the right to everything, for authorization is off.
	Username = "userinfo"
)

// Options say what to start. The zero value is two datacentres, dc1 and dc2, of three nodes each.
type Options struct {
	Datacentres []string // names, as Cassandra is to know them; default dc1, dc2
	NodesPerDC  int      // default 3
	HeapMB      int      // of each node; default 512, with which a node takes about 0.5 GB in all
	Log         *slog.Logger

	// Tuned gives every node the settings of deploy/cassandra.
	Tuned bool
	// SmallDisk gives every node a disk of its own, 768 MB in this machine's memory, and its commit log another of 512 MB,
	// so that FillDisk can fill it. Only what is used of them takes memory.
	SmallDisk bool
	// Clocks lets SetClock set each node's wall clock, by libfaketime.
	SettableClocks bool
}

// Cluster is a running cluster. Its methods are safe for concurrent use.
type Cluster struct {
	docker   *testcontainers.DockerClient
	run      *run
	ca       *devca.CA
	password string
	nodes    []*Node
	log      *slog.Logger

	mu       sync.Mutex
	cuts     map[pair]verdict   // what Cut has asked for and Heal has not taken back
	closed   map[*Node][]string // the same for CutClients: the rules
	lines    map[pair]*line     // the same for Shape
	lastLine uint16             // the last number given
}

// OneNode are the options of the quickest cluster there is: datacentre dc1, one node.
func OneNode() Options {
	return Options{Datacentres: []string{"dc1"}, NodesPerDC: 1}
}

func (o Options) withDefaults() Options {
	if len(o.Datacentres) == 0 {
		o.Datacentres = []string{"dc1", "dc2"}
	}
	if o.NodesPerDC == 0 {
		o.NodesPerDC = 3
	}
	if o.HeapMB == 0 {
		o.HeapMB = 512
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Start starts a cluster and waits until every node sees every other as up and CQL answers on each. ctx bounds the
// start; a cluster of six takes about a minute on two cores. Where it fails, nothing is left behind.
//
// It sets TESTCONTAINERS_RYUK_DISABLED (the reaper's image may not be had; Start does that work) and, where it is not
// set, TESTCONTAINERS_HOST_OVERRIDE in this process's environment, and silences testcontainers' own log.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	opts = opts.withDefaults()
	began := time.Now()
	c, err := prepare(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("starting a test cluster: %w", err)
	}
	if err := c.boot(ctx, opts); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("starting a test cluster: %w", err), c.Stop(stopCtx))
	}
	c.log.Info("test cluster is up", "nodes", len(c.nodes), "took", time.Since(began).Round(time.Second))
	return c, nil
}

// Check tells what Start would lack: an engine that answers, or an image. It sets the environment as Start does.
func Check(ctx context.Context) error {
	if err := setUpLibrary(); err != nil {
		return err
	}
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return noEngine(err)
	}
	_, err = findImage(ctx, docker)
	return errors.Join(err, docker.Close())
}

func noEngine(err error) error {
	return fmt.Errorf("no container engine answers (internal/testenv/engine.sh starts one): %w", err)
}

// prepare makes everything but the containers.
func prepare(ctx context.Context, opts Options) (*Cluster, error) {
	if err := setUpLibrary(); err != nil {
		return nil, err
	}
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, noEngine(err)
	}
	if err := removeLeftOvers(ctx, docker, opts.Log); err != nil {
		return nil, err
	}
	ca, err := devca.New("userinfo test cluster")
	if err != nil {
		return nil, err
	}
	r, err := newRun(ctx, docker)
	if err != nil {
		return nil, err
	}
	c := &Cluster{docker: docker, run: r, ca: ca, password: rand.Text(), log: opts.Log,
		cuts: map[pair]verdict{}, closed: map[*Node][]string{}, lines: map[pair]*line{}}
	if err := errors.Join(
		os.WriteFile(c.CAFile(), ca.PEM(), 0o600),
		os.WriteFile(c.PasswordFile(), []byte(c.password+"\n"), 0o600),
	); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the cluster's credentials: %w", err), r.remove(ctx, docker))
	}
	return c, nil
}

func setUpLibrary() error {
	tclog.SetDefault(tclog.NewNoopLogger())
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return err
	}
	if os.Getenv("TESTCONTAINERS_HOST_OVERRIDE") != "" {
		return nil
	}
	return os.Setenv("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
}

// boot starts one seed and then all other nodes at once, which is the quickest order that always makes one ring.
func (c *Cluster) boot(ctx context.Context, opts Options) error {
	image, err := findImage(ctx, c.docker)
	if err != nil {
		return err
	}
	c.layOut(opts)
	if err := c.create(ctx, image, opts, c.nodes[0]); err != nil {
		return err
	}
	if err := c.until(ctx, c.nodes[0], func() error {
		_, err := c.cqlAs(ctx, superuser, c.nodes[0], "ONE", "SELECT key FROM system.local")
		return err
	}); err != nil {
		return err
	}
	if err := each(c.nodes[1:], func(n *Node) error { return c.create(ctx, image, opts, n) }); err != nil {
		return err
	}
	if err := c.WaitAllUp(ctx); err != nil {
		return err
	}
	if err := c.makeRoles(ctx, opts); err != nil {
		return err
	}
	return each(c.nodes, func(n *Node) error { return c.answers(ctx, n) })
}

// layOut names the nodes: by datacentre, seeds first in each.
func (c *Cluster) layOut(opts Options) {
	for _, dc := range opts.Datacentres {
		for i := range opts.NodesPerDC {
			c.nodes = append(c.nodes, &Node{
				Name:       fmt.Sprintf("%s-%d", dc, i+1),
				Datacentre: dc,
				Address:    c.run.address(len(c.nodes)),
				cluster:    c,
			})
		}
	}
}

// makeRoles gives every node a copy of the roles and makes the service's. The first node wrote the superuser for
// itself alone; reading it at ALL repairs the others' replicas, as nodetool repair would. Each statement is tried again
// until it takes: Cassandra refuses the first while it sees any node still taking its place in the ring.
func (c *Cluster) makeRoles(ctx context.Context, opts Options) error {
	replication := []string{"'class': 'NetworkTopologyStrategy'"}
	for _, dc := range opts.Datacentres {
		replication = append(replication, fmt.Sprintf("'%s': %d", dc, opts.NodesPerDC))
	}
	for _, step := range []struct{ consistency, statement string }{
		{"ONE", "ALTER KEYSPACE system_auth WITH replication = {" + strings.Join(replication, ", ") + "}"},
		{"ALL", "SELECT * FROM system_auth.roles"},
		{"ALL", fmt.Sprintf("CREATE ROLE IF NOT EXISTS %s WITH PASSWORD = '%s' AND LOGIN = true", Username, c.password)},
	} {
		err := c.until(ctx, c.nodes[0], func() error {
			_, err := c.cqlAs(ctx, superuser, c.nodes[0], step.consistency, step.statement)
			return err
		})
		if err != nil {
			return fmt.Errorf("setting up the roles: %w", err)
		}
	}
	return nil
}

// Stop removes the cluster with its data, network and files.
func (c *Cluster) Stop(ctx context.Context) error {
	if err := each(c.nodes, (*Node).unqueue); err != nil {
		return err
	}
	if err := c.run.remove(ctx, c.docker); err != nil {
		return fmt.Errorf("stopping the test cluster (the next Start tries again): %w", err)
	}
	return c.docker.Close()
}

// Nodes lists the nodes of one datacentre, or of all where dc is empty.
func (c *Cluster) Nodes(dc string) []*Node {
	var nodes []*Node
	for _, n := range c.nodes {
		if dc == "" || n.Datacentre == dc {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// Others lists all nodes but n.
func (c *Cluster) Others(n *Node) []*Node {
	var nodes []*Node
	for _, other := range c.nodes {
		if other != n {
			nodes = append(nodes, other)
		}
	}
	return nodes
}

// Hosts are the addresses of the nodes of dc, as a client's contact points.
func (c *Cluster) Hosts(dc string) []string {
	var hosts []string
	for _, n := range c.Nodes(dc) {
		hosts = append(hosts, n.Address)
	}
	return hosts
}

// CAFile holds the certificate of the CA that signed the nodes' certificates, PEM. Each is for the node's address.
func (c *Cluster) CAFile() string { return filepath.Join(c.run.dir, "ca.pem") }

// CAPool holds the same CA.
func (c *Cluster) CAPool() *x509.CertPool { return c.ca.Pool() }

// Password is that of Username.
func (c *Cluster) Password() string { return c.password }

// PasswordFile holds Password and a line feed.
func (c *Cluster) PasswordFile() string { return filepath.Join(c.run.dir, "password") }

// each runs do for all nodes at once and joins what goes wrong.
func each(nodes []*Node, do func(*Node) error) error {
	var wait sync.WaitGroup
	errs := make([]error, len(nodes))
	for i, n := range nodes {
		wait.Go(func() { errs[i] = do(n) })
	}
	wait.Wait()
	return errors.Join(errs...)
}
