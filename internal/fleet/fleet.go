// Package fleet runs instances of the userinfo program on a test cluster. Each instance is a real process with real
// certificates, keys and a configuration file. Tests, drills and benchmarks kill instances, pause them, and start them
// again at the same address.
//
// Invariants:
//
//  1. An instance keeps its name and its address for as long as the fleet lives.
//  2. The first 4 MB that a process logs are kept. Requests on session keys are counted instead of kept.
//  3. Close ends every process.
//
// The package does not defend against anything. Keys and tokens lie in a directory that the current user can read.
package fleet

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/internal/devca"
	"userinfo/internal/testcluster"
)

// keyspace is the keyspace of the instances, the default of cassandra.keyspace.
const keyspace = "userinfo"

// requestTimeout is the timeout of the clients that NewClient returns. MediaWiki uses the same.
const requestTimeout = 3 * time.Second

// Fleet is a set of instances of one program that share a cluster, a certificate authority, keys and a token.
type Fleet struct {
	cluster *testcluster.Cluster
	ca      *devca.CA
	token   access.Token
	dir     string
	program string

	logLevel   string
	hostNames  bool
	drain      time.Duration
	commonName string // of the certificate of client "mediawiki"; if empty, that client only has a token

	passwordClients []passwordClient // if there are none, the instances keep no passwords

	mu        sync.Mutex
	instances []*Instance
}

// Build runs go build for cmd/userinfo and writes the executable to program. overlay is the path of a file for
// go build -overlay, or empty. flags are further flags of go build.
func Build(ctx context.Context, program, overlay string, flags ...string) error {
	args := append([]string{"build", "-o", program}, flags...)
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	if out, err := exec.CommandContext(ctx, "go", append(args, "userinfo/cmd/userinfo")...).CombinedOutput(); err != nil {
		return fmt.Errorf("building userinfo: %w\n%s", err, out)
	}
	return nil
}

// Option changes a default of New.
type Option func(*Fleet)

// WithCA makes the fleet issue its certificates with an existing CA. The default is a new CA.
func WithCA(ca *devca.CA) Option { return func(f *Fleet) { f.ca = ca } }

// WithLogLevel sets the log level of the instances. The default is debug, because requests are logged, and therefore
// counted, at debug only.
func WithLogLevel(level string) Option { return func(f *Fleet) { f.logLevel = level } }

// WithCertificate lets the client "mediawiki" authenticate with a certificate of this common name too.
func WithCertificate(commonName string) Option {
	return func(f *Fleet) { f.commonName = commonName }
}

// WithDrain sets how long an instance serves after SIGTERM while its /readyz is 503. The default is 0.
func WithDrain(d time.Duration) Option { return func(f *Fleet) { f.drain = d } }

// WithHostNames configures Cassandra's contact points by host name. WriteHosts writes the addresses of these names. This needs
// root, because each instance gets a mount namespace with its own /etc/hosts.
func WithHostNames() Option { return func(f *Fleet) { f.hostNames = true } }

// WithPasswords makes the instances keep passwords, whose hashes cost little, for clients of these names. PasswordTokens
// returns their tokens. The number of wrong passwords of a client is not limited.
func WithPasswords(clients ...string) Option {
	return func(f *Fleet) {
		for _, name := range clients {
			f.passwordClients = append(f.passwordClients, passwordClient{Name: name})
		}
	}
}

// New prepares a fleet in the empty directory dir and applies the schema to the cluster, as testcluster.AdminUsername.
// The instances log in as testcluster.Username. program is an executable made by Build. New starts no instance.
func New(ctx context.Context, dir, program string, cluster *testcluster.Cluster, options ...Option) (*Fleet, error) {
	f := &Fleet{cluster: cluster, dir: dir, program: program, logLevel: "debug"}
	for _, set := range options {
		set(f)
	}
	if err := errors.Join(f.writeCredentials(), f.WriteHosts()); err != nil {
		return nil, err
	}
	prefixes := []string{""}
	if len(f.passwordClients) > 0 {
		prefixes = append(prefixes, "passwords-")
	}
	for _, prefix := range prefixes {
		for _, kind := range []string{"index", "seal"} {
			text, err := exec.CommandContext(ctx, program, "key", "new", kind).Output()
			if err != nil {
				return nil, fmt.Errorf("userinfo key new %s: %w", kind, err)
			}
			if err := os.WriteFile(f.KeyFile(prefix+kind), text, 0o600); err != nil {
				return nil, err
			}
		}
	}
	return f, f.ApplySchema(ctx, program)
}

// ApplySchema applies the schema of a program, as testcluster.AdminUsername, and grants the instances' role what it
// needs. New does so for its own program. Another version of the program may need other tables. sessions are
// InstanceConfig.Sessions.
func (f *Fleet) ApplySchema(ctx context.Context, program string, sessions ...string) error {
	dc := f.cluster.Nodes("")[0].Datacentre
	config, err := f.writeConfig(InstanceConfig{Name: "schema", Datacentre: dc, Hosts: f.cluster.Hosts(dc), Sessions: sessions, username: testcluster.AdminUsername})
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, program, "schema", "apply", "--config", config).CombinedOutput(); err != nil {
		return fmt.Errorf("userinfo schema apply: %w\n%s", err, out)
	}
	return f.cluster.GrantService(ctx, keyspace)
}

// writeCredentials makes the CA, the client's token and the instances' certificate.
func (f *Fleet) writeCredentials() (err error) {
	if f.ca == nil {
		if f.ca, err = devca.New("userinfo fleet"); err != nil {
			return err
		}
	}
	if f.token, err = access.NewToken(rand.Reader); err != nil {
		return err
	}
	for i := range f.passwordClients {
		c := &f.passwordClients[i]
		if c.token, err = access.NewToken(rand.Reader); err != nil {
			return err
		}
		c.TokenHash = c.token.HashText()
	}
	if err := os.WriteFile(f.CAFile(), f.ca.PEM(), 0o600); err != nil {
		return err
	}
	return f.ReplaceCertificate(devca.Loopback())
}

// ReplaceCertificate writes a new server certificate for all instances. Running instances reload it within seconds.
func (f *Fleet) ReplaceCertificate(leaf devca.Leaf) error {
	_, _, err := f.ca.Write(f.dir, "server", leaf)
	return err
}

// CAFile returns the path of the certificate of the CA that signs the instances' certificates, in PEM.
func (f *Fleet) CAFile() string { return filepath.Join(f.dir, "ca.crt") }

// CAPool returns a pool with the certificate of CAFile.
func (f *Fleet) CAPool() *x509.CertPool { return f.ca.Pool() }

// Token returns the token of the client "mediawiki", which may do everything with every key.
func (f *Fleet) Token() access.Token { return f.token }

// PasswordTokens returns the tokens of the clients of WithPasswords, by name.
func (f *Fleet) PasswordTokens() map[string]string {
	tokens := make(map[string]string)
	for _, c := range f.passwordClients {
		tokens[c.Name] = string(c.token)
	}
	return tokens
}

// KeyFile returns the path of a key file of the collections. kind is "index" or "seal".
func (f *Fleet) KeyFile(kind string) string { return filepath.Join(f.dir, kind+".key") }

// ProbeClient is the common name of a client that may read the collection kask and nothing else.
const ProbeClient = "probe"

// NewClient returns an HTTP client with a certificate of its own, which expires at expires.
func (f *Fleet) NewClient(commonName string, expires time.Time) (*http.Client, error) {
	cert, key, err := f.ca.Issue(devca.Leaf{CommonName: commonName, Client: true, NotAfter: expires})
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: requestTimeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: f.CAPool(), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13,
	}}}, nil
}

// Close stops all instances with SIGTERM and waits until they have ended.
func (f *Fleet) Close() error {
	f.mu.Lock()
	instances := f.instances
	f.mu.Unlock()
	var errs []error
	for _, i := range instances {
		errs = append(errs, i.Stop())
	}
	return errors.Join(errs...)
}
