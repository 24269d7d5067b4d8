package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"userinfo/access"
	"userinfo/access/forwarded"
	"userinfo/access/signature"
	"userinfo/internal/field"
	"userinfo/internal/keyfile"
	"userinfo/tlsconf"
)

// Proxies are those whose word on who their clients are is believed. All of it is read again when the file changes.
type Proxies struct {
	// ProxyProtocol lists the networks of proxies that pass TLS through and begin each connection with a PROXY protocol
	// header, of version 1 or 2. From elsewhere such a header is not understood.
	ProxyProtocol []tlsconf.ProxySource `yaml:"proxy_protocol"`
	// Certificates are names of the certificates of proxies that end TLS, as for clients. Their requests are those of the
	// clients whose certificates they forward (RFC 9440), or of nobody.
	Certificates []access.CertificateName `yaml:"certificates"`
	// ClientDN is a weaker way than RFC 9440, off by default.
	ClientDN ClientDN `yaml:"client_dn"`
}

// ClientDN is for proxies that forward no more of a client's certificate than its distinguished name: they can be any
// client.
type ClientDN struct {
	// Field is the name of the header, such as X-Client-Dn.
	Field string `yaml:"field"`
	// CA is the one of tls.client_cas that the proxies ask certificates of. Required; tls.client_ca is called client_ca.
	CA string `yaml:"ca"`
}

// Signatures are about requests that are signed (RFC 9421).
type Signatures struct {
	// Window is how far a signature's time may be from the service's, on either side; whole seconds, default 60s.
	Window time.Duration `yaml:"window"`
	// Nonces is how many are remembered for each key, of about 70 bytes; default 1048576. A key's requests beyond it within
	// two windows are answered 429.
	Nonces int `yaml:"nonces"`
}

func (s Signatures) validate() error {
	var errs []error
	if s.Window < time.Second || s.Window > 10*time.Minute || s.Window%time.Second != 0 {
		errs = append(errs, field.Errorf("signatures.window", "must be whole seconds, from 1s to 10m"))
	}
	if s.Nonces < 1 {
		errs = append(errs, field.Errorf("signatures.nonces", "must be at least 1"))
	}
	return errors.Join(errs...)
}

// validate checks what access does not.
func (p Proxies) validate() error {
	var errs []error
	if _, err := tlsconf.NewProxies(p.ProxyProtocol); err != nil {
		errs = append(errs, underList("proxies.proxy_protocol", err))
	}
	if _, err := forwarded.NewRules(nil, p.ClientDN.Field); err != nil {
		errs = append(errs, &field.Error{Path: "proxies.client_dn.field", Err: err})
	}
	switch {
	case p.ClientDN.Field == "" && p.ClientDN.CA != "":
		errs = append(errs, field.Errorf("proxies.client_dn.field", "missing: the name of the header, such as X-Client-Dn"))
	case p.ClientDN.Field != "" && len(p.Certificates) == 0:
		errs = append(errs, field.Errorf("proxies.certificates", "missing: without it there is no proxy to believe proxies.client_dn from"))
	case p.ClientDN.Field != "" && p.ClientDN.CA == "":
		errs = append(errs, field.Errorf("proxies.client_dn.ca", "missing: the CA that the proxies ask certificates of, client_ca or one of tls.client_cas"))
	}
	return errors.Join(errs...)
}

// underList is under for an error whose field begins with [N].
func underList(path string, err error) error {
	if e, ok := errors.AsType[*tlsconf.FieldError](err); ok {
		return &field.Error{Path: path + e.Field, Err: e.Err}
	}
	return &field.Error{Path: path, Err: err}
}

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

func newFront(p Proxies) (*front, error) {
	proxies, err := tlsconf.NewProxies(p.ProxyProtocol)
	if err != nil {
		return nil, underList("proxies.proxy_protocol", err)
	}
	return &front{proxies: proxies, dnField: p.ClientDN.Field}, nil
}
