package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"runtime/debug"

	"userinfo/access"
)

// token makes a bearer token. It is shown here once and kept nowhere.
func token(_ context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) != 1 || args[0] != "new" {
		fmt.Fprintln(stderr, "usage: userinfo token new")
		return exitUsage
	}
	t, err := access.NewToken(rand.Reader)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	fmt.Fprintf(stdout, "# for the client, as Authorization: Bearer ...; it is shown only now\n%s\n# for the configuration\n- sha256: %s\n", string(t), t.HashText())
	return exitOK
}

func version(_ context.Context, _ []string, stdout, _ io.Writer) int {
	fmt.Fprintln(stdout, "userinfo", versionText())
	return exitOK
}

// versionText is what Go's build recorded: a module version, or the commit.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = " " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			commit += " (modified)"
		}
	}
	return info.Main.Version + commit
}
