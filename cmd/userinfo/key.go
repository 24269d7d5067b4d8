package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/config"
	"userinfo/internal/field"
	"userinfo/internal/keyfile"
	"userinfo/store/seal"
	"userinfo/tlsconf"
)

// key makes a key. It is on stdout alone, for a file.
func key(_ context.Context, args []string, stdout, stderr io.Writer) int {
	text, err := "", error(nil)
	switch {
	case len(args) == 2 && args[0] == "new" && args[1] == "seal":
		var k seal.SealKey
		k, err = seal.NewSealKey(rand.Reader)
		text = k.Text()
	case len(args) == 2 && args[0] == "new" && args[1] == "index":
		var k seal.IndexKey
		k, err = seal.NewIndexKey(rand.Reader)
		text = k.Text()
	case len(args) == 2 && args[0] == "new" && args[1] == "audit":
		var k access.AuditKey
		k, err = access.NewAuditKey(rand.Reader)
		text = k.Text()
	case len(args) == 2 && args[0] == "new" && args[1] == "ticket":
		var k tlsconf.TicketKey
		k, err = tlsconf.NewTicketKey(rand.Reader)
		text = k.Text()
	case len(args) == 2 && args[0] == "new" && args[1] == "signature":
		var s signature.Secret
		s, err = signature.NewSecret(rand.Reader)
		text = s.Text()
	default:
		fmt.Fprintln(stderr, "usage: (umask 077; userinfo key new seal|index|signature|audit|ticket >FILE)")
		return exitUsage
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	fmt.Fprintln(stdout, text)
	return exitOK
}

// auditHash prints what audit records call a session key, so that they can be searched for it.
func auditHash(_ context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("audit-hash", flag.ContinueOnError)
	file := flags.String("key-file", "", "the `FILE` of the audit key (required)")
	if !parseFlags(flags, args, stderr) {
		return exitUsage
	}
	k, err := keyfile.Read(*file, access.ParseAuditKey)
	if err != nil {
		fmt.Fprintln(stderr, "userinfo audit-hash: --key-file:", err)
		return exitUsage
	}
	session, err := readKeyText("-")
	if err != nil {
		fmt.Fprintln(stderr, "userinfo audit-hash: standard input", err)
		return exitUsage
	}
	fmt.Fprintln(stdout, k.Hash(session))
	return exitOK
}

// newKeys makes keys that nobody keeps.
func newKeys() (*seal.Keys, error) {
	index, err := seal.NewIndexKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	first, err := seal.NewSealKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return seal.NewKeys(index, []seal.SealKey{first})
}

// read reads all key files. Its errors are field.Error.
func readSealKeys(s config.Seal) (index seal.IndexKey, seals []seal.SealKey, err error) {
	var errs []error
	index, err = keyfile.Read(s.IndexKey, seal.ParseIndexKey)
	if err != nil {
		errs = append(errs, &field.Error{Path: "seal.index_key", Err: err})
	}
	for i, file := range s.Keys {
		k, err := keyfile.Read(file, seal.ParseSealKey)
		if err != nil {
			errs = append(errs, &field.Error{Path: fmt.Sprintf("seal.keys[%d]", i), Err: err})
		}
		seals = append(seals, k)
	}
	return index, seals, errors.Join(errs...)
}

// open makes Keys of what the files hold.
func openSealKeys(s config.Seal) (*seal.Keys, error) {
	index, seals, err := readSealKeys(s)
	if err != nil {
		return nil, err
	}
	k, err := seal.NewKeys(index, seals)
	if err != nil {
		return nil, &field.Error{Path: "seal", Err: err}
	}
	return k, nil
}
