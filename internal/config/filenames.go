package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"userinfo/internal/field"
)

// fileName is a field that holds the name of a file.
type fileName struct {
	path string // of the field
	name *string
}

// fileNames returns every field of the configuration that holds the name of a file.
func (c *Config) fileNames() []fileName {
	all := []fileName{
		{"tls.certificate", &c.TLS.Certificate}, {"tls.key", &c.TLS.Key}, {"tls.client_ca", &c.TLS.ClientCA},
		{"tls.denied_certificates", &c.TLS.Denied}, {"tls.session_ticket_key", &c.TLS.TicketKey},
		{"cassandra.tls.ca", &c.Cassandra.TLS.CA}, {"cassandra.tls.certificate", &c.Cassandra.TLS.Certificate},
		{"cassandra.tls.key", &c.Cassandra.TLS.Key}, {"cassandra.password_file", &c.Cassandra.PasswordFile},
		{"cassandra.username_file", &c.Cassandra.UsernameFile},
		{"seal.index_key", &c.Seal.IndexKey}, {"audit.key_file", &c.Audit.KeyFile}, {"audit.file", &c.Audit.File},
		{"tracing.ca", &c.Tracing.CA}, {"tracing.headers_file", &c.Tracing.HeadersFile},
	}
	for i := range c.TLS.ClientCAs {
		all = append(all, fileName{fmt.Sprintf("tls.client_cas[%d].file", i), &c.TLS.ClientCAs[i].File})
	}
	for i := range c.TLS.CRLs {
		all = append(all, fileName{fmt.Sprintf("tls.crls[%d]", i), &c.TLS.CRLs[i]})
	}
	for i := range c.Clients {
		for j := range c.Clients[i].SignatureKeys {
			path := fmt.Sprintf("clients[%d].signature_keys[%d].file", i, j)
			all = append(all, fileName{path, &c.Clients[i].SignatureKeys[j].File})
		}
	}
	if p := c.Passwords; p != nil {
		all = append(all, fileName{"passwords.seal.index_key", &p.Seal.IndexKey})
		for i := range p.Seal.Keys {
			all = append(all, fileName{fmt.Sprintf("passwords.seal.keys[%d]", i), &p.Seal.Keys[i]})
		}
	}
	for i := range c.Seal.Keys {
		all = append(all, fileName{fmt.Sprintf("seal.keys[%d]", i), &c.Seal.Keys[i]})
	}
	return all
}

// validateFileNames rejects file contents pasted where a file name is expected, because the error of opening such a file
// would print the secret.
func (c *Config) validateFileNames() error {
	var errs []error
	for _, f := range c.fileNames() {
		if strings.ContainsAny(*f.name, "\r\n") || strings.HasPrefix(*f.name, "-----") {
			errs = append(errs, field.Errorf(f.path, "give the name of a file, not its contents"))
		}
	}
	return errors.Join(errs...)
}

// resolveFileNames makes each relative file name relative to dir, the directory of the configuration file.
func (c *Config) resolveFileNames(dir string) {
	for _, f := range c.fileNames() {
		if *f.name != "" && !filepath.IsAbs(*f.name) {
			*f.name = filepath.Join(dir, *f.name)
		}
	}
}
