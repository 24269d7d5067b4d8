package config

import (
	"errors"
	"fmt"
	"time"

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
	// IdleTimeout is how long a connection stays open between two requests. A proxy that keeps connections must close them
	// earlier. From 5s to 24h. Default 75s.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// PerClient are the limits of each client that does not set its own. PerClient.MaxInFlight is half of MaxInFlight by
	// default, so that one client cannot use the whole service. The other limits have no default: they are off.
	PerClient access.Limits `yaml:"per_client"`
}

// Bounds of Limits.IdleTimeout. With a shorter time, clients would open a connection for nearly every request. With a longer
// time, connections of clients that have disappeared would stay open.
const (
	minIdleTimeout = 5 * time.Second
	maxIdleTimeout = 24 * time.Hour
)

// validateLimits also rejects a client's limit that is larger than the service's: it would limit nothing.
func (c *Config) validateLimits() error {
	var errs []error
	if c.Limits.MaxInFlight < 1 {
		errs = append(errs, field.Errorf("limits.max_in_flight", "must be at least 1"))
	}
	if c.Limits.MaxConnections < 1 {
		errs = append(errs, field.Errorf("limits.max_connections", "must be at least 1"))
	}
	if t := c.Limits.IdleTimeout; t < minIdleTimeout || t > maxIdleTimeout {
		errs = append(errs, field.Errorf("limits.idle_timeout", "must be from 5s to 24h"))
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
