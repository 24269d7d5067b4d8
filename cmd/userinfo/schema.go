package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"userinfo/internal/config"
	"userinfo/schema"
	"userinfo/store/cassandra"
)

func schemaCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "schema",
		Short: "Print, apply or check the schema in Cassandra",
		Long:  "Schema prints, applies or checks the keyspace and tables that a configuration needs.",
	}, schemaPrintCommand(), schemaApplyCommand(), schemaCheckCommand())
}

func schemaPrintCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "print --config FILE [--roles [--role NAME]]",
		Short: "Print the CQL that creates the schema",
		Long: `Print prints the CQL that creates the keyspace and the tables, to read or to run by hand. It does not connect to Cassandra
and does not read the files that the configuration names.

With --roles it prints the CQL that creates a role for the service and a role for schema apply instead, without passwords, with
the grants that each needs. A superuser runs it, after the keyspace and the tables have been created.`,
		Example: `  userinfo schema print --config userinfo.yaml >schema.cql
  userinfo schema print --config userinfo.yaml --roles >roles.cql`,
		Args: cobra.NoArgs,
	}
	file := addConfigFlag(c)
	roles := c.Flags().Bool("roles", false, "print the roles and their grants")
	role := c.Flags().String("role", "", "`NAME` of the service's role; the other role is called NAME_admin (default: cassandra.username of the configuration)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		f, err := loadConfig(*file)
		if err != nil {
			return err
		}
		text, err := schemaText(f, *roles, *role)
		if err != nil {
			return err
		}
		_, err = io.WriteString(c.OutOrStdout(), text)
		return failed(err)
	}
	return c
}

// schemaText returns the schema, or the roles.
func schemaText(f *config.File, roles bool, role string) (string, error) {
	switch {
	case !roles && role != "":
		return "", errors.New("--role needs --roles")
	case !roles:
		return schema.Print(f.SchemaSpec())
	case role == "" && f.Cassandra.Username == "":
		return "", errors.New("the name of the role is in cassandra.username_file, which this command does not read; give it with --role")
	}
	return schema.Roles(f.SchemaSpec(), cmp.Or(role, f.Cassandra.Username))
}

func schemaApplyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "apply --config FILE",
		Short: "Create what is missing in Cassandra",
		Long: `Apply creates the keyspace, the tables and the columns that are missing, and raises gc_grace_seconds where it is too low.
It drops nothing. If a difference remains that only an operator can remove, it changes nothing. It prints warnings.

After each statement it waits until all nodes that are up have the change, at most a minute. It also waits for nodes that
are down, but only once and for some seconds. At the end it names them: they get the schema when they return. You can stop
the command and run it again: it continues.`,
		Args: cobra.NoArgs,
	}
	file := addConfigFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return withAdmin(c, *file, func(ctx context.Context, db schema.DB, s schema.Spec) error {
			return schema.Apply(ctx, db, s, newProgress(c.OutOrStdout()).tell)
		})
	}
	return c
}

func schemaCheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Compare Cassandra with the configuration",
		Long: `Check prints every difference between the schema in Cassandra and the configuration. It also prints warnings, which do not
keep the service from serving: for example roles with too few replicas, limits below max_value_bytes, and a table of an
earlier version. It exits with 1 if it finds any difference or warning.`,
		Args: cobra.NoArgs,
	}
	file := addConfigFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return withAdmin(c, *file, func(ctx context.Context, db schema.DB, s schema.Spec) error {
			differences, err := schema.Check(ctx, db, s)
			if err != nil {
				return err
			}
			for _, d := range differences {
				if d.Warning {
					fmt.Fprint(c.OutOrStdout(), "warning: ")
				}
				fmt.Fprintln(c.OutOrStdout(), d)
			}
			if len(differences) > 0 {
				return errSilent
			}
			return nil
		})
	}
	return c
}

// withAdmin calls use with a connection to Cassandra, and prints that the schema is right if use succeeds.
func withAdmin(c *cobra.Command, file string, use func(context.Context, schema.DB, schema.Spec) error) (err error) {
	o, err := openConfig(file)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
	current := func() *config.Snapshot { return o.Snapshot }
	db, err := cassandra.OpenAdmin(c.Context(), cassandraConfig(o, current), log)
	if err != nil {
		return failed(err)
	}
	defer db.Close()
	if err := use(c.Context(), db, o.SchemaSpec()); err != nil {
		return failed(err)
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), "the schema is what the configuration needs")
	return failed(err)
}
