// Package fleet runs instances of the built program on a test cluster: real processes with real certificates, keys and
// configurations, several in each datacentre, which can be killed, frozen and started again at the same address.
//
// Invariants: an instance keeps its name and address for as long as the fleet lives; everything it wrote to standard
// error is kept, and each request it logged is counted. Close ends all processes.
//
// It does not defend against anything: keys and tokens lie in a directory of this user's.
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
	"strings"
	"sync"
	"time"

	"userinfo/access"
	"userinfo/internal/devca"
	"userinfo/internal/testcluster"
)

// Fleet is a program with all that its instances share.
type Fleet struct {
	cluster *testcluster.Cluster
	ca      *devca.CA
	token   access.Token
	dir     string
	program string

	logLevel   string
	commonName string // of the client's certificate; it has none where it is empty

	mu        sync.Mutex
	instances []*Instance
}

// Build makes the program. overlay, where not empty, is a file as `go build -overlay` takes it; flags are more of go build's.
func Build(ctx context.Context, program, overlay string, flags ...string) error {
	args := append([]string{"build", "-o", program}, flags...)
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	if out, err := exec.CommandContext(ctx, "go", append(args, "userinfo/cmd/userinfo")...).CombinedOutput(); err != nil {
		return fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return nil
}

// Option changes what New prepares.
type Option func(*Fleet)

// WithCA takes a CA that is there already for the instances' certificates and their clients'.
func WithCA(ca *devca.CA) Option { return func(f *Fleet) { f.ca = ca } }

// WithLogLevel takes another than debug, at which requests are logged, and so counted.
func WithLogLevel(level string) Option { return func(f *Fleet) { f.logLevel = level } }

// WithCertificate lets the one client come by a certificate of this common name as well as by its token.
func WithCertificate(commonName string) Option {
	return func(f *Fleet) { f.commonName = commonName }
}

// New prepares a fleet in dir, which is to be empty, and makes the schema. program is what Build has made.
func New(ctx context.Context, dir, program string, cluster *testcluster.Cluster, options ...Option) (*Fleet, error) {
	f := &Fleet{cluster: cluster, dir: dir, program: program, logLevel: "debug"}
	for _, set := range options {
		set(f)
	}
	var err error
	if f.ca == nil {
		if f.ca, err = devca.New("userinfo fleet"); err != nil {
			return nil, err
		}
	}
	if f.token, err = access.NewToken(rand.Reader); err != nil {
		return nil, err
	}
	if err := os.WriteFile(f.CAFile(), f.ca.PEM(), 0o600); err != nil {
		return nil, err
	}
	if err := f.Certify(devca.Loopback()); err != nil {
		return nil, err
	}
	for _, kind := range []string{"index", "seal"} {
		text, err := exec.CommandContext(ctx, program, "key", "new", kind).Output()
		if err != nil {
			return nil, fmt.Errorf("key new %s: %w", kind, err)
		}
		if err := os.WriteFile(f.KeyFile(kind), text, 0o600); err != nil {
			return nil, err
		}
	}
	config, err := f.config("schema", cluster.Nodes("")[0].Datacentre, "127.0.0.1:0", nil)
	if err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, program, "schema", "apply", "--config", config).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("schema apply: %w\n%s", err, out)
	}
	return f, nil
}

// Certify gives all instances another certificate; those that run take it within seconds.
func (f *Fleet) Certify(leaf devca.Leaf) error {
	_, _, err := f.ca.Write(f.dir, "server", leaf)
	return err
}

// CAFile holds the certificate of the CA that signed the instances', PEM.
func (f *Fleet) CAFile() string { return filepath.Join(f.dir, "ca.crt") }

// Pool holds the same CA.
func (f *Fleet) Pool() *x509.CertPool { return f.ca.Pool() }

// Token is that of the one client, which may do everything.
func (f *Fleet) Token() access.Token { return f.token }

// Probe is the common name of a client that may read the collection kask, and nothing else.
const Probe = "probe"

// Client makes a client with a certificate of its own, which is good until expires.
func (f *Fleet) Client(commonName string, expires time.Time) (*http.Client, error) {
	cert, key, err := f.ca.Issue(devca.Leaf{CommonName: commonName, Client: true, NotAfter: expires})
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: f.Pool(), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13,
	}}}, nil
}

// patience is MediaWiki's.
const patience = 3 * time.Second

// KeyFile is that of the index or the seal key.
func (f *Fleet) KeyFile(kind string) string { return filepath.Join(f.dir, kind+".key") }

// Close ends all instances in good order.
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

// config writes the configuration of an instance and returns its file.
func (f *Fleet) config(name, dc, listen string, hosts []string) (string, error) {
	if len(hosts) == 0 {
		hosts = f.cluster.Hosts(dc)
	}
	replication := map[string]int{}
	for _, n := range f.cluster.Nodes("") {
		replication[n.Datacentre]++
	}
	var replicas []string
	for dc, n := range replication {
		replicas = append(replicas, fmt.Sprintf("%s: %d", dc, n))
	}
	certificate, audience := "", ""
	if f.commonName != "" {
		certificate, audience = "{cn: "+f.commonName+"}", ", {certificate: true}"
	}
	file := filepath.Join(f.dir, name+".yaml")
	return file, os.WriteFile(file, fmt.Appendf(nil, `
listen: %[8]s
log_level: %[11]s
tls:
  certificate: %[1]s/server.crt
  key: %[1]s/server.key
  client_ca: %[1]s/ca.crt
cassandra:
  hosts: [%[2]s]
  local_datacentre: %[3]s
  replication: {%[9]s}
  username: %[4]s
  password_file: %[5]s
  tls: {ca: %[6]s}
seal: {index_key: %[1]s/index.key, keys: [%[1]s/seal.key]}
collections:
  - name: sessions
  - name: kask
    layout: kask
clients:
  - name: mediawiki
    tokens: [{sha256: %[7]s, networks: [127.0.0.0/8]}]
    certificates: [%[12]s]
    grants: [sessions:get, sessions:set, sessions:touch, sessions:delete, kask:get, kask:set, kask:touch, kask:delete, metrics:get]
    keys: ["*"]
  - name: probe
    certificates: [{cn: %[10]s}]
    grants: [kask:get]
    keys: ["*"]
audiences: {sessions: [{token: true}%[13]s], kask: [{token: true}, {certificate: true}], metrics: [{token: true}], health: [{allow: true}]}
shutdown: {drain: 0s}
`, f.dir, strings.Join(hosts, ", "), dc, testcluster.Username, f.cluster.PasswordFile(), f.cluster.CAFile(), f.token.HashText(),
		listen, strings.Join(replicas, ", "), Probe, f.logLevel, certificate, audience), 0o600)
}
