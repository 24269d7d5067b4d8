package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"userinfo/schema"
	"userinfo/store/cassandra"
)

// schemaCommand shows, makes or verifies the schema of a configuration.
func schemaCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	verbs := map[string]func(context.Context, schema.DB, schema.Spec, io.Writer, io.Writer) int{"apply": schemaApply, "check": schemaCheck}
	if len(args) == 0 || (args[0] != "print" && verbs[args[0]] == nil) {
		fmt.Fprintln(stderr, "usage: userinfo schema print|apply|check --config FILE")
		return exitUsage
	}
	if args[0] == "print" { // for whoever runs it by hand, perhaps on a machine without the files
		c, ok := configuredAlone("schema print", args[1:], stderr)
		if !ok {
			return exitUsage
		}
		return schemaPrint(c.SchemaSpec(), stdout, stderr)
	}
	c, f, ok := configured("schema "+args[0], args[1:], stderr)
	if !ok {
		return exitUsage
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	db, err := cassandra.OpenAdmin(ctx, f.cassandraConfig(c.Cassandra), log)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	defer db.Close()
	return verbs[args[0]](ctx, db, c.SchemaSpec(), stdout, stderr)
}

func schemaPrint(s schema.Spec, stdout, stderr io.Writer) int {
	text, err := schema.Print(s)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	fmt.Fprint(stdout, text)
	return exitOK
}

func schemaApply(ctx context.Context, db schema.DB, s schema.Spec, stdout, stderr io.Writer) int {
	if err := schema.Apply(ctx, db, s, slog.New(slog.NewTextHandler(stdout, nil))); err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	fmt.Fprintln(stdout, "the schema is as the configuration wants it")
	return exitOK
}

func schemaCheck(ctx context.Context, db schema.DB, s schema.Spec, stdout, stderr io.Writer) int {
	differences, err := schema.Check(ctx, db, s)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	for _, d := range differences {
		fmt.Fprintln(stdout, d)
	}
	if len(differences) > 0 {
		return exitFailed
	}
	fmt.Fprintln(stdout, "the schema is as the configuration wants it")
	return exitOK
}
