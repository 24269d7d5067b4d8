package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// What a release build knows of itself: version, commit, and time of the commit. `make build` sets them with flags of the linker.
var version, commit, date string

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Version prints the version, and the commit with its date that the program was built from:

  userinfo 1.2.3 (commit 0123456789abcdef0123456789abcdef01234567, 2026-11-29T08:00:00Z)

"modified" in the version or after the date means that the source had changes that are not in the commit. A program that was built
without the history of its source prints no commit.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "userinfo", versionText())
			return failed(err)
		},
	}
}

// versionText returns the version of this program and what is known of its commit.
func versionText() string {
	if version != "" {
		return describeBuild(version, commit, date)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return describeBuildInfo(info)
}

// describeBuildInfo describes a build that is no release: with the version of the module and the commit that Go recorded.
func describeBuildInfo(info *debug.BuildInfo) string {
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	date := settings["vcs.time"]
	if settings["vcs.modified"] == "true" {
		date += ", modified"
	}
	return describeBuild(info.Main.Version, settings["vcs.revision"], date)
}

func describeBuild(version, commit, date string) string {
	if commit == "" {
		return version
	}
	return fmt.Sprintf("%s (commit %s, %s)", version, commit, date)
}
