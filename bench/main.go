// Command bench measures this service, or any HTTP session store, beside what it is to be compared with.
//
//	go run ./bench                              what the report's marks are made of, half an hour; -grow adds 9 GB
//	go run ./bench list                         the workloads
//	go run ./bench run WORKLOAD...              some of them; -against what; -url name=URL; -h has all flags
//	go run ./bench saturate                     latency at rising rates, until it does not keep up
//	go run ./bench grow data|connections|nodes  what a get costs as one of them grows
//	go run ./bench load -url NAME=URL           sets a data set's values
//	go run ./bench report DIRECTORY             makes the report of a run again
//	go run ./bench compare OLD NEW              what changed between two runs, and whether it is more than noise
//	go run ./bench profile [WORKLOAD...]        a CPU profile of the service, in the run's directory; -profile has it elsewhere
//
// Target userinfo:GOMAXPROCS=1+GOGC=200 is an instance of the service with that environment.
//
// A run is a directory: run.json, the raw data, is written after every group of rounds; the report when all is done.
//
// Invariants:
//
//  1. What is compared runs in one run, in turns of a few seconds, the order changing with each round.
//  2. Generators are processes of their own; their cost is told apart, and their lateness is in the result.
//  3. What warms up does not count: programs, connections and Cassandra's compiler have run before the first round.
//  4. A sample with errors says so; nothing is repeated or left out because of what it came to.
//
// It does not isolate cores: on one machine all that runs shares them, so ratios hold and absolute figures are this
// machine's. It is not for a production installation: it fills it up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"userinfo/bench/load"
	"userinfo/bench/report"
	"userinfo/bench/result"
	"userinfo/bench/target"
)

func main() {
	ctx, stop := untilEnded(os.Stdout, os.Stderr)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errUsage has been explained already.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	command := "marks"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	b := &bench{ctx: ctx, args: append([]string{command}, args...), in: stdin, out: stdout, err: stderr}
	do, known := map[string]func(args []string) error{
		"marks": b.marks, "run": b.run, "list": b.list, "saturate": b.saturate, "grow": b.grow, "load": b.load,
		"report": b.report, "compare": b.compare, "profile": b.profile,
		"generate": b.generate, "floor": b.floor, // its own children
	}[command]
	if !known {
		fmt.Fprintf(stderr, "bench: there is no %q; see `go doc ./bench`\n", command)
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

// bench is one call.
type bench struct {
	ctx      context.Context
	args     []string
	in       io.Reader
	out, err io.Writer
}

func (b *bench) generate([]string) error { return load.Generate(b.ctx, b.in, b.out, target.Dial) }

func (b *bench) floor(args []string) error { return target.RunFloor(b.ctx, args, b.out) }

// arguments reads a command's, of which there are as many as usage names: these commands have no flags.
func (b *bench) arguments(args []string, usage string) error {
	help := slices.ContainsFunc(args, func(a string) bool { return a == "-h" || a == "-help" || a == "--help" })
	flags := slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if !flags && len(args) == strings.Count(usage, " ") {
		return nil
	}
	fmt.Fprintln(b.err, "usage: bench", usage)
	if help {
		return flag.ErrHelp
	}
	return errUsage
}

func (b *bench) list(args []string) error {
	if err := b.arguments(args, "list"); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%-26s %-10s %9s %11s  %s\n", "workload", "mode", "a second", "connections", "what it is; targets by default")
	for _, w := range workloads() {
		fmt.Fprintf(b.out, "%-26s %-10s %9.0f %11d  %s; %s\n", w.name, w.mode, w.rate(), w.connections, w.about, strings.Join(w.targets, " "))
	}
	return nil
}

func (b *bench) report(args []string) error {
	if err := b.arguments(args, "report DIRECTORY"); err != nil {
		return err
	}
	r, err := result.Read(filepath.Join(args[0], runFile))
	if err != nil {
		return err
	}
	return b.tell(args[0], r)
}

// tell writes the report and its summary.
func (b *bench) tell(dir string, r *result.Run) error {
	if err := report.Write(dir, r); err != nil {
		return err
	}
	for _, m := range report.Marks(r) {
		if m.State != report.NotMeasured { // of which the report has all
			fmt.Fprintln(b.out, m)
		}
	}
	fmt.Fprintf(b.out, "report: %s\n", filepath.Join(dir, "index.html"))
	return nil
}

func (b *bench) compare(args []string) error {
	if err := b.arguments(args, "compare OLD NEW"); err != nil { // directories of runs, or their run.json
		return err
	}
	var runs [2]*result.Run
	for i, name := range args {
		if s, err := os.Stat(name); err == nil && s.IsDir() {
			name = filepath.Join(name, runFile)
		}
		var err error
		if runs[i], err = result.Read(name); err != nil {
			return err
		}
	}
	return report.Compare(b.out, runs[0], runs[1])
}
