package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"userinfo/access"
	"userinfo/internal/keyfile"
)

func auditHashCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit-hash --key-file FILE",
		Short: "Print the hash of a session key in audit records",
		Long: `Audit-hash reads a session key from standard input and prints the hash that audit records, and the list of rewritten keys, contain
for it, so that the records of a session can be found. A line end after the session key is ignored.`,
		Example: `  printf %s "$SESSION_KEY" | userinfo audit-hash --key-file audit.key`,
		Args:    cobra.NoArgs,
	}
	file := c.Flags().String("key-file", "", "`FILE` of the audit key (required)")
	cobra.CheckErr(errors.Join(c.MarkFlagRequired("key-file"), c.MarkFlagFilename("key-file")))
	c.RunE = func(c *cobra.Command, _ []string) error {
		k, err := keyfile.Read(*file, access.ParseAuditKey)
		if err != nil {
			return fmt.Errorf("--key-file: %w", err)
		}
		session, err := readSessionKey("-")
		if err != nil {
			return fmt.Errorf("standard input %w", err)
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), k.Hash(session))
		return failed(err)
	}
	return c
}

// readSessionKey returns the session key in a secret file, or on standard input if name is "-". Its errors do not contain the
// name of the file, which may be the session key itself in the wrong place.
func readSessionKey(name string) (access.Key, error) {
	if name != "-" {
		return keyfile.Read(name, parseSessionKey)
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", keyfile.WithoutName(err))
	}
	return parseSessionKey(text)
}

// parseSessionKey returns a session key without the line end.
func parseSessionKey(text []byte) (access.Key, error) {
	key := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if key == "" {
		return "", errors.New("holds no session key")
	}
	return access.Key(key), nil
}
