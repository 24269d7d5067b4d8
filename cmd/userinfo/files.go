package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"userinfo/access"
	"userinfo/internal/config"
	"userinfo/internal/field"
	"userinfo/internal/keyfile"
	"userinfo/store/cassandra"
	"userinfo/store/seal"
	"userinfo/tlsconf"
)

// driverTimeout bounds one statement: longer than Cassandra's write timeout (2 s), so that its answer is heard,
// and short enough to leave the rest of api.RequestTimeout for deleting at least here.
const driverTimeout = 2300 * time.Millisecond

// files is what the configuration points to.
type files struct {
	server    atomic.Pointer[tlsconf.Server]
	cassandra atomic.Pointer[tlsconf.Client] // nil without Cassandra
	password  string
	keys      atomic.Pointer[seal.Keys] // nil where nothing is sealed
	signers   signers                   // of the configuration at the start
	audit     atomic.Pointer[access.AuditKey]
}

// auditKey is the one in force; the zero key where there is none.
func (f *files) auditKey() access.AuditKey {
	if k := f.audit.Load(); k != nil {
		return *k
	}
	return access.AuditKey{}
}

// openAudit reads the audit key again.
func (f *files) openAudit(a config.Audit) (changed bool, err error) {
	k, err := keyfile.Read(a.KeyFile, access.ParseAuditKey)
	if err != nil {
		return false, &field.Error{Path: "audit.key_file", Err: err}
	}
	changed = k != f.auditKey()
	f.audit.Store(&k)
	return changed, nil
}

// openFiles reads all files that c names. Its errors are field.Error.
func openFiles(c *config.Config, withCassandra bool) (*files, error) {
	var f files
	var errs []error
	server, err := tlsconf.LoadServer(c.TLS, time.Now)
	if err != nil {
		errs = append(errs, under("tls", err))
	}
	f.server.Store(server)
	if withCassandra {
		cassandra, err := tlsconf.LoadClient(c.Cassandra.TLS, time.Now)
		if err != nil {
			errs = append(errs, under("cassandra.tls", err))
		}
		f.cassandra.Store(cassandra)
		if f.password, err = readPassword(c.Cassandra.PasswordFile); err != nil {
			errs = append(errs, &field.Error{Path: "cassandra.password_file", Err: err})
		}
		if c.Seal.IndexKey != "" {
			keys, err := openSealKeys(c.Seal)
			if err != nil {
				errs = append(errs, err)
			}
			f.keys.Store(keys)
		}
	}
	if f.signers, err = readSigners(c.Clients); err != nil {
		errs = append(errs, err)
	}
	if c.Audit.KeyFile != "" {
		if _, err := f.openAudit(c.Audit); err != nil {
			errs = append(errs, err)
		}
	}
	return &f, errors.Join(errs...)
}

// reloadServer loads the listener's TLS files again if they have changed.
func (f *files) reloadServer(c tlsconf.ServerFiles) (changed bool, err error) {
	if changed, err = f.server.Load().Changed(); !changed {
		return false, err
	}
	next, err := tlsconf.LoadServer(c, time.Now)
	if err != nil {
		return false, err
	}
	f.server.Store(next)
	return true, nil
}

// reloadCassandra loads the TLS files of connections to Cassandra again if they have changed.
func (f *files) reloadCassandra(c tlsconf.ClientFiles) (changed bool, err error) {
	if changed, err = f.cassandra.Load().Changed(); !changed {
		return false, err
	}
	next, err := tlsconf.LoadClient(c, time.Now)
	if err != nil {
		return false, err
	}
	f.cassandra.Store(next)
	return true, nil
}

// under makes a tlsconf error, or a tree of them, one of the configuration's.
func under(path string, err error) error {
	if tree, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range tree.Unwrap() {
			errs = append(errs, under(path, e))
		}
		return errors.Join(errs...)
	}
	if e, ok := errors.AsType[*tlsconf.FieldError](err); ok {
		return &field.Error{Path: path + "." + e.Field, Err: e.Err}
	}
	return &field.Error{Path: path, Err: err}
}

// readPassword reads a file that holds a password and, perhaps, a line end. It fails closed: an empty one is an error.
// Errors do not name the file, which may be the password itself in the wrong place.
func readPassword(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w; name a file that holds the password, never the password itself", keyfile.Unnamed(err))
	}
	text = bytes.TrimRight(text, "\r\n")
	if len(text) == 0 {
		return "", errors.New("the file is empty; put the password into it")
	}
	return string(text), nil
}

func (f *files) cassandraConfig(c config.Cassandra) cassandra.Config {
	return cassandra.Config{
		Hosts:           c.Hosts,
		Port:            c.Port,
		Keyspace:        c.Keyspace,
		LocalDatacentre: c.LocalDatacentre,
		Username:        c.Username,
		Password:        f.password,
		TLS:             func() *tls.Config { return f.cassandra.Load().Config() },
		Timeout:         driverTimeout,
	}
}
