package config

import (
	"errors"
	"net"
	"strings"
	"time"

	"userinfo/internal/field"
)

// validate returns every mistake in c that can be found without opening another file. Each error is a *field.Error. Defaults
// must have been applied.
func (c *Config) validate() error {
	errs := []error{
		c.validateListen(), c.validateAuthorities(), c.validateLogLevel(), c.validateFileNames(), c.Cassandra.validate(), c.validateLimits(), c.Shutdown.validate(),
		c.Signatures.validate(), c.Audit.validate(), c.Tracing.validate(), c.Proxies.validate(), c.validateCollections(), c.validateSeal(), c.validatePasswords(),
	}
	_, err := c.Policy(time.Now)
	return errors.Join(append(errs, err)...)
}

// validateSchema checks the replication and the keyspace. It assumes that validate has found no mistake.
func (c *Config) validateSchema() error {
	if err := c.SchemaSpec().Validate(); err != nil {
		return &field.Error{Path: "cassandra", Err: err}
	}
	return nil
}

func (c *Config) validateListen() error {
	if host, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" || strings.Contains(host, "/") {
		return field.Errorf("listen", "give host:port, such as 0.0.0.0:8443")
	}
	return nil
}

func (c *Config) validateLogLevel() error {
	if _, ok := levels[c.LogLevel]; !ok {
		return field.Errorf("log_level", "must be debug, info, warn or error")
	}
	return nil
}
