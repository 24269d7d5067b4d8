// Command testcluster runs a Cassandra test cluster until it is interrupted. It prints the cassandra section of
// userinfo.yaml for an instance in each datacentre.
//
//	go run ./internal/testcluster/cmd/testcluster [-datacentres dc1,dc2] [-nodes 3]
//
// SIGINT and SIGTERM remove the cluster. After SIGKILL, the next start of any test cluster removes it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"userinfo/internal/testcluster"
)

const (
	startTimeout = 5 * time.Minute
	stopTimeout  = time.Minute
)

func main() {
	datacentres := flag.String("datacentres", "dc1,dc2", "names of the datacentres, separated by commas")
	nodes := flag.Int("nodes", 3, "number of nodes in each datacentre")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "testcluster: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := run(ctx, testcluster.Options{
		Datacentres: strings.Split(*datacentres, ","),
		NodesPerDC:  *nodes,
		Log:         slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testcluster:", err)
		os.Exit(1)
	}
}

// run starts a cluster, describes it on out, and stops it when ctx ends.
func run(ctx context.Context, opts testcluster.Options, out io.Writer) error {
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	fmt.Fprintln(out, "Starting a cluster. Six nodes take about a minute.")
	cluster, err := testcluster.Start(startCtx, opts)
	if err != nil {
		return err
	}
	for _, dc := range opts.Datacentres {
		printDatacentre(out, cluster, dc, opts)
	}
	fmt.Fprintln(out, "Press Ctrl-C to stop the cluster.")
	<-ctx.Done()
	fmt.Fprintln(out, "Stopping the cluster.")
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return cluster.Stop(stopCtx)
}

// printDatacentre prints the nodes of a datacentre and the cassandra section for an instance in it.
func printDatacentre(out io.Writer, cluster *testcluster.Cluster, dc string, opts testcluster.Options) {
	for _, n := range cluster.Nodes(dc) {
		fmt.Fprintf(out, "node %s in %s: %s:%d\n", n.Name, n.Datacentre, n.Address, testcluster.Port)
	}
	var replication []string
	for _, name := range opts.Datacentres {
		replication = append(replication, fmt.Sprintf("%s: %d", name, opts.NodesPerDC))
	}
	fmt.Fprintf(out, `
The section for userinfo.yaml of an instance in %[1]s:

cassandra:
  hosts: [%[2]s]
  port: %[7]d
  local_datacentre: %[1]s
  keyspace: userinfo
  replication: {%[6]s}
  username: %[3]s
  password_file: %[4]s
  tls:
    ca: %[5]s

`, dc, strings.Join(cluster.Hosts(dc), ", "), testcluster.Username, cluster.PasswordFile(), cluster.CAFile(),
		strings.Join(replication, ", "), testcluster.Port)
}
