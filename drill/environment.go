package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"userinfo/drill/load"
	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

var datacentres = []string{"dc1", "dc2"}

const instancesPerDC = 2

// The resources that a load uses.
const (
	sessions  = "sessions"
	passwords = "passwords"
)

// The configuration of instances (see internal/fleet and the service's defaults).
const (
	fence      = time.Minute
	touchSlack = 0.01
)

// The clients of the load of passwords.
const (
	observerClient = "observer"
	finalClient    = "final"
)

var wikiClients = []string{"wiki-1", "wiki-2"}

// clusterStartTimeout limits the start of a cluster, which usually takes one minute.
const clusterStartTimeout = 5 * time.Minute

// environment is the installation that drills run on: a cluster of two datacentres, and instances of the service in both.
// Only one goroutine may change it.
type environment struct {
	dir        string
	cluster    *testcluster.Cluster
	fleet      *fleet.Fleet
	instances  []*fleet.Instance
	log        *slog.Logger
	killedRuns []killedRun // since the start of the current drill

	unreadableBucket bool // a fault has made a bucket of pending deletes unreadable

	// How long to wait until the load is calm: after the start, and before each fault. After that, latency is not judged.
	warmUpTimeout, calmTimeout time.Duration
	// How long the load goes on after the last fault and before each restore, so that the judge can see full speed.
	watchTime time.Duration
}

// killedRun is a run of an instance that a fault killed, with the requests that it had logged.
type killedRun struct {
	instance *fleet.Instance
	run      int
	logged   map[fleet.LoggedRequest]int
}

// newEnvironment starts a cluster and instances of the service.
func newEnvironment(ctx context.Context, options testcluster.Options, log *slog.Logger) (*environment, error) {
	dir, err := os.MkdirTemp("", "userinfo-drill-")
	if err != nil {
		return nil, err
	}
	e := &environment{dir: dir, log: log, warmUpTimeout: 4 * time.Minute, calmTimeout: 2 * time.Minute, watchTime: 14 * time.Second}
	logf(e.log, "starting a cluster of two datacentres with three nodes each")
	options.Log, options.Authorizer = e.log, true
	options.YAML = fmt.Sprintf("tombstone_failure_threshold: %d\n", tombstoneLimit)
	starting, cancel := context.WithTimeout(ctx, clusterStartTimeout)
	defer cancel()
	if e.cluster, err = testcluster.Start(starting, options); err == nil {
		err = e.deploy(ctx, nil)
	}
	if err != nil {
		return nil, errors.Join(err, e.close(context.WithoutCancel(ctx)))
	}
	return e, nil
}

// deploy builds the service and starts instances of it, in place of the current instances. If m is not nil, the service has
// that planted bug.
func (e *environment) deploy(ctx context.Context, m *mutant) error {
	if e.fleet != nil {
		if err := e.fleet.Close(); err != nil {
			return err
		}
	}
	e.instances, e.killedRuns = nil, nil
	dir, err := os.MkdirTemp(e.dir, "fleet-")
	if err != nil {
		return err
	}
	overlay, err := writeOverlay(ctx, dir, m)
	if err != nil {
		return err
	}
	program := filepath.Join(dir, "userinfo")
	if err := fleet.Build(ctx, program, overlay); err != nil {
		return err
	}
	if e.fleet, err = fleet.New(ctx, dir, program, e.cluster, fleet.WithHostNames(), fleet.WithPasswords(append([]string{observerClient, finalClient}, wikiClients...)...)); err != nil {
		return err
	}
	for _, dc := range datacentres {
		for n := range instancesPerDC {
			i, err := e.fleet.StartInstance(ctx, fleet.InstanceConfig{Name: fmt.Sprintf("%s-%c", dc, 'a'+n), Datacentre: dc})
			if err != nil {
				return err
			}
			e.instances = append(e.instances, i)
		}
	}
	return nil
}

// close stops the instances and the cluster and removes their files.
func (e *environment) close(ctx context.Context) error {
	var errs []error
	if e.fleet != nil {
		errs = append(errs, e.fleet.Close())
	}
	if e.cluster != nil {
		errs = append(errs, e.cluster.Stop(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(e.dir))...)
}

// replace closes the environment and starts a new one. It is used after a drill that could not be completed.
func (e *environment) replace(ctx context.Context, options testcluster.Options, rate float64) error {
	if err := e.close(ctx); err != nil {
		logf(e.log, "closing the installation: %v", err)
	}
	fresh, err := newEnvironment(ctx, options, e.log)
	if err != nil {
		return err
	}
	*e = *fresh
	return e.warmUp(ctx, rate)
}

// targets returns the instances, with the URL of a collection or of the passwords, grouped by datacentre.
func (e *environment) targets(collection string) [][]load.Target {
	all := make([][]load.Target, len(datacentres))
	for n, dc := range datacentres {
		for _, i := range e.instances {
			if i.Datacentre == dc {
				all[n] = append(all[n], load.Target{Name: i.Name, DC: dc, URL: func() string { return i.CollectionURL(collection) }, Run: i.Run})
			}
		}
	}
	return all
}

// newRecorder returns a recorder for all instances.
func (e *environment) newRecorder(epoch time.Time) *load.Recorder {
	r := load.NewRecorder(slices.Concat(e.targets(sessions)...), e.fleet.CAPool(), string(e.fleet.Token()), epoch)
	r.UseTokens(e.fleet.PasswordTokens())
	return r
}

// restartEnded starts the instances again whose process has ended by itself, and returns their names.
func (e *environment) restartEnded(ctx context.Context) (names []string, err error) {
	for _, i := range e.instances {
		if i.Ended() {
			logf(e.log, "instance %s has ended by itself: %s", i.Name, end(i.Log()))
			names = append(names, i.Name)
			err = errors.Join(err, e.killInstance(i), i.Start(ctx)) // killInstance keeps its counts
		}
	}
	return names, err
}

// killInstance kills the process of an instance and keeps the requests that it had logged.
func (e *environment) killInstance(i *fleet.Instance) error {
	run := i.Run()
	if err := i.Kill(); err != nil {
		return err
	}
	e.killedRuns = append(e.killedRuns, killedRun{i, run, i.RequestCounts()})
	return nil
}

// getTimeout limits a request for health or metrics.
const getTimeout = 2 * time.Second

// get requests a path of an instance, on a connection of its own.
func (e *environment) get(ctx context.Context, i *fleet.Instance, path string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, // of metrics, which costs CPU
		TLSClientConfig: &tls.Config{RootCAs: e.fleet.CAPool(), MinVersion: tls.VersionTLS13},
	}}
	return get(ctx, client, i.BaseURL()+path, string(e.fleet.Token()))
}

// get requests a URL. The token may be empty.
func get(ctx context.Context, client *http.Client, url, token string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	return answer.StatusCode, body, err
}

// describe returns the facts about the environment that figures depend on.
func (e *environment) describe() map[string]string {
	return map[string]string{
		"machine": fmt.Sprintf("%d cores, %s/%s, shared by all nodes, all instances and the drill", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH),
		"go":      runtime.Version(),
		"cluster": fmt.Sprintf("%d datacentres with 3 Cassandra 5.0 nodes (CassandraAuthorizer) and %d instances of the service each", len(datacentres), instancesPerDC),
	}
}
