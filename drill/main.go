// Command drill injects faults into an installation of UserInfo while clients use it, and decides from the recorded requests
// whether the service broke a promise.
//
//	schedule (load) ──▶ service instances in two datacentres ──▶ history ──▶ judge ──▶ report
//	                     ▲ faults (testcluster, fleet)
//
// By default the drill starts its own installation on this machine: six Cassandra nodes in containers, and four processes of
// the service, which it builds from the source. "drill watch" uses an existing installation instead; its operators inject the
// faults.
//
// Invariants:
//
//  1. The verdict depends on the recorded history only, and package judge defines every promise.
//  2. A seed repeats the load and the order of the faults. The load of passwords depends on the answers, too.
//  3. A planted bug (mutant) that its invariant does not find is an error of the drill.
//
// The drill cannot see the replicas of a watched installation. It does not test promises about times that are longer than a
// drill.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes. A larger code outranks a smaller one.
const (
	exitOK     = 0
	exitBroken = 1 // the service broke a promise, or a mutant was not caught
	exitUsage  = 2 // wrong arguments
	exitFailed = 3 // the drill could not be completed
)

// usageError describes wrong arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

// command is a subcommand. setup defines its flags and returns the function that runs it after the flags are parsed.
type command struct {
	name, usage string
	setup       func(*flag.FlagSet) runFunc
}

// runFunc runs a subcommand. It returns an exit code or an error.
type runFunc func(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error)

func commands() []command {
	return []command{
		{"list", "                      list the faults and the mutants", setupList},
		{"faults", "[flags] [NAME ...]     inject each named fault, or every fault, one drill for each", setupFaults},
		{"mix", "[flags]                inject faults in random order in one drill", setupMix},
		{"passwords", "[flags] [NAME ...]     change passwords during each named fault, or during the usual ones", setupPasswords},
		{"mutants", "[flags] [NAME ...]     plant bugs in the service; each must be caught", setupMutants},
		{"watch", "[flags]                record an existing installation while its operators inject faults", setupWatch},
		{"judge", "[-out DIR] FILE ...    judge saved histories again", setupJudge},
		{"report", "[-out DIR] DIR ...      write one report about the results in several directories", setupReport},
	}
}

// execute runs the subcommand that args name and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && isHelp(args[len(args)-1]) {
		stderr = stdout
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return len(args) > 0 && c.name == args[0] })
	if i < 0 {
		fmt.Fprintln(stderr, "usage: drill COMMAND (use -h after a command to list its flags)")
		for _, c := range all {
			fmt.Fprintf(stderr, "  drill %-10s%s\n", c.name, c.usage)
		}
		if len(args) > 0 && isHelp(args[0]) {
			return exitOK
		}
		fmt.Fprintf(stderr, "drill: unknown command %q\n", args)
		return exitUsage
	}
	flags := flag.NewFlagSet("drill "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	run := all[i].setup(flags)
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil { // Parse has printed it
		return exitUsage
	}
	code, err := run(ctx, flags.Args(), stdout, stderr)
	if err == nil {
		return code
	}
	fmt.Fprintf(stderr, "drill %s: %v\n", args[0], err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func isHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// logf logs a formatted message.
func logf(log *slog.Logger, format string, args ...any) { log.Info(fmt.Sprintf(format, args...)) }

// sleep waits for d. It returns the error of ctx if that is done first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func setupList(*flag.FlagSet) runFunc {
	return func(_ context.Context, _ []string, stdout, _ io.Writer) (int, error) {
		fmt.Fprintln(stdout, "faults:")
		for _, f := range faults() {
			fmt.Fprintf(stdout, "  %-24s %s\n", f.name, f.description)
		}
		fmt.Fprintln(stdout, "mutants:")
		for _, m := range mutants() {
			fmt.Fprintf(stdout, "  %-24s %s (with fault %s, must be caught by %s)\n", m.name, m.description, m.fault, m.invariant)
		}
		return exitOK, nil
	}
}
