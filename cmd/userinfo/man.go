//go:build man

package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommands returns the hidden command that writes manual pages. Only builds with the tag man have it, so that the
// service does not contain the libraries that format them.
func manCommands() []*cobra.Command {
	return []*cobra.Command{{
		Use:    "man DIRECTORY",
		Short:  "Write manual pages",
		Long:   "Man writes one manual page for each command into a directory.",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return failed(err)
			}
			root := c.Root()
			root.InitDefaultCompletionCmd()
			return failed(doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "userinfo", Manual: "UserInfo"}, args[0]))
		},
	}}
}
