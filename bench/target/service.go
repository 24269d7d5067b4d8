package target

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"userinfo/bench/cost"
	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/internal/fleet"
)

// Service is one instance of the service. All instances of a lab have the same keys, and those on the cluster the same
// data, so that they differ in nothing but what is here.
type Service struct {
	Name    string   // of the target
	Program string   // a built program; empty has this tree's built, once
	Env     []string // beside this process's own: GOMAXPROCS=1, GOGC=400
	DC      string   // of the cluster; empty is its first
}

// Build builds this tree's program, once.
func (l *Lab) Build(ctx context.Context) (program string, err error) {
	if l.program == "" {
		file := l.file("userinfo")
		if err := fleet.Build(ctx, file, ""); err != nil {
			return "", err
		}
		l.program = file
	}
	return l.program, nil
}

// UserInfo starts an instance on the cluster, asked with the client's certificate. It logs at info, as by default.
func (l *Lab) UserInfo(ctx context.Context, s Service) (*Target, error) {
	nodes, err := l.nodes(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.prepareFleet(ctx); err != nil {
		return nil, err
	}
	i, err := l.fleet.StartInstance(ctx, fleet.InstanceConfig{
		Name: s.Name, Datacentre: cmp.Or(s.DC, l.cluster.Nodes("")[0].Datacentre), Program: s.Program, Env: s.Env,
	})
	if err != nil {
		return nil, err
	}
	t, err := service(s.Name, l.files(i.CollectionURL("sessions")), l.file("fleet/token.header"), i.PID(), nodes...)
	if err != nil {
		return nil, err
	}
	t.Nodes = l.Nodes()
	return t, nil
}

// prepareFleet is done once: it makes keys and schema.
func (l *Lab) prepareFleet(ctx context.Context) error {
	if l.fleet != nil {
		return nil
	}
	program, err := l.Build(ctx)
	if err != nil {
		return err
	}
	dir := l.file("fleet")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	f, err := fleet.New(ctx, dir, program, l.cluster, fleet.WithCA(l.ca), fleet.WithLogLevel("info"), fleet.WithCertificate(clientName))
	if err != nil {
		return err
	}
	l.fleet = f
	l.closers = append(l.closers, f.Close)
	return os.WriteFile(filepath.Join(dir, "token.header"), header(f.Token()), 0o600)
}

var (
	saidDir = regexp.MustCompile(`--cacert (\S+)/ca\.crt`)
	saidURL = regexp.MustCompile(`https://\S+?/sessions/v1`)
)

// Memory starts `userinfo dev`, which has a CA, keys and data of its own, and no Cassandra.
func (l *Lab) Memory(ctx context.Context, s Service) (*Target, error) {
	program := s.Program
	if program == "" {
		var err error
		if program, err = l.Build(ctx); err != nil {
			return nil, err
		}
	}
	isLast := func(line string) bool { return strings.HasPrefix(line, "Ctrl-C") }
	c, err := l.start(isLast, append([]string{"TMPDIR=" + l.dir}, s.Env...), program, "dev", "--listen", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	said, err := c.await(ctx)
	if err != nil {
		return nil, err
	}
	dir, base := saidDir.FindStringSubmatch(said), saidURL.FindString(said)
	if dir == nil || base == "" {
		return nil, fmt.Errorf("userinfo dev does not say where its keys are and what its URL is; it said:\n%s", said)
	}
	file := func(name string) string { return filepath.Join(dir[1], name) }
	files := load.HTTPSFiles{URL: base + "/", CA: file("ca.crt"), Certificate: file("client.crt"), Key: file("client.key")}
	return service(s.Name, files, file("token.header"), c.pid())
}

// service is the target of an instance that listens; token is the file of its Authorization header.
func service(name string, files load.HTTPSFiles, token string, pid int, others ...cost.Process) (*Target, error) {
	allocations, err := serviceMetrics(files.URL, files.CA, token)
	if err != nil {
		return nil, err
	}
	process := cost.Process{Kind: result.KindService, PID: pid, Allocations: allocations}
	t := https(name, files, append([]cost.Process{process}, others...)...)
	t.token = token
	return t, nil
}

// metricsPatience bounds reading metrics.
const metricsPatience = 5 * time.Second

// serviceMetrics reads /metrics of an instance, by token.
func serviceMetrics(collection, caFile, tokenFile string) (func(context.Context) (cost.Allocations, error), error) {
	pool, err := readPool(caFile)
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(collection)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(http.MethodGet, u.ResolveReference(&url.URL{Path: "/metrics"}).String(), nil)
	if err != nil {
		return nil, err
	}
	field, value, ok := strings.Cut(strings.TrimSpace(string(token)), ": ")
	if !ok {
		return nil, errors.New("the file of the Authorization header has none")
	}
	request.Header.Set(field, value)
	client := &http.Client{Timeout: metricsPatience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	return cost.FromMetrics(client, request), nil
}
