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
//  2. A seed repeats the load and the order of the faults.
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

// errUsage is returned for wrong arguments whose mistake was already printed.
var errUsage = errors.New("wrong arguments")

// usageError describes wrong arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

// command is a subcommand. It returns an exit code, or an error.
type command struct {
	name, usage string
	run         func(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error)
}

func commands() []command {
	return []command{
		{"list", "                      list the faults and the mutants", runList},
		{"faults", "[flags] [NAME ...]     inject each named fault, or every fault, one drill for each", runFaults},
		{"mix", "[flags]                inject faults in random order in one drill", runMix},
		{"mutants", "[flags] [NAME ...]     plant bugs in the service; each must be caught", runMutants},
		{"watch", "[flags]                record an existing installation while its operators inject faults", runWatch},
		{"judge", "[-out DIR] FILE ...    judge saved histories again", runJudge},
		{"report", "[-out DIR] DIR ...      write one report about the results in several directories", runReport},
	}
}

// execute runs the subcommand that args name and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		printUsage(stderr)
		return exitUsage
	}
	if isHelp(args[0]) {
		printUsage(stdout)
		return exitOK
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		fmt.Fprintf(stderr, "drill: unknown command %q\n", args[0])
		printUsage(stderr)
		return exitUsage
	}
	if isHelp(args[len(args)-1]) {
		stderr = stdout
	}
	code, err := all[i].run(ctx, args[1:], stdout, stderr)
	var usage usageError
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "drill %s: %v\n", args[0], err)
		return exitUsage
	case err != nil:
		fmt.Fprintf(stderr, "drill %s: %v\n", args[0], err)
		return exitFailed
	}
	return code
}

func isHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

func printUsage(w io.Writer) {
	fmt.Fprintln(w, "usage: drill COMMAND (use -h after a command to list its flags)")
	for _, c := range commands() {
		fmt.Fprintf(w, "  drill %-8s%s\n", c.name, c.usage)
	}
}

// parseFlags parses the flags of a command. The flag set prints mistakes to stderr.
func parseFlags(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	flags.SetOutput(stderr)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return errUsage
	}
	return nil
}

// newLog returns a logger that writes the time of day and the message.
func newLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.TimeKey:
			return slog.String("", a.Value.Time().Format("15:04:05"))
		case slog.LevelKey:
			return slog.Attr{}
		}
		return a
	}}))
}

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

func runList(_ context.Context, _ []string, stdout, _ io.Writer) (int, error) {
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
