package config

import (
	"errors"
	"fmt"
	"time"

	"userinfo/access"
	"userinfo/api"
	"userinfo/internal/field"
)

// Limits protect the service from its clients.
type Limits struct {
	// MaxInFlight is the largest number of requests in flight, not counting health requests. The next request is answered
	// 503. Default 1024.
	MaxInFlight int `yaml:"max_in_flight"`
	// MaxConnections is the largest number of open connections. For the next one, the longest idle one is closed: an
	// unauthenticated one, if there is one. Default 16384.
	MaxConnections int `yaml:"max_connections"`
	// MaxUnauthenticatedConnections is the largest number of connections that have brought no request of a client so far.
	// Default: half of MaxConnections.
	MaxUnauthenticatedConnections int `yaml:"max_unauthenticated_connections"`
	// MaxConnectionsPerAddress is the largest number of connections of one IPv4 address or IPv6 /64 network. Trusted proxies
	// have no such limit, but the clients behind a PROXY protocol have. Default: half of MaxConnections.
	MaxConnectionsPerAddress int `yaml:"max_connections_per_address"`
	// IdleTimeout is how long a connection stays open between two requests. A proxy that keeps connections must close them
	// earlier. From 5s to 24h. Default 75s.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// MaxBytesInFlight is the largest memory, in bytes, for values of requests in flight. A set takes api.SetCopies times the
	// size of its body, a get api.GetCopies times the size of its value. The next request is answered 503. Default: half of
	// Go's memory limit, or 1 GiB without one; see Config.ByteLimits.
	MaxBytesInFlight int `yaml:"max_bytes_in_flight"`
	// PerClient are the limits of each client that does not set its own. PerClient.MaxInFlight,
	// PerClient.MaxConnections and PerClient.MaxBytesInFlight are half of the limits above by default, so that one client
	// cannot use the whole service.
	// PerClient.BytesPerSecond is 24 MiB by default. The other limits have no default: they are off.
	PerClient access.Limits `yaml:"per_client"`
}

// Bounds of Limits.IdleTimeout. With a shorter time, clients would open a connection for nearly every request. With a longer
// time, connections of clients that have disappeared would stay open.
const (
	minIdleTimeout = 5 * time.Second
	maxIdleTimeout = 24 * time.Hour
)

// Defaults of limits in bytes.
const (
	defaultBytesInFlight  = 1 << 30  // without a memory limit
	defaultBytesPerSecond = 24 << 20 // of each client's large values
)

// ByteLimits are the limits of memory for values, after defaults.
type ByteLimits struct {
	Total, PerClient int
	// TooSmall is the reason why Total is larger than the memory limit allows; empty if it is not.
	TooSmall string
}

// ByteLimits returns the limits of memory for values of requests in flight. memory is Go's memory limit in bytes, or 0
// without a limit. A default is never so small that a client cannot set the largest value of a collection.
func (c *Config) ByteLimits(memory int64) ByteLimits {
	l := ByteLimits{Total: c.Limits.MaxBytesInFlight, PerClient: c.Limits.PerClient.MaxBytesInFlight}
	_, largest := c.largestSet()
	if l.Total == 0 {
		l.Total = defaultBytesInFlight
		if memory > 0 {
			l.Total = int(memory / 2)
		}
		l.Total = max(l.Total, 2*largest)
	}
	if l.PerClient == 0 {
		l.PerClient = min(max(l.Total/2, largest), l.Total)
	}
	if memory > 0 && int64(l.Total) > memory/2 {
		l.TooSmall = fmt.Sprintf("values in flight may take %d bytes, more than half of Go's memory limit of %d bytes: give the service more memory, or lower limits.max_bytes_in_flight or max_value_bytes",
			l.Total, memory)
	}
	return l
}

// largestSet returns the largest max_value_bytes of a collection, and the memory in bytes that a set of such a value takes.
func (c *Config) largestSet() (value, memory int) {
	for _, k := range c.Collections {
		value = max(value, int(k.MaxValueBytes))
	}
	return value, value * api.SetCopies
}

// validateBytesInFlight rejects a limit that cannot hold one largest value, or that is larger than the limit of the service.
func (c *Config) validateBytesInFlight() error {
	var errs []error
	value, least := c.largestSet()
	total := c.Limits.MaxBytesInFlight
	check := func(path string, limit int) {
		switch {
		case limit == 0 || limit < 0 && limit != total: // a default, or reported already
		case limit < least:
			errs = append(errs, field.Errorf(path, "must be at least %d, %d times the largest max_value_bytes (%d): otherwise such a value cannot be set", least, api.SetCopies, value))
		case total > 0 && limit > total:
			errs = append(errs, field.Errorf(path, "must be at most limits.max_bytes_in_flight, which is %d", total))
		}
	}
	check("limits.max_bytes_in_flight", total)
	check("limits.per_client.max_bytes_in_flight", c.Limits.PerClient.MaxBytesInFlight)
	for i, client := range c.Clients {
		check(fmt.Sprintf("clients[%d].limits.max_bytes_in_flight", i), client.Limits.MaxBytesInFlight)
	}
	return errors.Join(errs...)
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
	for name, n := range map[string]int{"max_unauthenticated_connections": c.Limits.MaxUnauthenticatedConnections,
		"max_connections_per_address": c.Limits.MaxConnectionsPerAddress} {
		if c.Limits.MaxConnections > 0 && (n < 1 || n > c.Limits.MaxConnections) {
			errs = append(errs, field.Errorf("limits."+name, "must be from 1 to limits.max_connections, which is %d", c.Limits.MaxConnections))
		}
	}
	if t := c.Limits.IdleTimeout; t < minIdleTimeout || t > maxIdleTimeout {
		errs = append(errs, field.Errorf("limits.idle_timeout", "must be from 5s to 24h"))
	}
	errs = append(errs, c.Limits.PerClient.Validate("limits.per_client"), c.validateBytesInFlight())
	total := c.Limits.MaxInFlight
	checkShare := func(path string, l access.Limits) {
		if total > 0 && l.MaxInFlight > total {
			errs = append(errs, field.Errorf(path+".max_in_flight", "must be at most limits.max_in_flight, which is %d", total))
		}
		if open := c.Limits.MaxConnections; open > 0 && l.MaxConnections > open {
			errs = append(errs, field.Errorf(path+".max_connections", "must be at most limits.max_connections, which is %d", open))
		}
	}
	checkShare("limits.per_client", c.Limits.PerClient)
	for i, client := range c.Clients {
		checkShare(fmt.Sprintf("clients[%d].limits", i), client.Limits)
	}
	return errors.Join(errs...)
}
