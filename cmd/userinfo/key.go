package main

import (
	"crypto/rand"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/store/seal"
	"userinfo/tlsconf"
)

// keyKind is a kind of key that `userinfo key new` makes.
type keyKind struct {
	name, purpose string
	// text returns the content of the file of a new key.
	text func(random io.Reader) (string, error)
}

var keyKinds = []keyKind{
	{"seal", "encrypts values in Cassandra (seal.keys)", newKeyText(seal.NewSealKey)},
	{"index", "hashes session keys in Cassandra; it can never be changed (seal.index_key)", newKeyText(seal.NewIndexKey)},
	{"signature", "signs requests (signature_keys of a client)", newKeyText(signature.NewSecret)},
	{"audit", "hashes session keys in audit records (audit.key_file)", newKeyText(access.NewAuditKey)},
	{"ticket", "encrypts TLS session tickets (tls.session_ticket_key)", newKeyText(tlsconf.NewTicketKey)},
}

// newKeyText returns a function that makes a key and returns its text.
func newKeyText[K interface{ Text() string }](newKey func(io.Reader) (K, error)) func(io.Reader) (string, error) {
	return func(random io.Reader) (string, error) {
		k, err := newKey(random)
		if err != nil {
			return "", err
		}
		return k.Text(), nil
	}
}

func keyCommand() *cobra.Command {
	newCommand := group(&cobra.Command{
		Use:   "new",
		Short: "Make a key of one kind",
		Long: `New prints the content of a key file. Only the service and root may have access to the file:

  (umask 077; userinfo key new KIND >FILE)`,
	})
	for _, kind := range keyKinds {
		newCommand.AddCommand(&cobra.Command{
			Use:     kind.name,
			Short:   "Make a key that " + kind.purpose,
			Long:    "Make a key that " + kind.purpose + ".",
			Example: "  (umask 077; userinfo key new " + kind.name + " >" + kind.name + ".key)",
			Args:    cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				text, err := kind.text(rand.Reader)
				if err == nil {
					_, err = fmt.Fprintln(c.OutOrStdout(), text)
				}
				return failed(err)
			},
		})
	}
	return group(&cobra.Command{
		Use:   "key",
		Short: "Make keys",
		Long:  "Key has one command: new.",
	}, newCommand)
}
