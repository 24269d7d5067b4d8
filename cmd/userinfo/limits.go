package main

import (
	"errors"
	"fmt"

	"userinfo/access"
	"userinfo/internal/field"
)

// Limits protect the service from its clients.
type Limits struct {
	// MaxInFlight bounds requests being worked on; the next is answered 503. Default 1024.
	MaxInFlight int `yaml:"max_in_flight"`
	// MaxConnections bounds open connections; the next is closed at once. Default 20000.
	MaxConnections int `yaml:"max_connections"`
	// PerClient are those of each client that has none of its own; max_in_flight is half of MaxInFlight by default, so that
	// one client cannot take the place of all others. The rest is without limit by default.
	PerClient access.Limits `yaml:"per_client"`
}

func (l Limits) validate() error {
	var errs []error
	if l.MaxInFlight < 1 {
		errs = append(errs, field.Errorf("limits.max_in_flight", "must be at least 1"))
	}
	if l.MaxConnections < 1 {
		errs = append(errs, field.Errorf("limits.max_connections", "must be at least 1"))
	}
	return errors.Join(append(errs, l.PerClient.Validate("limits.per_client"))...)
}

// validateShares refuses a client's share of the requests in flight that is more than all of them: it would be no limit.
func (c *Config) validateShares() error {
	var errs []error
	all := c.Limits.MaxInFlight
	refuse := func(path string, share access.Limits) {
		if all > 0 && share.MaxInFlight > all {
			errs = append(errs, field.Errorf(path+".max_in_flight", "must be at most limits.max_in_flight, %d", all))
		}
	}
	refuse("limits.per_client", c.Limits.PerClient)
	for i, client := range c.Clients {
		refuse(fmt.Sprintf("clients[%d].limits", i), client.Limits)
	}
	return errors.Join(errs...)
}
