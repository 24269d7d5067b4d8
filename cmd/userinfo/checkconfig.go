package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"userinfo/access"
	"userinfo/internal/config"
)

func checkConfigCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check-config --config FILE [--as WHO --may GRANT [--key-file FILE]]",
		Short: "Check a configuration, and show who may do what",
		Long: `Check-config reads a configuration and every file that it names. It prints every mistake with its line, or, if there is
none, a table of what each client may do. Files are checked once the configuration itself has no mistakes. Check-config
does not connect to Cassandra. Run it as the service's user: it accepts secret files as that user's service would.

With --as and --may it prints whether one request would be allowed, and exits with 0 if so and 1 if not. The decision is
made by the functions that the service uses.`,
		Example: `  userinfo check-config --config userinfo.yaml
  userinfo check-config --config userinfo.yaml --as certificate=wiki.crt --may sessions:get --key-file key
  userinfo check-config --config userinfo.yaml --as token=token,address=10.1.2.3 --may metrics:get`,
		Args: cobra.NoArgs,
	}
	file := addConfigFlag(c)
	as := c.Flags().String("as", "", "credentials of the request: `WHO` is one or more of certificate=FILE, token=FILE, signature=KEYID and address=IP, separated by commas")
	may := c.Flags().String("may", "", "permission that the request needs: a `GRANT` such as sessions:get, or health:get")
	keyFile := c.Flags().String("key-file", "", "`FILE` with the session key of the request, for a grant on a collection; - is standard input")
	c.MarkFlagsRequiredTogether("as", "may")
	cobra.CheckErr(c.MarkFlagFilename("key-file"))
	c.RunE = func(c *cobra.Command, _ []string) error {
		o, err := openConfig(*file)
		if err != nil {
			return err
		}
		policy := o.Snapshot.Rules.Policy
		if *as == "" {
			if *keyFile != "" {
				return errors.New("--key-file needs --as and --may")
			}
			warnOfMemory(c.ErrOrStderr(), o)
			for _, w := range o.Warnings() {
				fmt.Fprintf(c.ErrOrStderr(), "warning: %s\n", w)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is right; collections: %d, clients: %d\n", o.Name, len(o.Collections), len(o.Clients))
			fmt.Fprintf(c.OutOrStdout(), "authorities: %s\n\n", strings.Join(o.Snapshot.Rules.Authorities.Texts(), ", "))
			return failed(printPermissions(c.OutOrStdout(), policy))
		}
		q, err := newQuestion(*as, *may, *keyFile, o.Snapshot.Server)
		if err != nil {
			return err
		}
		if err := q.checkGrant(policy); err != nil {
			return err
		}
		if !q.answer(policy, c.OutOrStdout()) {
			return failed(errSilent)
		}
		return nil
	}
	return c
}

// warnOfMemory says if the memory limit that holds for this process is too small for the values in flight.
func warnOfMemory(w io.Writer, o *config.Opened) {
	limit, err := setMemoryLimit()
	if err != nil {
		limit = 0 // the service will log why
	}
	if text := o.ByteLimits(limit).TooSmall; text != "" {
		fmt.Fprintf(w, "warning: %s: %s\n", o.Name, text)
	}
}

// configError is an error in the configuration. Its text has the name of the file and the line.
type configError struct{ error }

// loadConfig reads a configuration, without the files that it names.
func loadConfig(name string) (*config.File, error) {
	f, err := config.Load(name)
	if err != nil {
		return nil, configError{err}
	}
	return f, nil
}

// openConfig reads a configuration and the files that it names.
func openConfig(name string) (*config.Opened, error) {
	f, err := loadConfig(name)
	if err != nil {
		return nil, configError{fmt.Errorf("%w\n%s: the files that it names are checked once these mistakes are corrected", err, name)}
	}
	o, err := f.Open(time.Now)
	if err != nil {
		return nil, configError{err}
	}
	return o, nil
}

// printPermissions prints a table of who may do what.
func printPermissions(w io.Writer, p *access.Policy) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CLIENT\tAUDIENCE\tMAY\tWITH\tKEYS")
	for _, one := range p.Permissions() {
		var actions []string
		for _, a := range one.Actions {
			actions = append(actions, string(a))
		}
		with := strings.Join(one.Alternatives, ", or ")
		if with == "" {
			with = "never: the audience does not let it in"
		}
		keys := cmp.Or(strings.Join(one.Keys, " "), "-")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", one.Client, one.Audience, strings.Join(actions, " "), with, keys)
	}
	return table.Flush()
}
