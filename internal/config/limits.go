package config

import (
	"errors"
	"fmt"

	"userinfo/access"
	"userinfo/internal/field"
)

// Limits protect the service from its clients.
type Limits struct {
	// MaxInFlight is the largest number of requests in flight, not counting health requests. The next request is answered
	// 503. Default 1024.
	MaxInFlight int `yaml:"max_in_flight"`
	// MaxConnections is the largest number of open connections. The next connection is closed at once. Default 20000.
	MaxConnections int `yaml:"max_connections"`
	// PerClient are the limits of each client that does not set its own. PerClient.MaxInFlight is half of MaxInFlight by
	// default, so that one client cannot use the whole service. The other limits have no default: they are off.
	PerClient access.Limits `yaml:"per_client"`
}

// validateLimits also rejects a client's limit that is larger than the service's: it would limit nothing.
func (c *Config) validateLimits() error {
	var errs []error
	if c.Limits.MaxInFlight < 1 {
		errs = append(errs, field.Errorf("limits.max_in_flight", "must be at least 1"))
	}
	if c.Limits.MaxConnections < 1 {
		errs = append(errs, field.Errorf("limits.max_connections", "must be at least 1"))
	}
	errs = append(errs, c.Limits.PerClient.Validate("limits.per_client"))
	total := c.Limits.MaxInFlight
	checkShare := func(path string, l access.Limits) {
		if total > 0 && l.MaxInFlight > total {
			errs = append(errs, field.Errorf(path+".max_in_flight", "must be at most limits.max_in_flight, which is %d", total))
		}
	}
	checkShare("limits.per_client", c.Limits.PerClient)
	for i, client := range c.Clients {
		checkShare(fmt.Sprintf("clients[%d].limits", i), client.Limits)
	}
	return errors.Join(errs...)
}
