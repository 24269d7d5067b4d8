// Command userinfo keeps login sessions behind a narrow TLS service. See README.md.
package main

import (
	"context"
	"fmt"
	"io"
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

// Exit codes, as those of many Unix tools.
const (
	exitOK     = 0
	exitFailed = 1 // it was tried and did not work
	exitUsage  = 2 // the command line or the configuration is wrong; nothing was tried
)

// command is one of the program's verbs. It returns an exit code.
type command struct {
	name  string
	args  string
	usage string
	run   func(ctx context.Context, args []string, stdout, stderr io.Writer) int
}

func commands() []command {
	return []command{
		{"serve", "--config FILE", "serve until SIGTERM", serve},
		{"dev", "[--listen ADDRESS] [--keep] [--debug] [--open]", "serve from memory on loopback, with everything made for the occasion", dev},
		{"check-config", "--config FILE", "say whether a configuration and its files are right, and who may do what", checkConfig},
		{"check-config", "--config FILE --as WHO --may GRANT", "say whether one request would be allowed", checkConfig},
		{"schema", "print|apply|check --config FILE", "show, make or verify the tables in Cassandra", schemaCommand},
		{"key", "new seal|index|signature|audit|ticket", "make a key: for rows, for their keys, for signing requests, for hashes in audit records, for TLS session tickets", key},
		{"sign", "--key FILE --keyid ID URL", "print the headers that sign a request, for curl -H @-", sign},
		{"audit-hash", "--key-file FILE", "print what audit records call the session key on standard input", auditHash},
		{"token", "new", "make a bearer token and the hash that the configuration takes", token},
		{"version", "", "say which version this is", version},
	}
}

// run is the whole program.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	for _, c := range commands() {
		switch {
		case c.name != args[0]:
		case isHelp(args[len(args)-1]): // which is no mistake
			c.run(ctx, args[1:], stdout, stdout)
			return exitOK
		default:
			return c.run(ctx, args[1:], stdout, stderr)
		}
	}
	switch args[0] {
	case "-version", "--version":
		return version(ctx, nil, stdout, stderr)
	case "help", "-h", "-help", "--help":
		usage(stdout)
		return exitOK
	}
	fmt.Fprintf(stderr, "userinfo: there is no command %q\n", args[0])
	usage(stderr)
	return exitUsage
}

func isHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage:")
	for _, c := range commands() {
		fmt.Fprintf(w, "  userinfo %-50s %s\n", c.name+" "+c.args, c.usage)
	}
}
