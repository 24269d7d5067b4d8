// Package config reads and checks the configuration file, opens the files that the configuration names, and keeps all
// settings that can change while the service runs in one Snapshot.
//
//	file ──Load──▶ File (Config, with the line of each field) ──Open──▶ Snapshot ◀──Reloader (every 2 s, and on SIGHUP)
//
// Invariants:
//
//  1. A configuration file with a mistake is not used at all. Load returns all mistakes of a file at once, each with its line.
//  2. A field that the program does not know is a mistake. A field without a value is a mistake, never the default.
//  3. No error contains the contents of a file, or an invalid value: somebody may have put a secret in the wrong place. An
//     error contains names of fields.
//  4. A Snapshot never changes. A reload makes another and swaps one pointer, so that no request sees half a reload.
//  5. A part that cannot be reloaded keeps its old state. The other parts are reloaded.
//
// The package does not defend against somebody who can write the configuration file: that person decides who may do what.
package config

import (
	"log/slog"
	"time"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/api"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/tlsconf"
)

// Config is the content of the configuration file: one YAML document. deploy/userinfo.yaml is an example with every field,
// deploy/minimal.yaml one with only the required fields.
//
// Durations are written 60s or 24h. A comment names the default of each field that has one; all other fields are required,
// unless their comment says what happens without them. The name of a file is absolute, or relative to the directory of
// the configuration file.
type Config struct {
	// Listen is the address to serve on, host:port. An empty host means every address of the machine.
	Listen string `yaml:"listen"`
	// TLS names the files of the service's certificate and of its clients' CAs.
	TLS tlsconf.ServerFiles `yaml:"tls"`
	// Authorities are the names under which clients reach the service: the host in the Host header or :authority. A request
	// for another host is answered 421, except for /healthz and /readyz. Signed requests need a listed port too: a name without
	// a port is good with the default port and with the port of the listener. *.wiki.example stands for each host of a domain.
	// Default: the DNS names and IP addresses in the server's certificate.
	Authorities []string `yaml:"authorities"`
	// Cassandra is the cluster that stores the values.
	Cassandra Cassandra `yaml:"cassandra"`
	// Seal names the key files that seal rows. Collections of layout userinfo require it, and only they use it.
	Seal Seal `yaml:"seal"`
	// Collections are the kinds of data. Each has its own path, table and access rules. At least one, unless Passwords is set.
	Collections []Collection `yaml:"collections"`
	// Passwords turns on the passwords of users. Default: there are none.
	Passwords *Passwords `yaml:"passwords"`
	// Audiences are the access rules of each collection and of passwords, metrics, openapi, operators and health, by name.
	Audiences access.Audiences `yaml:"audiences"`
	// Proxies are the proxies in front of the service that it trusts. Default: none.
	Proxies Proxies `yaml:"proxies"`
	// Clients are the clients and what each may do.
	Clients []access.Client `yaml:"clients"`
	// Signatures bounds the signatures of requests in time and number.
	Signatures Signatures `yaml:"signatures"`
	// Audit configures the audit records of refused requests and of deletes.
	Audit Audit `yaml:"audit"`
	// Metrics configures what /metrics contains.
	Metrics Metrics `yaml:"metrics"`
	// Limits protect the service from its clients.
	Limits Limits `yaml:"limits"`
	// Shutdown is what happens after SIGTERM.
	Shutdown Shutdown `yaml:"shutdown"`
	// Tracing sends spans of requests to a collector. Default: none are sent.
	Tracing Tracing `yaml:"tracing"`
	// LogLevel is debug (one record per request), info (default), warn or error.
	LogLevel string `yaml:"log_level"`

	// Dev lets audiences be open to everybody. Only `userinfo dev` sets it; it cannot be set in a file.
	Dev bool `yaml:"-"`
}

// ApplyDefaults sets each field that is absent to its default.
func (c *Config) ApplyDefaults() {
	setDefault(&c.Cassandra.Port, 9042)
	setDefault(&c.Cassandra.Keyspace, "userinfo")
	setDefault(&c.Signatures.Window, signature.DefaultWindow)
	setDefault(&c.Signatures.Nonces, signature.DefaultNonces)
	c.Audit.applyDefaults()
	setDefault(&c.Limits.MaxInFlight, 1024)
	setDefault(&c.Limits.MaxConnections, 16384)
	setDefault(&c.Limits.MaxUnauthenticatedConnections, (c.Limits.MaxConnections+1)/2)
	setDefault(&c.Limits.MaxConnectionsPerAddress, (c.Limits.MaxConnections+1)/2)
	setDefault(&c.Limits.PerClient.MaxConnections, (c.Limits.MaxConnections+1)/2)
	setDefault(&c.Limits.IdleTimeout, api.DefaultIdleTimeout)
	setDefault(&c.Limits.PerClient.MaxInFlight, (c.Limits.MaxInFlight+1)/2)
	setDefault(&c.Limits.PerClient.BytesPerSecond, defaultBytesPerSecond)
	setDefault(&c.Shutdown.Grace, 5*time.Second)
	c.Tracing.applyDefaults()
	setDefault(&c.LogLevel, "info")
	setDefaultPointer(&c.TLS.HTTP2, true)
	setDefaultPointer(&c.Shutdown.Drain, 2*time.Second)
	if c.Passwords != nil {
		c.Passwords.applyDefaults()
	}
	for i := range c.Collections {
		c.Collections[i].applyDefaults()
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func setDefaultPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// Level returns the slog level of LogLevel, which Load has checked.
func (c *Config) Level() slog.Level { return levels[c.LogLevel] }

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// PolicyConfig returns the part of the configuration that decides who may do what. now is the clock by which certificates
// expire.
func (c *Config) PolicyConfig(now func() time.Time) access.PolicyConfig {
	p := access.PolicyConfig{
		Clients:    c.Clients,
		Passwords:  c.Passwords != nil,
		Audiences:  c.Audiences,
		ClientCAs:  c.clientCANames(),
		Now:        now,
		Proxies:    c.Proxies.Certificates,
		ClientDNCA: c.Proxies.ClientDN.CA,
		Dev:        c.Dev,
	}
	for _, ca := range c.TLS.ClientCAs {
		if ca.VerifiesCN {
			p.CNVerifiers = append(p.CNVerifiers, ca.Name)
		}
	}
	for _, k := range c.Collections {
		p.Collections = append(p.Collections, k.Name)
	}
	return p
}

// Policy returns the access policy of PolicyConfig. Each error is a *field.Error.
func (c *Config) Policy(now func() time.Time) (*access.Policy, error) {
	return access.NewPolicy(c.PolicyConfig(now))
}

// clientCANames returns the names of the CAs that sign clients' certificates.
func (c *Config) clientCANames() []string {
	var names []string
	if c.TLS.ClientCA != "" {
		names = append(names, tlsconf.DefaultClientCA)
	}
	for _, ca := range c.TLS.ClientCAs {
		names = append(names, ca.Name)
	}
	return names
}

// SchemaSpec returns the keyspace and tables that the configuration requires.
func (c *Config) SchemaSpec() schema.Spec {
	s := schema.Spec{
		Keyspace:        c.Cassandra.Keyspace,
		Replication:     c.Cassandra.Replication,
		LocalDatacentre: c.Cassandra.LocalDatacentre,
		Passwords:       c.Passwords != nil,
	}
	for _, k := range c.Collections {
		t := schema.Table{Name: k.Table, Layout: k.Layout, MaxTTL: k.MaxTTL, Fence: *k.Fence, MaxValueBytes: k.MaxValueBytes}
		s.Tables = append(s.Tables, t)
		if beneath, ok := k.Beneath(); ok {
			t.Name, t.Layout, t.MustExist = beneath.Table, beneath.Layout, beneath.Layout == store.LayoutKask
			s.Tables = append(s.Tables, t)
		}
	}
	return s
}
