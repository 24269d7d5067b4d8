// Command testcluster keeps a Cassandra test cluster up until it is interrupted, and prints what userinfo.yaml needs
// to know of it.
//
//	go run ./internal/testcluster/cmd/testcluster [-datacentres dc1,dc2] [-nodes 3]
//
// It takes the cluster down on SIGINT and SIGTERM. What a killed one left behind is removed by the next start of any
// test cluster.
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

// startLimit bounds the start on a slow machine; stopLimit the clearing up.
const (
	startLimit = 5 * time.Minute
	stopLimit  = time.Minute
)

func main() {
	datacentres := flag.String("datacentres", "dc1,dc2", "names of the datacentres, with commas between")
	nodes := flag.Int("nodes", 3, "nodes in each datacentre")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "testcluster: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := keepUp(ctx, testcluster.Options{
		Datacentres: strings.Split(*datacentres, ","),
		NodesPerDC:  *nodes,
		Log:         slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testcluster:", err)
		os.Exit(1)
	}
}

func keepUp(ctx context.Context, opts testcluster.Options, out io.Writer) error {
	startCtx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	fmt.Fprintln(out, "Starting; a cluster of six takes about a minute.")
	cluster, err := testcluster.Start(startCtx, opts)
	if err != nil {
		return err
	}
	for _, dc := range opts.Datacentres {
		describe(out, cluster, dc, opts)
	}
	fmt.Fprintln(out, "Interrupt (Ctrl-C) takes the cluster down.")
	<-ctx.Done()
	fmt.Fprintln(out, "Taking the cluster down.")
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return cluster.Stop(stopCtx)
}

func describe(out io.Writer, cluster *testcluster.Cluster, dc string, opts testcluster.Options) {
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
