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

// images are tried in this order, as in internal/testenv/image.sh.
var images = []string{"cassandra:5.0", "userinfo-cassandra:5.0"}

// Node is one Cassandra node. Name, Datacentre and Address never change.
type Node struct {
	Name       string // such as dc1-2
	Datacentre string
	Address    string // IPv4, reached from this machine; the client port is Port

	cluster *Cluster
	id      string // of the container

	// Guarded by the cluster's mu: the queues for its lines, and the process in whose network namespace they are.
	queues   map[*line]*queue
	queuesOf int
}

func findImage(ctx context.Context, docker *testcontainers.DockerClient) (string, error) {
	for _, image := range images {
		if _, err := docker.ImageInspect(ctx, image); err == nil {
			return image, nil
		}
	}
	return "", fmt.Errorf("the engine has none of the images %q; internal/testenv/image.sh pulls or makes one", images)
}

// create makes and starts n's container. It does not wait for Cassandra.
func (c *Cluster) create(ctx context.Context, image string, opts Options, n *Node) error {
	files, err := c.files(n, opts)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(n.Address)
	if err != nil {
		return err
	}
	var bindings []string
	if opts.SmallDisk {
		if bindings, err = n.mountDisks(); err != nil {
			return err
		}
	}
	// The official entry point would otherwise make each node its own seed.
	environment := map[string]string{"CASSANDRA_SEEDS": c.seeds(opts)}
	if opts.SettableClocks {
		library, binding, variables, err := n.fakeClock()
		if err != nil {
			return err
		}
		files, bindings = append(files, library), append(bindings, binding)
		maps.Copy(environment, variables)
	}
	made, err := testcontainers.Run(ctx, image,
		testcontainers.WithName(c.run.name+"-"+n.Name),
		testcontainers.WithLabels(map[string]string{runLabel: c.run.dir}),
		testcontainers.WithFiles(files...),
		testcontainers.WithEnv(environment),
		// Left to itself, the library publishes every port of the image on all of this machine's addresses.
		testcontainers.WithExposedPorts(cqlPort),
		testcontainers.WithConfigModifier(func(config *container.Config) { config.Hostname = n.Name }),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
			host.Binds = bindings
			host.NetworkMode = container.NetworkMode(c.run.name)
			host.PortBindings = network.PortMap{network.MustParsePort(cqlPort): {{HostIP: loopback}}}
		}),
		testcontainers.WithEndpointSettingsModifier(func(settings map[string]*network.EndpointSettings) {
			settings[c.run.name] = &network.EndpointSettings{
				IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: address},
			}
		}),
	)
	if err != nil {
		return fmt.Errorf("starting node %s: %w", n.Name, err)
	}
	n.id = made.GetContainerID()
	return nil
}

// files are n's configuration, certificate and key.
func (c *Cluster) files(n *Node, opts Options) ([]testcontainers.ContainerFile, error) {
	cert, key, err := c.ca.Issue(n.leaf())
	if err != nil {
		return nil, err
	}
	contents := map[string][]byte{"node.pem": append(key, cert...), "ca.pem": c.ca.PEM()}
	values := struct {
		Cluster, Seeds, Address, Datacentre string
		Port, HeapMB                        int
		Crowded                             bool
		TunedYAML, TunedOptions             string
	}{c.run.name, c.seeds(opts), n.Address, n.Datacentre, Port, opts.HeapMB, len(c.nodes) > 1, "", ""}
	if opts.Tuned {
		values.TunedYAML, values.TunedOptions = cassandra.YAML, cassandra.Options
	}
	for _, t := range configuration.Templates() {
		var text bytes.Buffer
		if err := t.Execute(&text, values); err != nil {
			return nil, fmt.Errorf("writing %s of node %s: %w", t.Name(), n.Name, err)
		}
		contents[t.Name()] = text.Bytes()
	}
	var files []testcontainers.ContainerFile
	for name, content := range contents {
		files = append(files, testcontainers.ContainerFile{
			Reader:            bytes.NewReader(content),
			ContainerFilePath: "/etc/cassandra/" + name,
			FileMode:          0o644, // Cassandra does not run as root
		})
	}
	return files, nil
}

// seeds are the first node of each datacentre, so that either can bring up the rest after a cut.
func (c *Cluster) seeds(opts Options) string {
	var seeds []string
	for i := 0; i < len(c.nodes); i += opts.NodesPerDC {
		seeds = append(seeds, c.nodes[i].Address)
	}
	return strings.Join(seeds, ",")
}

// state is the container's, from the engine.
func (n *Node) state(ctx context.Context) (*container.State, error) {
	got, err := n.cluster.docker.ContainerInspect(ctx, n.id, client.ContainerInspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("looking at node %s: %w", n.Name, err)
	}
	return got.Container.State, nil
}

// started is when n's process was last started.
func (n *Node) started(ctx context.Context) (time.Time, error) {
	state, err := n.state(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, state.StartedAt)
}

// running is an error with the end of the node's log where its process has ended.
func (n *Node) running(ctx context.Context) error {
	state, err := n.state(ctx)
	if err != nil || state.Running {
		return err
	}
	log, err := n.log(ctx)
	if err != nil {
		return err
	}
	return fmt.Errorf("node %s does not run (exit code %d); the end of its log:\n%s",
		n.Name, state.ExitCode, log[max(0, len(log)-4000):])
}

// log is what n wrote since it was last started, each line behind its time in RFC 3339.
func (n *Node) log(ctx context.Context) (string, error) {
	started, err := n.started(ctx)
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
