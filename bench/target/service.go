package target

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/internal/fleet"
)

// Build builds the service from this source tree, once.
func (b *Testbed) Build(ctx context.Context) (program string, err error) {
	if b.program == "" {
		program := b.file("userinfo")
		if err := fleet.Build(ctx, program, ""); err != nil {
			return "", err
		}
		b.program = program
	}
	return b.program, nil
}

// prepareFleet makes the keys and the schema, once.
func (b *Testbed) prepareFleet(ctx context.Context) error {
	if b.fleet != nil {
		return nil
	}
	program, err := b.Build(ctx)
	if err != nil {
		return err
	}
	dir := b.file("fleet")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	f, err := fleet.New(ctx, dir, program, b.cluster, fleet.WithCA(b.ca), fleet.WithLogLevel("info"), fleet.WithCertificate(clientName))
	if err != nil {
		return err
	}
	b.fleet = f
	b.onClose(f.Close)
	return os.WriteFile(filepath.Join(dir, "token.header"), header(f.Token()), 0o600)
}

// startService starts an instance on the cluster. Its client has a certificate.
func (b *Testbed) startService(ctx context.Context, name string, i Instance) (*Target, error) {
	nodes, err := b.nodes(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.prepareFleet(ctx); err != nil {
		return nil, err
	}
	if i.Binary != "" {
		if err := b.fleet.ApplySchema(ctx, i.Binary); err != nil {
			return nil, err
		}
	}
	b.started++
	instance, err := b.fleet.StartInstance(ctx, fleet.InstanceConfig{
		Name: fmt.Sprintf("instance-%d", b.started), Datacentre: b.cluster.Nodes("")[0].Datacentre, Program: i.Binary, Env: i.Env,
	})
	if err != nil {
		return nil, err
	}
	return &Target{
		Name: name, http: b.client(instance.CollectionURL("sessions")), tokenHeader: b.file("fleet/token.header"),
		Processes: append([]Process{{Kind: result.KindService, PID: instance.PID()}}, nodes...),
	}, nil
}

// What `userinfo dev` prints.
var (
	printedDir = regexp.MustCompile(`--cacert (\S+)/ca\.crt`)
	printedURL = regexp.MustCompile(`https://\S+?/sessions/v1`)
)

// startMemory starts `userinfo dev`, which has its own CA and keys, and keeps sessions in memory.
func (b *Testbed) startMemory(ctx context.Context, name string, i Instance) (*Target, error) {
	program := i.Binary
	if program == "" {
		var err error
		if program, err = b.Build(ctx); err != nil {
			return nil, err
		}
	}
	isLast := func(output string) bool { return strings.Contains(output, "\nCtrl-C") }
	c, err := b.start(ctx, isLast, append([]string{"TMPDIR=" + b.dir}, i.Env...), program, "dev", "--listen", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	dir, base := printedDir.FindStringSubmatch(c.text()), printedURL.FindString(c.text())
	if dir == nil || base == "" {
		return nil, fmt.Errorf("userinfo dev did not print its key directory and URL, but:\n%s", c.text())
	}
	file := func(name string) string { return filepath.Join(dir[1], name) }
	return &Target{
		Name: name, tokenHeader: file("token.header"), Processes: []Process{{Kind: result.KindService, PID: c.pid()}},
		http: &load.HTTPConfig{URL: base + "/", CA: file("ca.crt"), Certificate: file("client.crt"), Key: file("client.key")},
	}, nil
}

//go:embed haproxy.cfg
var sidecarConfig string

// StartSidecar starts a haproxy before a target. It accepts plain HTTP on a Unix socket, and keeps connections with mutual
// TLS to the target.
func (b *Testbed) StartSidecar(ctx context.Context, of *Target) (*Target, error) {
	if of.http == nil || of.http.Certificate == "" {
		return nil, fmt.Errorf("a sidecar needs a target with HTTPS and a client certificate, which %s is not", of.Name)
	}
	u, err := url.Parse(of.http.URL)
	if err != nil {
		return nil, err
	}
	certificate, err := os.ReadFile(of.http.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(of.http.Key)
	if err != nil {
		return nil, err
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		host = "localhost" // haproxy checks certificates against names only
	}
	socket, pair, config := b.file("sidecar.sock"), b.file("sidecar.pem"), b.file("haproxy.cfg")
	text := strings.NewReplacer("SOCKET", socket, "ADDRESS", u.Host, "HOSTNAME", host, "CAFILE", of.http.CA, "PAIR", pair).Replace(sidecarConfig)
	if err := errors.Join(os.WriteFile(pair, append(certificate, key...), 0o600), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		return nil, err
	}
	listens := func(string) bool {
		conn, err := net.Dial("unix", socket)
		return err == nil && conn.Close() == nil
	}
	c, err := b.start(ctx, listens, nil, "haproxy", "-db", "-f", config)
	if err != nil {
		return nil, err
	}
	return &Target{
		Name:      result.Sidecar,
		Processes: append(slices.Clone(of.Processes), Process{Kind: result.KindSidecar, PID: c.pid()}),
		http:      &load.HTTPConfig{URL: "http://" + u.Host + u.EscapedPath(), Socket: socket, Set: of.http.Set},
	}, nil
}
