// Package testcluster runs real Cassandra clusters in containers, for tests, benchmarks and drills. The default is two
// datacentres of three Cassandra 5.0 nodes, with TLS and passwords on the client port. Its methods inject faults: they
// pause and kill nodes, cut and slow down links, fill disks, and set clocks.
//
// The package needs a container engine and a Cassandra image on this machine. internal/testenv/engine.sh starts the
// engine and internal/testenv/image.sh provides the image: the official one, or one that the script builds. The files of
// conf/ are the whole configuration of a node. Both images read them from /etc/cassandra. The official image starts as root
// and changes to user cassandra, keeps its data in an anonymous volume, which is removed with the container, and contains
// cqlsh. The local image does neither and has no cqlsh.
//
// Invariants:
//
//  1. Every run has its own cluster name, network and directory. Runs may overlap.
//  2. A node keeps its address across a restart. ChangeAddress and ReplaceNode return a new Node with a new address. No
//     address is used twice in a run.
//  3. A run holds a lock on its directory while its process lives. The next Start removes the containers, networks and
//     directories of runs whose process has ended.
//
// The package does not defend against anything. The superuser is cassandra/cassandra, authorization is off unless
// Options.Authorizer is set, all roles have one password, traffic between nodes is not encrypted, and every user of this
// machine can reach the nodes. Most faults need root, because they enter the nodes' namespaces.
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
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"

	"userinfo/internal/devca"
)

const (
	// Port is the CQL port of the nodes. It accepts TLS only.
	Port = 9042
	// Username is the role for the service. Without Options.Authorizer it may do everything.
	Username = "userinfo"
	// AdminUsername is the role for `userinfo schema apply`. Without Options.Authorizer it may do everything.
	AdminUsername = "userinfo_admin"
)

// Options describe a cluster. The zero value is two datacentres, dc1 and dc2, of three nodes each.
type Options struct {
	Datacentres []string     // names of the datacentres; default: dc1, dc2
	NodesPerDC  int          // default: 3
	HeapMB      int          // heap of each node in MB; default: 512, with which a node takes about 0.5 GB in all
	Log         *slog.Logger // default: nothing is logged

	// Tuned applies the settings of deploy/cassandra to every node.
	Tuned bool
	// YAML is text that is added to every node's cassandra.yaml.
	YAML string
	// SmallDisk gives every node a data disk of 768 MB and a commit log disk of 512 MB, both in this machine's memory, so
	// that FillDisk can fill the data disk. Only what is written takes memory.
	SmallDisk bool
	// Authorizer turns on CassandraAuthorizer. Username and AdminUsername then have only the grants that docs/operations.md
	// names. The grants on a keyspace need the keyspace: call Cluster.GrantService when it exists, as fleet.New does.
	Authorizer bool
	// Benchmark makes nodes fast. By default, they take little CPU time: sleeps may end 1 ms late (see timerSlack), so a request
	// may take a few milliseconds longer, and the JVM compiles with its first compiler (C1) alone. With Benchmark, sleeps end on
	// time, and a single node also uses the second compiler (C2).
	Benchmark bool
	// SettableClocks loads libfaketime into every node, so that SetClock can set its wall clock.
	SettableClocks bool
}

// Cluster is a running cluster. Its methods are safe for concurrent use.
type Cluster struct {
	docker    *testcontainers.DockerClient
	run       *run
	ca        *devca.CA
	password  string
	log       *slog.Logger
	image     string                  // of every node
	command   []string                // that a container of image runs
	opts      Options                 // with defaults
	nodes     atomic.Pointer[[]*Node] // the current nodes; the slice is never changed
	addresses atomic.Int64            // number of addresses that were given to nodes

	mu          sync.Mutex            // guards the fields below, the nodes' queues, and changes of nodes
	cuts        map[direction]rule    // set by Cut, removed by Heal
	clientRules map[*Node][]string    // set by CutClients, removed by HealClients
	shapers     map[direction]*shaper // set by Shape, removed by Unshape
	lastShaper  uint16                // number of the newest shaper
}

// OneNode returns the options of the smallest cluster: datacentre dc1 with one node. It starts in a few seconds.
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

// Start starts a cluster. It returns when every node sees every other node as up and answers CQL; six nodes take about a
// minute on two cores. If it fails, nothing is left behind. ctx limits the start.
//
// Start changes this process: it sets the environment variable TESTCONTAINERS_RYUK_DISABLED, because the image of
// testcontainers' reaper may not be available and Start removes abandoned runs itself; it sets
// TESTCONTAINERS_HOST_OVERRIDE to 127.0.0.1 unless it is set; and it discards testcontainers' log.
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
	c.log.Info("test cluster is up", "nodes", len(c.all()), "took", time.Since(began).Round(time.Second))
	return c, nil
}

// Check returns an error if Start would find no container engine or no Cassandra image. It changes this process as
// Start does.
func Check(ctx context.Context) error {
	if err := configureTestcontainers(); err != nil {
		return err
	}
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return noEngineError(err)
	}
	_, _, err = findImage(ctx, docker)
	return errors.Join(err, docker.Close())
}

func noEngineError(err error) error {
	return fmt.Errorf("no container engine answers (internal/testenv/engine.sh starts one): %w", err)
}

// prepare makes the run's directory, network, CA and password. It starts no container.
func prepare(ctx context.Context, opts Options) (*Cluster, error) {
	if err := configureTestcontainers(); err != nil {
		return nil, err
	}
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, noEngineError(err)
	}
	if err := removeAbandonedRuns(ctx, docker, opts.Log); err != nil {
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
	c := &Cluster{docker: docker, run: r, ca: ca, password: rand.Text(), opts: opts, log: opts.Log,
		cuts: map[direction]rule{}, clientRules: map[*Node][]string{}, shapers: map[direction]*shaper{}}
	if err := errors.Join(
		os.WriteFile(c.CAFile(), ca.PEM(), 0o600),
		os.WriteFile(c.PasswordFile(), []byte(c.password+"\n"), 0o600),
	); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the cluster's credentials: %w", err), r.remove(ctx, docker))
	}
	return c, nil
}

func configureTestcontainers() error {
	tclog.SetDefault(tclog.NewNoopLogger())
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return err
	}
	if os.Getenv("TESTCONTAINERS_HOST_OVERRIDE") != "" {
		return nil
	}
	return os.Setenv("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
}

// Stop removes the cluster with its data, network and files.
func (c *Cluster) Stop(ctx context.Context) error {
	if err := forEach(c.all(), (*Node).closeQueues); err != nil {
		return err
	}
	if err := c.run.remove(ctx, c.docker); err != nil {
		return fmt.Errorf("stopping the test cluster (the next Start tries again): %w", err)
	}
	return c.docker.Close()
}

// all returns the current nodes. The slice must not be changed.
func (c *Cluster) all() []*Node {
	if nodes := c.nodes.Load(); nodes != nil {
		return slices.Clip(*nodes)
	}
	return nil
}

// updateNodes replaces the current nodes. change must not change its argument.
func (c *Cluster) updateNodes(change func([]*Node) []*Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	nodes := change(c.all())
	c.nodes.Store(&nodes)
}

// newAddress returns an address that no node of this run has had.
func (c *Cluster) newAddress() string { return c.run.address(int(c.addresses.Add(1)) - 1) }

// Nodes returns the nodes of one datacentre, or all nodes if dc is empty.
func (c *Cluster) Nodes(dc string) []*Node {
	var nodes []*Node
	for _, n := range c.all() {
		if dc == "" || n.Datacentre == dc {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// Others returns all nodes except n.
func (c *Cluster) Others(n *Node) []*Node {
	var nodes []*Node
	for _, other := range c.all() {
		if other != n {
			nodes = append(nodes, other)
		}
	}
	return nodes
}

// Hosts returns the addresses of the nodes of a datacentre, or of all nodes if dc is empty.
func (c *Cluster) Hosts(dc string) []string {
	var hosts []string
	for _, n := range c.Nodes(dc) {
		hosts = append(hosts, n.Address)
	}
	return hosts
}

// CAFile returns the path of the certificate of the CA that signs the nodes' certificates, in PEM. A node's certificate
// is valid for the node's address.
func (c *Cluster) CAFile() string { return filepath.Join(c.run.dir, "ca.pem") }

// CAPool returns a pool with the certificate of CAFile.
func (c *Cluster) CAPool() *x509.CertPool { return c.ca.Pool() }

// Password returns the password of Username and AdminUsername.
func (c *Cluster) Password() string { return c.password }

// PasswordFile returns the path of a file that contains the password of Username and a line feed.
func (c *Cluster) PasswordFile() string { return filepath.Join(c.run.dir, "password") }

// forEach calls do for all nodes at the same time and joins the errors.
func forEach(nodes []*Node, do func(*Node) error) error {
	var wait sync.WaitGroup
	errs := make([]error, len(nodes))
	for i, n := range nodes {
		wait.Go(func() { errs[i] = do(n) })
	}
	wait.Wait()
	return errors.Join(errs...)
}
