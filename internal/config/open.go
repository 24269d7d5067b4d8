package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/internal/field"
	"userinfo/internal/keyfile"
	"userinfo/store/seal"
	"userinfo/tlsconf"
)

// Opened is a configuration and the content of every file that it names.
type Opened struct {
	*File
	// Snapshot is what the files contained when they were opened.
	Snapshot *Snapshot
	// CollectorTLS verifies the collector of traces. nil: tracing is off.
	CollectorTLS *tls.Config
	parts        parts
}

// Open reads every file that the configuration names. Its error joins one *Mistake for each mistake, with the line that
// names the file. now is the clock by which certificates expire. Without cassandra.hosts, Open does not open the files of
// Cassandra. Only `userinfo dev` has such a configuration: Load rejects it.
func (f *File) Open(now func() time.Time) (*Opened, error) {
	o := &Opened{File: f}
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	var err error
	o.parts.clients, err = newClientRules(f.Config, now)
	add(err)
	o.parts.server, err = tlsconf.LoadServer(f.TLS, now)
	add(fieldErrors("tls", err))
	if err == nil {
		o.parts.authorities, err = f.authorities(o.parts.server)
		add(err)
	}
	if len(f.Cassandra.Hosts) > 0 {
		o.parts.cassandra, err = tlsconf.LoadClient(f.Cassandra.TLS, now)
		add(fieldErrors("cassandra.tls", err))
		_, password, err := f.Cassandra.Credentials()
		clear(password)
		add(err)
	}
	if f.Seal.isSet() {
		o.parts.sealKeys, err = openSealKeys("seal", f.Seal, nil)
		add(err)
	}
	if f.Passwords != nil {
		o.parts.passwordKeys, err = openSealKeys("passwords.seal", f.Passwords.Seal, nil)
		add(err)
	}
	o.parts.signatureKeys, err = readSignatureKeys(f.Clients)
	add(err)
	o.parts.auditKey, err = readAuditKey(f.Audit)
	add(err)
	add(f.Audit.checkFile())
	o.CollectorTLS, err = f.Tracing.open(now)
	add(err)
	if err := errors.Join(errs...); err != nil {
		return nil, f.Locate(err)
	}
	if o.Snapshot, err = o.parts.snapshot(); err != nil {
		return nil, f.Locate(err)
	}
	return o, nil
}

// fieldErrors returns an error of tlsconf, or a tree of them, as *field.Error with paths below path.
func fieldErrors(path string, err error) error {
	if err == nil {
		return nil
	}
	if tree, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range tree.Unwrap() {
			errs = append(errs, fieldErrors(path, e))
		}
		return errors.Join(errs...)
	}
	if e, ok := errors.AsType[*tlsconf.FieldError](err); ok {
		return &field.Error{Path: path + "." + e.Field, Err: e.Err}
	}
	return &field.Error{Path: path, Err: err}
}

// readKey returns the key in a file, for the field at path.
func readKey[K any](path, name string, read func(string, func([]byte) (K, error)) (K, error), parse func([]byte) (K, error)) (K, error) {
	k, err := read(name, parse)
	if err != nil {
		return k, &field.Error{Path: path, Err: err}
	}
	return k, nil
}

// readAuditKey returns the audit key, or the zero key if no file is configured.
func readAuditKey(a Audit) (access.AuditKey, error) {
	if a.KeyFile == "" {
		return access.AuditKey{}, nil
	}
	return readKey("audit.key_file", a.KeyFile, keyfile.Read, access.ParseAuditKey)
}

// openSealKeys returns the keys in the files of the setting at path. With former keys, it returns those that follow them in
// a rotation: former itself if nothing has changed, and an error if the index key has changed.
func openSealKeys(path string, s Seal, former *seal.Keys) (*seal.Keys, error) {
	var errs []error
	index, err := readKey(path+".index_key", s.IndexKey, keyfile.Read, seal.ParseIndexKey)
	errs = append(errs, err)
	var keys []seal.SealKey
	for i, name := range s.Keys {
		k, err := readKey(fmt.Sprintf("%s.keys[%d]", path, i), name, keyfile.Read, seal.ParseSealKey)
		keys, errs = append(keys, k), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	combine := seal.NewKeys
	if former != nil {
		combine = former.Replace
	}
	all, err := combine(index, keys)
	if err != nil {
		return nil, &field.Error{Path: path, Err: err}
	}
	return all, nil
}

// signatureKeyFiles returns the names of the files of all signature keys.
func signatureKeyFiles(clients []access.Client) (names []string) {
	for _, c := range clients {
		for _, k := range c.SignatureKeys {
			names = append(names, k.File)
		}
	}
	return names
}

// readSignatureKeys returns the signature keys of all clients by key id. It fails closed: two clients must not have the same
// key, because each could then sign as the other.
func readSignatureKeys(clients []access.Client) (map[string]signature.Key, error) {
	all, owner := make(map[string]signature.Key), make(map[string]string)
	var errs []error
	for i, c := range clients {
		for j, k := range c.SignatureKeys {
			path := fmt.Sprintf("clients[%d].signature_keys[%d].file", i, j)
			key, err := readKey(path, k.File, keyfile.ReadSecretOrPublic, func(text []byte) (signature.Key, error) {
				return signature.ParseKey(k.ID, text)
			})
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for id, other := range all {
				if owner[id] != c.Name && key.SameMaterial(other) {
					errs = append(errs, field.Errorf(path, "holds the key of client %q, so each could sign as the other: make a key for each", owner[id]))
					break
				}
			}
			all[k.ID], owner[k.ID] = key, c.Name
		}
	}
	return all, errors.Join(errs...)
}
