// Command bench measures the service, or any HTTP session store, next to what it is to be compared with.
//
//	go run ./bench                              the goals: half an hour; -grow adds 9 GB of data and half an hour
//	go run ./bench list                         the workloads
//	go run ./bench run WORKLOAD...              some workloads
//	go run ./bench saturate                     latency at rising rates, until targets fall behind
//	go run ./bench grow data|connections|nodes  cost of a get while one of them grows
//	go run ./bench load -url NAME=URL           loads a data set into a store
//	go run ./bench report -to DIRECTORY RUN...  writes the report of one or more runs
//	go run ./bench compare OLD NEW              what changed between two runs, and whether it is more than noise
//	go run ./bench profile [WORKLOAD...]        a CPU profile of the service
//
// Every command explains its flags with -h. A short try, on one Cassandra node and on three with replication 3:
//
//	go run ./bench run get -rounds 2 -seconds 2 -compile 5
//	go run ./bench run get -rounds 2 -seconds 2 -compile 5 -nodes 3 -against userinfo
//
// To compare builds of the service, give them as targets. They run in turns, on the same cluster, with the same
// configuration. Other settings of a target are environment variables:
//
//	go run ./bench run get -nodes 3 -against userinfo,userinfo:BINARY=/path/to/other/userinfo,userinfo:GOGC=200
//	go run ./bench grow connections -against userinfo,userinfo:BINARY=/path/to/other/userinfo
//
// A run is a directory: run.json with the measurements, written after every group of rounds; then report.md.
//
// Invariants:
//
//  1. Targets that are compared run in one run, in turns of some seconds. The order is reversed after each round.
//  2. CPU time is counted per process: the service, all Cassandra nodes, and the generator, which is this process.
//  3. Warm-up does not count: executables, connections and Cassandra's compiler have run before the first round.
//  4. A sample with errors shows them. Nothing is repeated or left out because of its result.
//
// All processes share this machine's cores. Ratios between targets hold, absolute figures are this machine's. Do not run it
// against a production store: it fills it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"userinfo/bench/result"
	"userinfo/bench/target"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // or a reader that ends would leave a cluster behind
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errUsage means that the mistake has been explained already.
var errUsage = errors.New("usage")

// bench is one call of the program.
type bench struct {
	ctx      context.Context
	args     []string
	out, err io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := "goals"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	b := &bench{ctx: ctx, args: append([]string{command}, args...), out: stdout, err: stderr}
	do, known := map[string]func(args []string) error{
		"goals": b.goals, "run": b.run, "list": b.list, "saturate": b.saturate, "grow": b.grow, "load": b.load,
		"report": b.report, "compare": b.compare, "profile": b.profile,
		"baseline": func(args []string) error { return target.RunBaseline(ctx, args, stdout) }, // a child of this program
	}[command]
	if !known {
		fmt.Fprintf(stderr, "bench: unknown command %q; `go doc ./bench` lists the commands\n", command)
		return 2
	}
	switch err := do(args); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	default:
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
}

// say writes a progress message.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.err, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// usage explains a command without a flag set. It returns the error for the caller to return.
func (b *bench) usage(args []string, usage string) error {
	fmt.Fprintln(b.err, "usage: bench", usage)
	if slices.ContainsFunc(args, func(a string) bool { return a == "-h" || a == "-help" || a == "--help" }) {
		return flag.ErrHelp
	}
	return errUsage
}

func (b *bench) list(args []string) error {
	if len(args) > 0 {
		return b.usage(args, "list")
	}
	fmt.Fprintf(b.out, "%-24s %-7s %7s %12s  %s\n", "workload", "loop", "per s", "connections", "what it is; default targets")
	for _, w := range workloads() {
		fmt.Fprintf(b.out, "%-24s %-7s %7.0f %12d  %s; %s\n", w.name, w.mode, w.rate, w.connections, w.about, strings.Join(w.targets, " "))
	}
	return nil
}

func (b *bench) report(args []string) error {
	const usage = "report -to DIRECTORY RUN..."
	if len(args) < 3 || args[0] != "-to" {
		return b.usage(args, usage)
	}
	r, err := result.Read(args[2:]...)
	if err != nil {
		return err
	}
	return b.writeReport(args[1], r)
}

// writeReport writes the report into a directory and its goals to standard output.
func (b *bench) writeReport(dir string, r *result.Run) error {
	if err := r.WriteReport(dir); err != nil {
		return err
	}
	for _, o := range r.Outcomes() {
		fmt.Fprintf(b.out, "%s: %s, %s (required %s, aim %s)\n", o.Goal, o.Measured, o.Result, o.Required, o.Aim)
	}
	fmt.Fprintf(b.out, "report: %s/report.md\n", dir)
	return nil
}

func (b *bench) compare(args []string) error {
	if len(args) != 2 || strings.HasPrefix(args[0], "-") {
		return b.usage(args, "compare OLD NEW")
	}
	before, err := result.Read(args[0])
	if err != nil {
		return err
	}
	after, err := result.Read(args[1])
	if err != nil {
		return err
	}
	return result.Compare(b.out, before, after)
}
