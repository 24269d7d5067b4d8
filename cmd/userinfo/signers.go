package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/config"
	"userinfo/internal/field"
	"userinfo/internal/keyfile"
	"userinfo/tlsconf"
)

// signers are keys that verify signatures, by id.
type signers map[string]signature.Key

// readSigners reads the files of all signature keys of clients. It fails closed: two clients with one key could each sign as
// the other.
func readSigners(clients []access.Client) (signers, error) {
	all, owner := make(signers), make(map[string]string)
	var errs []error
	for i, c := range clients {
		for j, k := range c.SignatureKeys {
			key, err := readSigner(k)
			if err != nil {
				errs = append(errs, &field.Error{Path: fmt.Sprintf("clients[%d].signature_keys[%d].file", i, j), Err: err})
			}
			for id, other := range all {
				if owner[id] != c.Name && err == nil && key.SameMaterial(other) {
					errs = append(errs, field.Errorf(fmt.Sprintf("clients[%d].signature_keys[%d].file", i, j),
						"holds the key of client %q, so that each could sign as the other: make one for each", owner[id]))
					break
				}
			}
			all[k.ID], owner[k.ID] = key, c.Name
		}
	}
	return all, errors.Join(errs...)
}

// readSigner reads one. A secret is for its owner alone; a public key is not.
func readSigner(k access.SignatureKey) (signature.Key, error) {
	parse := func(text []byte) (signature.Key, error) { return signature.ParseKey(k.ID, text) }
	f, err := os.Open(k.File)
	if err != nil {
		return signature.Key{}, fmt.Errorf("cannot be opened: %w; name a file that holds the key, never the key itself", keyfile.Unnamed(err))
	}
	defer f.Close()
	begin := make([]byte, len("-----BEGIN PUBLIC KEY"))
	if n, err := io.ReadFull(f, begin); err == nil && bytes.Equal(begin[:n], []byte("-----BEGIN PUBLIC KEY")) {
		rest, err := io.ReadAll(io.LimitReader(f, keyfile.MaxBytes))
		if err != nil {
			return signature.Key{}, fmt.Errorf("cannot be read: %w", keyfile.Unnamed(err))
		}
		return parse(append(begin, rest...))
	}
	return keyfile.Read(k.File, parse)
}

// front is what the service believes of those in front of it. It never changes.
type front struct {
	proxies *tlsconf.Proxies
	dnField string
}

func newFront(p config.Proxies) (*front, error) {
	proxies, err := tlsconf.NewProxies(p.ProxyProtocol)
	if err != nil {
		return nil, err
	}
	return &front{proxies: proxies, dnField: p.ClientDN.Field}, nil
}
