package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the command was tried and failed
	exitUsage  = 2 // the command line or the configuration is wrong; nothing was tried
)

// failure is the error of a command that was tried and failed. Every other error of a command is a mistake in the command
// line or in the configuration.
type failure struct{ error }

// errSilent is a failure that the command has already reported on its output.
var errSilent = errors.New("failed")

// failed returns err as a failure, or nil if err is nil.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(longFlags(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var f failure
	switch {
	case errors.Is(err, errSilent):
		return exitFailed
	case errors.As(err, &f):
		fmt.Fprintf(stderr, "%s: %v\n", command.CommandPath(), f.error)
		return exitFailed
	}
	var wrong configError
	if errors.As(err, &wrong) { // each of its lines begins with the name of the file
		fmt.Fprintln(stderr, wrong)
		return exitUsage
	}
	fmt.Fprintf(stderr, "%s: %v\nRun '%[1]s --help' for usage.\n", command.CommandPath(), err)
	return exitUsage
}

// longFlags accepts -config for --config, as earlier versions did. The program has no one-letter flag except -h.
func longFlags(args []string) []string {
	var all []string
	for _, arg := range args {
		if len(arg) > 2 && arg[0] == '-' && arg[1] >= 'a' && arg[1] <= 'z' {
			arg = "-" + arg
		}
		all = append(all, arg)
	}
	return all
}

// newRoot returns the command tree.
func newRoot() *cobra.Command {
	root := group(&cobra.Command{
		Use:   "userinfo",
		Short: "Stores login sessions behind a narrow TLS service",
		Long: `UserInfo stores login sessions in Apache Cassandra and serves them over HTTPS to the clients in its configuration.

Exit codes: 0 success; 1 the command was tried and failed; 2 the command line or the configuration is wrong.`,
		Example: `  userinfo dev                                     # try it: serves from memory on this machine
  userinfo check-config --config userinfo.yaml     # check a configuration
  userinfo serve --config userinfo.yaml            # serve`,
		Version:           versionText(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true, // no date in man pages
	})
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.AddCommand(serveCommand(), devCommand(), checkConfigCommand(), schemaCommand(), keyCommand(), tokenCommand(), signCommand(),
		auditHashCommand(), firewallCommand(), versionCommand())
	root.AddCommand(healthcheckCommand(), demoCertsCommand(), topCommand())
	root.AddCommand(manCommands()...)
	return root
}

// group makes c a command that only has subcommands.
func group(c *cobra.Command, subcommands ...*cobra.Command) *cobra.Command {
	c.AddCommand(subcommands...)
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		var names []string
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		if len(args) > 0 {
			return fmt.Errorf("there is no command %q; commands: %s", args[0], strings.Join(names, ", "))
		}
		return fmt.Errorf("a command is missing; commands: %s", strings.Join(names, ", "))
	}
	return c
}

// addConfigFlag adds the required flag --config to c and returns its value.
func addConfigFlag(c *cobra.Command) *string {
	file := c.Flags().String("config", "", "configuration `FILE` (required)")
	cobra.CheckErr(errors.Join(c.MarkFlagRequired("config"), c.MarkFlagFilename("config", "yaml", "yml")))
	return file
}
