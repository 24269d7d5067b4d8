package config

import (
	"userinfo/access"
	"userinfo/internal/field"
	"userinfo/tlsconf"
)

// validateAuthorities checks the list, if there is one.
func (c *Config) validateAuthorities() error {
	if c.Authorities != nil && len(c.Authorities) == 0 {
		return field.Errorf("authorities", "empty, so that every request would be refused; list the names under which clients reach the service, or remove the line")
	}
	_, err := access.ParseAuthorities("authorities", c.Authorities)
	return err
}

// authorities returns the configured authorities or, without any, those in the server's certificate. It fails closed: there
// must be at least one. Each error is a *field.Error.
func (c *Config) authorities(server *tlsconf.Server) (access.Authorities, error) {
	if len(c.Authorities) > 0 {
		return access.ParseAuthorities("authorities", c.Authorities)
	}
	all := access.CertificateAuthorities(server.Certificate())
	if len(all.Texts()) == 0 {
		return all, field.Errorf("authorities", "missing, and the server's certificate has no DNS name and no IP address; list the names under which clients reach the service")
	}
	return all, nil
}
