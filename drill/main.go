// Command drill breaks an installation of UserInfo while clients use it, and says with evidence whether any promise was
// broken.
//
//	schedule (load) ─▶ instances in two datacentres ─▶ history ─▶ judge ─▶ report
//	                    ▲ faults (testcluster, fleet)
//
// The installation is one of its own, made for the occasion from the source as it is: six Cassandra nodes in containers and
// four processes of the service, all on this machine. `drill watch` has another's installation instead, which its operators
// break with their own hands.
//
// It does not test what it cannot see: replicas of another's installation, or a promise that only holds for longer than
// a drill lasts.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes.
const (
	exitOK     = 0
	exitBroken = 1 // a promise was broken, or a mutant survived
	exitUsage  = 2
	exitFailed = 3 // the drill could not be held
)

// command is one of the program's verbs. It returns an exit code.
type command struct {
	name, usage string
	run         func(ctx context.Context, args []string, stdout, stderr io.Writer) int
}

func commands() []command {
	return []command{
		{"list", "                      the faults and mutants there are", list},
		{"faults", "[flags] [NAME ...]     each fault alone, all of them where none is named", runFaults},
		{"mix", "[flags]                faults at random, for a while", runMix},
		{"mutants", "[flags] [NAME ...]     planted bugs, each of which must be caught", runMutants},
		{"watch", "[flags]                another installation, while its operators break it", runWatch},
		{"judge", "[-out DIR] FILE ...    histories that were kept, once more", runJudge},
		{"report", "[-out DIR] DIR ...      one report of the results in several directories", runReport},
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	if isHelp(args[0]) {
		usage(stdout)
		return exitOK
	}
	for _, c := range commands() {
		switch {
		case c.name != args[0]:
		case isHelp(args[len(args)-1]):
			c.run(ctx, args[1:], stdout, stdout)
			return exitOK
		default:
			return c.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "drill: there is no command %q\n", args[0])
	usage(stderr)
	return exitUsage
}

func isHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: drill COMMAND; -h after a command explains its flags")
	for _, c := range commands() {
		fmt.Fprintf(w, "  drill %-8s%s\n", c.name, c.usage)
	}
}

// parse reads a command's flags. Whatever is wrong has been said when ok is false.
func parse(flags *flag.FlagSet, args []string, stderr io.Writer) (ok bool) {
	flags.SetOutput(stderr)
	return flags.Parse(args) == nil
}

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

func list(_ context.Context, _ []string, stdout, _ io.Writer) int {
	fmt.Fprintln(stdout, "faults:")
	for _, f := range faults() {
		fmt.Fprintf(stdout, "  %-24s %s\n", f.name, f.what)
	}
	fmt.Fprintln(stdout, "mutants:")
	for _, m := range mutants() {
		fmt.Fprintf(stdout, "  %-24s %s (under %s, to be caught by %s)\n", m.name, m.what, m.fault, m.must)
	}
	return exitOK
}
