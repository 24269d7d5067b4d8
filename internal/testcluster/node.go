package testcluster

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"text/template"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"userinfo/deploy/cassandra"
)

//go:embed conf
var conf embed.FS

var configuration = template.Must(template.ParseFS(conf, "conf/*"))

var (
	cqlPort  = fmt.Sprintf("%d/tcp", Port)
	loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
)

// configDir is the directory of the configuration inside a node.
const configDir = "/etc/cassandra/"

// images are the names of Cassandra images, in the order of preference. internal/testenv/image.sh uses the same.
var images = []string{"cassandra:5.0.9@sha256:c89d12282b69b38a78f23c37886fc35e732f33b7c18801016c0334e4c7cabf64", "userinfo-cassandra:5.0"}

// Node is one Cassandra node. Its exported fields never change.
type Node struct {
	Name       string // for example dc1-2
	Datacentre string
	Address    string // IPv4 address, reachable from this machine

	cluster *Cluster
	id      string // container id
	// joins says that the node streams its data from the others when it first starts. replaces is the address of the
	// dead node whose place it takes, or empty.
	joins    bool
	replaces string

	// The queues of the shapers that delay packets to this node, and the process whose network namespace they are in.
	// Guarded by the cluster's mu.
	queues   map[*shaper]*queue
	queuePID int
}

// findImage returns the name of the Cassandra image, and the command that a container of it runs.
func findImage(ctx context.Context, docker *testcontainers.DockerClient) (image string, command []string, err error) {
	for _, image := range images {
		if found, err := docker.ImageInspect(ctx, image); err == nil {
			return image, append(found.Config.Entrypoint, found.Config.Cmd...), nil
		}
	}
	return "", nil, fmt.Errorf("the container engine has no image of %q; internal/testenv/image.sh pulls or builds one", images)
}

// create creates and starts n's container. It does not wait until Cassandra answers.
func (c *Cluster) create(ctx context.Context, n *Node) error {
	contents, err := c.configFiles(n)
	if err != nil {
		return err
	}
	var files []testcontainers.ContainerFile
	for name, content := range contents {
		files = append(files, testcontainers.ContainerFile{
			Reader: bytes.NewReader(content), ContainerFilePath: configDir + name, FileMode: 0o644, // Cassandra does not run as root
		})
	}
	address, err := netip.ParseAddr(n.Address)
	if err != nil {
		return err
	}
	var bindings []string
	if c.opts.SmallDisk {
		if bindings, err = n.mountDisks(); err != nil {
			return err
		}
	}
	// Without this variable, the official entry point makes each node its own seed.
	environment := map[string]string{"CASSANDRA_SEEDS": c.seeds()}
	switch {
	case n.replaces != "":
		environment["JVM_EXTRA_OPTS"] = replaceOptions + n.replaces
	case n.joins:
		environment["JVM_EXTRA_OPTS"] = joinOptions
	}
	if c.opts.SettableClocks {
		library, binding, variables, err := n.makeClock()
		if err != nil {
			return err
		}
		files, bindings = append(files, library), append(bindings, binding)
		maps.Copy(environment, variables)
	}
	started, err := testcontainers.Run(ctx, c.image,
		testcontainers.WithName(c.run.name+"-"+n.Name),
		testcontainers.WithLabels(map[string]string{runLabel: c.run.dir}),
		testcontainers.WithFiles(files...),
		testcontainers.WithEnv(environment),
		// By default, testcontainers publishes every port of the image on all addresses of this machine.
		testcontainers.WithExposedPorts(cqlPort),
		testcontainers.WithConfigModifier(func(config *container.Config) {
			config.Hostname = n.Name
			if !c.opts.Benchmark {
				config.Entrypoint = withTimerSlack(c.command)
			}
		}),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
			host.Binds = bindings
			host.NetworkMode = container.NetworkMode(c.run.name)
			host.PortBindings = network.PortMap{network.MustParsePort(cqlPort): {{HostIP: loopback}}}
		}),
		testcontainers.WithEndpointSettingsModifier(func(settings map[string]*network.EndpointSettings) {
			settings[c.run.name] = endpoint(address)
		}),
	)
	if err != nil {
		return fmt.Errorf("starting node %s: %w", n.Name, err)
	}
	n.id = started.GetContainerID()
	return nil
}

// endpoint returns the settings of a node's connection to the run's network.
func endpoint(address netip.Addr) *network.EndpointSettings {
	return &network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: address}}
}

// configFiles returns n's configuration, certificate and key, by the name of the file in configDir.
func (c *Cluster) configFiles(n *Node) (map[string][]byte, error) {
	cert, key, err := c.ca.Issue(n.leaf())
	if err != nil {
		return nil, err
	}
	contents := map[string][]byte{"node.pem": append(key, cert...), "ca.pem": c.ca.PEM()}
	values := struct {
		Cluster, Seeds, Address, Datacentre string
		Port, HeapMB                        int
		C1Only, Authorizer, Joins           bool
		TunedYAML, TunedOptions             string
	}{c.run.name, c.seeds(), n.Address, n.Datacentre, Port, c.opts.HeapMB, len(c.all()) > 1 || !c.opts.Benchmark, c.opts.Authorizer, n.joins, "", ""}
	if c.opts.Tuned {
		values.TunedYAML, values.TunedOptions = cassandra.YAML, cassandra.Options
	}
	values.TunedYAML += c.opts.YAML
	for _, t := range configuration.Templates() {
		var text bytes.Buffer
		if err := t.Execute(&text, values); err != nil {
			return nil, fmt.Errorf("writing %s of node %s: %w", t.Name(), n.Name, err)
		}
		contents[t.Name()] = text.Bytes()
	}
	return contents, nil
}

// seeds returns the addresses of the first node of each datacentre. A datacentre that is cut off can restart its nodes,
// because it has a seed of its own.
func (c *Cluster) seeds() string {
	var seeds []string
	for _, dc := range c.opts.Datacentres {
		seeds = append(seeds, c.Nodes(dc)[0].Address)
	}
	return strings.Join(seeds, ",")
}

// state asks the engine for the state of n's container.
func (n *Node) state(ctx context.Context) (*container.State, error) {
	got, err := n.cluster.docker.ContainerInspect(ctx, n.id, client.ContainerInspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("inspecting the container of node %s: %w", n.Name, err)
	}
	return got.Container.State, nil
}

// startTime returns when n's process was last started.
func (n *Node) startTime(ctx context.Context) (time.Time, error) {
	state, err := n.state(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, state.StartedAt)
}

// checkRunning returns an error if n's process has ended. The error contains the end of n's log.
func (n *Node) checkRunning(ctx context.Context) error {
	state, err := n.state(ctx)
	if err != nil || state.Running {
		return err
	}
	log, err := n.log(ctx)
	if err != nil {
		return err
	}
	return fmt.Errorf("node %s has ended with exit code %d; the end of its log:\n%s",
		n.Name, state.ExitCode, log[max(0, len(log)-4000):])
}

// log returns what n has logged since its last start. Each line begins with its time in RFC 3339.
func (n *Node) log(ctx context.Context) (string, error) {
	started, err := n.startTime(ctx)
	if err != nil {
		return "", err
	}
	stream, err := n.cluster.docker.ContainerLogs(ctx, n.id, client.ContainerLogsOptions{
		ShowStdout: true, ShowStderr: true, Timestamps: true, Since: started.Format(time.RFC3339Nano),
	})
	if err != nil {
		return "", fmt.Errorf("reading the log of node %s: %w", n.Name, err)
	}
	defer stream.Close()
	var log strings.Builder
	if _, err := stdcopy.StdCopy(&log, &log, stream); err != nil {
		return "", fmt.Errorf("reading the log of node %s: %w", n.Name, err)
	}
	return log.String(), nil
}
