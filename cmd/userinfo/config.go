package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"userinfo/access"
	"userinfo/access/signature"
	"userinfo/api"
	"userinfo/internal/field"
	"userinfo/schema"
	"userinfo/store"
	"userinfo/tlsconf"
)

// Config is the configuration file: YAML, one document, no unknown field. deploy/userinfo.yaml is an example with
// every field. Durations are written 60s, 24h. A field that is not there has the default that its comment names;
// one without a default is required.
type Config struct {
	// Listen is the address to serve on, host:port. An empty host is every address of the machine.
	Listen string `yaml:"listen"`
	// TLS holds the service's certificate and the CA of its clients.
	TLS tlsconf.ServerFiles `yaml:"tls"`
	// Cassandra is where the values are kept.
	Cassandra Cassandra `yaml:"cassandra"`
	// Seal names the keys that seal the rows of collections of layout userinfo, and is needed by those alone.
	Seal Seal `yaml:"seal"`
	// Collections are the kinds of data, each with a path, a table and rules of its own.
	Collections []Collection `yaml:"collections"`
	// Audiences says in which ways one may come to each collection, and to metrics, openapi and health.
	Audiences access.Audiences `yaml:"audiences"`
	// Proxies are those that stand between clients and the service, and are believed.
	Proxies Proxies `yaml:"proxies"`
	// Clients are those who may do something. They, Audiences, Proxies and Seal.Keys are read again when the file changes,
	// and nothing else.
	Clients []access.Client `yaml:"clients"`
	// Signatures are about requests that are signed.
	Signatures Signatures `yaml:"signatures"`
	// Audit is about the records of refused requests and of deletes.
	Audit  Audit  `yaml:"audit"`
	Limits Limits `yaml:"limits"`
	// Shutdown is what follows SIGTERM.
	Shutdown Shutdown `yaml:"shutdown"`
	// LogLevel is debug (a record per request), info (default), warn or error.
	LogLevel string `yaml:"log_level"`
}

// Cassandra says how to reach a cluster, always over verified TLS and with a password.
type Cassandra struct {
	// Hosts are contact points in the local datacentre: names or addresses.
	Hosts []string `yaml:"hosts"`
	// Port of the native protocol; default 9042.
	Port int `yaml:"port"`
	// LocalDatacentre as Cassandra calls it. No other is ever asked.
	LocalDatacentre string `yaml:"local_datacentre"`
	// Keyspace of all collections; default userinfo.
	Keyspace string `yaml:"keyspace"`
	// Replication is the number of replicas in each datacentre. `schema apply` makes the keyspace so, and
	// `schema check` and `serve` compare. Without it they only look whether the local datacentre has replicas.
	Replication map[string]int `yaml:"replication"`
	Username    string         `yaml:"username"`
	// PasswordFile holds the password and, perhaps, a line end.
	PasswordFile string              `yaml:"password_file"`
	TLS          tlsconf.ClientFiles `yaml:"tls"`
}

// Collection is a kind of data.
type Collection struct {
	// Name is used in grants, metrics and logs.
	Name string `yaml:"name"`
	// Path under which keys are; default /NAME/v1.
	Path string `yaml:"path"`
	// Table in the keyspace; default NAME.
	Table string `yaml:"table"`
	// Layout is userinfo (default), which is sealed, or kask, which is not, for a table that Kask has made.
	Layout store.Layout `yaml:"layout"`
	// DefaultTTL of a value that is set without a TTL header; default 24h.
	DefaultTTL time.Duration `yaml:"default_ttl"`
	// MaxTTL that a client may ask for; default is DefaultTTL. The table's gc_grace_seconds must be as long.
	MaxTTL time.Duration `yaml:"max_ttl"`
	// Fence is how long a deleted key stays deleted; default 60s. 0s is for data whose keys are used again.
	Fence *time.Duration `yaml:"fence"`
	// TouchSlack is the part of the TTL that a touch asks for by which the life left may differ, for the touch to write
	// nothing; default 0.01. 0 has every touch write, 0.5 is the most.
	TouchSlack *float64 `yaml:"touch_slack"`
	// MaxValueBytes bounds a value; default 1048576.
	MaxValueBytes int64 `yaml:"max_value_bytes"`
}

// Audit is about the records of refused requests and of deletes, which are in the log whatever its level.
type Audit struct {
	// KeyFile is made by `userinfo key new audit`, for its owner alone. With it a record has a hash of the session key that
	// only those who have the audit key can match with a session key they know. Without it records have none.
	KeyFile string `yaml:"key_file"`
}

// Shutdown is what follows SIGTERM.
type Shutdown struct {
	// Drain is how long to go on serving after /readyz has become 503, so that balancers notice. Default 2s.
	Drain *time.Duration `yaml:"drain"`
	// Grace is how long requests in flight may take after that. Default 5s.
	Grace time.Duration `yaml:"grace"`
}

// applyDefaults fills in what the comments above promise.
func (c *Config) applyDefaults() {
	orElse(&c.Cassandra.Port, 9042)
	orElse(&c.Cassandra.Keyspace, "userinfo")
	orElse(&c.Signatures.Window, signature.DefaultWindow)
	orElse(&c.Signatures.Nonces, signature.DefaultNonces)
	orElse(&c.Limits.MaxInFlight, 1024)
	orElse(&c.Limits.MaxConnections, 20000)
	orElse(&c.Limits.PerClient.MaxInFlight, (c.Limits.MaxInFlight+1)/2)
	orElse(&c.Shutdown.Grace, 5*time.Second)
	orElse(&c.LogLevel, "info")
	if c.TLS.HTTP2 == nil {
		c.TLS.HTTP2 = ptr(true)
	}
	if c.Shutdown.Drain == nil {
		c.Shutdown.Drain = ptr(2 * time.Second)
	}
	for i := range c.Collections {
		k := &c.Collections[i]
		orElse(&k.Path, "/"+k.Name+"/v1")
		orElse(&k.Table, k.Name)
		orElse(&k.Layout, store.LayoutUserInfo)
		orElse(&k.DefaultTTL, 24*time.Hour)
		orElse(&k.MaxTTL, k.DefaultTTL)
		orElse(&k.MaxValueBytes, 1<<20)
		if k.Fence == nil {
			k.Fence = ptr(time.Minute)
		}
		if k.TouchSlack == nil {
			k.TouchSlack = ptr(0.01)
		}
	}
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func ptr[T any](v T) *T { return &v }

// validate finds everything that is wrong and can be told without opening another file. Its errors are field.Error.
func (c *Config) validate() error {
	errs := []error{c.validateFiles(), c.Cassandra.validate(), c.Limits.validate(), c.validateShares(), c.Shutdown.validate(),
		c.Signatures.validate(), c.Proxies.validate()}
	if host, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" || strings.Contains(host, "/") {
		errs = append(errs, field.Errorf("listen", "give host:port, such as 0.0.0.0:8443"))
	}
	if _, err := parseLevel(c.LogLevel); err != nil {
		errs = append(errs, &field.Error{Path: "log_level", Err: err})
	}
	errs = append(errs, c.validateCollections(), c.validateSeal())
	_, err := c.policy(time.Now)
	if err = errors.Join(append(errs, err)...); err != nil {
		return err
	}
	if err := c.spec().Validate(); err != nil { // what is left for it to find is about datacentres and the keyspace
		return &field.Error{Path: "cassandra", Err: err}
	}
	return nil
}

// validateFiles refuses what a file holds where its path should be, lest the error that it cannot be opened show it.
func (c *Config) validateFiles() error {
	var errs []error
	files := []struct{ path, value string }{
		{"tls.certificate", c.TLS.Certificate}, {"tls.key", c.TLS.Key}, {"tls.client_ca", c.TLS.ClientCA},
		{"cassandra.tls.ca", c.Cassandra.TLS.CA}, {"cassandra.tls.certificate", c.Cassandra.TLS.Certificate},
		{"cassandra.tls.key", c.Cassandra.TLS.Key}, {"cassandra.password_file", c.Cassandra.PasswordFile},
		{"seal.index_key", c.Seal.IndexKey}, {"audit.key_file", c.Audit.KeyFile}, {"tls.denied_certificates", c.TLS.Denied},
		{"tls.session_ticket_key", c.TLS.TicketKey},
	}
	add := func(path, value string) { files = append(files, struct{ path, value string }{path, value}) }
	for i, ca := range c.TLS.ClientCAs {
		add(fmt.Sprintf("tls.client_cas[%d].file", i), ca.File)
	}
	for i, file := range c.TLS.CRLs {
		add(fmt.Sprintf("tls.crls[%d]", i), file)
	}
	for i, client := range c.Clients {
		for j, k := range client.SignatureKeys {
			add(fmt.Sprintf("clients[%d].signature_keys[%d].file", i, j), k.File)
		}
	}
	for i, file := range c.Seal.Keys {
		add(fmt.Sprintf("seal.keys[%d]", i), file)
	}
	for _, f := range files {
		if strings.ContainsAny(f.value, "\r\n") || strings.HasPrefix(f.value, "-----") {
			errs = append(errs, field.Errorf(f.path, "give the path of a file, not what it holds"))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) policy(now func() time.Time) (*access.Policy, error) {
	return access.NewPolicy(c.rules(now))
}

// rules are who may do what.
func (c *Config) rules(now func() time.Time) access.PolicyConfig {
	r := access.PolicyConfig{Clients: c.Clients, Audiences: c.Audiences, ClientCAs: c.authorities(), Now: now,
		Proxies: c.Proxies.Certificates, ClientDNCA: c.Proxies.ClientDN.CA}
	for _, k := range c.Collections {
		r.Collections = append(r.Collections, k.Name)
	}
	return r
}

// authorities are the names of the CAs of clients.
func (c *Config) authorities() []string {
	var names []string
	if c.TLS.ClientCA != "" {
		names = append(names, tlsconf.DefaultClientCA)
	}
	for _, ca := range c.TLS.ClientCAs {
		names = append(names, ca.Name)
	}
	return names
}

func (c Cassandra) validate() error {
	var errs []error
	need := func(name, value, what string) {
		if value == "" {
			errs = append(errs, field.Errorf("cassandra."+name, "missing: %s", what))
		}
	}
	if len(c.Hosts) == 0 {
		errs = append(errs, field.Errorf("cassandra.hosts", "missing: list contact points in the local datacentre"))
	}
	for i, host := range c.Hosts {
		if _, _, err := net.SplitHostPort(host); err == nil {
			errs = append(errs, field.Errorf(fmt.Sprintf("cassandra.hosts[%d]", i), "give a name or an address; the port is cassandra.port, for all"))
		}
	}
	if c.Port < 1 || c.Port > 65535 {
		errs = append(errs, field.Errorf("cassandra.port", "not a port"))
	}
	if !isName(c.Keyspace) {
		errs = append(errs, field.Errorf("cassandra.keyspace", nameRule))
	}
	need("local_datacentre", c.LocalDatacentre, "the datacentre to ask, as Cassandra calls it")
	need("username", c.Username, "Cassandra without authentication is not served from")
	need("password_file", c.PasswordFile, "the file that holds the password")
	return errors.Join(errs...)
}

func (s Shutdown) validate() error {
	var errs []error
	if *s.Drain < 0 {
		errs = append(errs, field.Errorf("shutdown.drain", "must not be negative"))
	}
	if s.Grace < api.RequestTimeout {
		errs = append(errs, field.Errorf("shutdown.grace", "must be at least %v, which a request may take", api.RequestTimeout))
	}
	return errors.Join(errs...)
}

func (c *Config) validateCollections() error {
	if len(c.Collections) == 0 {
		return field.Errorf("collections", "missing: there is nothing to serve")
	}
	var errs []error
	seen := make(map[string]bool)
	for i, k := range c.Collections {
		at := fmt.Sprintf("collections[%d]", i)
		errs = append(errs, k.validate(at))
		for _, mine := range []struct{ field, value string }{{"name", k.Name}, {"path", k.Path}, {"table", k.Table}} {
			if seen[mine.field+mine.value] {
				errs = append(errs, field.Errorf(at+"."+mine.field, "%q is another collection's already", mine.value))
			}
			seen[mine.field+mine.value] = true
		}
		for _, other := range c.Collections {
			if strings.HasPrefix(k.Path, other.Path+"/") {
				errs = append(errs, field.Errorf(at+".path", "%q is below %q, where that collection's keys are", k.Path, other.Path))
			}
		}
	}
	return errors.Join(errs...)
}

// validateSeal fails closed: a collection that is to be sealed has keys, and one that has keys is sealed.
func (c *Config) validateSeal() error {
	sealed := slices.IndexFunc(c.Collections, func(k Collection) bool { return k.Layout != store.LayoutKask })
	switch {
	case sealed >= 0 && !c.Seal.given():
		return field.Errorf(fmt.Sprintf("collections[%d].layout", sealed),
			"rows of layout userinfo are sealed, and there are no keys: give seal.index_key and seal.keys, which `userinfo key new` makes")
	case sealed < 0 && c.Seal.given() && len(c.Collections) > 0:
		return field.Errorf("seal", "no collection has layout userinfo, so nothing would be sealed: remove it")
	case !c.Seal.given():
		return nil
	}
	var errs []error
	if c.Seal.IndexKey == "" {
		errs = append(errs, field.Errorf("seal.index_key", "missing: the file that `userinfo key new index` has made"))
	}
	if len(c.Seal.Keys) == 0 {
		errs = append(errs, field.Errorf("seal.keys", "missing: list the files that `userinfo key new seal` has made; the first seals"))
	}
	return errors.Join(errs...)
}

// reservedNames are resources of the service itself.
var reservedNames = map[string]bool{access.Metrics: true, access.OpenAPI: true, access.Health: true, "healthz": true, "readyz": true}

func (k Collection) validate(at string) error {
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, field.Errorf(at+"."+name, format, args...))
	}
	if !isName(k.Name) || reservedNames[k.Name] {
		bad("name", nameRule+", and be none of metrics, openapi, health, healthz, readyz")
	}
	if !isName(k.Table) {
		bad("table", nameRule)
	}
	if schema.Reserved(k.Table) {
		bad("table", "%q is a table of the service's own; name another", k.Table)
	}
	if !isPath(k.Path) {
		bad("path", "must begin with /, not end with it, and be of a-z, 0-9, _, - and single slashes")
	}
	if k.Layout != store.LayoutUserInfo && k.Layout != store.LayoutKask {
		bad("layout", "must be userinfo or kask")
	}
	for _, ttl := range []struct {
		name string
		d    time.Duration
	}{{"default_ttl", k.DefaultTTL}, {"max_ttl", k.MaxTTL}} {
		if ttl.d < time.Second || ttl.d > store.LargestTTL || ttl.d%time.Second != 0 {
			bad(ttl.name, "must be whole seconds, from 1s to %v", store.LargestTTL)
		}
	}
	if k.DefaultTTL > k.MaxTTL {
		bad("default_ttl", "is longer than max_ttl (%v)", k.MaxTTL)
	}
	if *k.Fence < 0 || *k.Fence > time.Hour || *k.Fence%time.Second != 0 {
		bad("fence", "must be whole seconds, from 0s (none) to 1h")
	}
	if !(*k.TouchSlack >= 0 && *k.TouchSlack <= store.MaxTouchSlack) { // so that .nan is refused too
		bad("touch_slack", "must be from 0 (every touch writes) to %v", store.MaxTouchSlack)
	}
	if k.MaxValueBytes < 1 || k.MaxValueBytes > 16<<20 {
		bad("max_value_bytes", "must be from 1 to 16777216, which is Cassandra's default bound on a mutation")
	}
	return errors.Join(errs...)
}

// nameRule is what isName checks: Cassandra's rule for names without quotes, in lower case.
const nameRule = "must be of a-z, 0-9 and _, begin with a letter and have at most 48 characters"

func isName(s string) bool {
	return s != "" && len(s) <= 48 && s[0] >= 'a' && s[0] <= 'z' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func isPath(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.HasSuffix(s, "/") && !strings.Contains(s, "//") &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-/") == ""
}
