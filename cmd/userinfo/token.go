package main

import (
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"userinfo/access"
)

func tokenCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "token",
		Short: "Make bearer tokens",
		Long:  "Token has one command: new.",
	}, &cobra.Command{
		Use:   "new",
		Short: "Make a bearer token and the hash for the configuration",
		Long: `New prints a bearer token for a client, and the lines for the client's tokens: in the configuration, which has only the
token's SHA-256. The token is shown once and stored nowhere.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := access.NewToken(rand.Reader)
			if err != nil {
				return failed(err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "# for the client, as Authorization: Bearer TOKEN; it is shown only now\n%s\n# for the configuration\n- sha256: %s\n  generated: true\n",
				string(t), t.HashText())
			return failed(err)
		},
	})
}
