package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"userinfo/drill/load"
	"userinfo/internal/fleet"
	"userinfo/internal/testcluster"
)

// Names of the datacentres, and how many instances serve in each.
var datacentres = []string{"dc1", "dc2"}

const instancesPerDC = 2

// field is the installation that drills are held on: a cluster of two datacentres and instances in both. One goroutine
// changes it.
type field struct {
	dir       string
	cluster   *testcluster.Cluster
	fleet     *fleet.Fleet
	instances []*fleet.Instance
	log       *slog.Logger
	// killed has what instances that were killed had logged in that run.
	killed []killedRun
}

type killedRun struct {
	instance *fleet.Instance
	run      int
	logged   map[fleet.LoggedRequest]int
}

// startPatience bounds the start of a cluster, which takes about a minute.
const startPatience = 5 * time.Minute

// newField starts everything.
func newField(ctx context.Context, needs testcluster.Options, log *slog.Logger) (*field, error) {
	dir, err := os.MkdirTemp("", "userinfo-drill-")
	if err != nil {
		return nil, err
	}
	f := &field{dir: dir, log: log}
	if err := f.open(ctx, needs); err != nil {
		return nil, errors.Join(err, f.close(context.WithoutCancel(ctx)))
	}
	return f, nil
}

func (f *field) open(ctx context.Context, needs testcluster.Options) (err error) {
	say(f.log, "starting a cluster of two datacentres, three nodes in each")
	needs.Log = f.log
	starting, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if f.cluster, err = testcluster.Start(starting, needs); err != nil {
		return err
	}
	return f.deploy(ctx, nil)
}

// deploy builds the program, with a planted bug where m is not nil, and starts instances of it in place of those there
// are.
func (f *field) deploy(ctx context.Context, m *mutant) error {
	if f.fleet != nil {
		if err := f.fleet.Close(); err != nil {
			return err
		}
	}
	f.instances, f.killed = nil, nil
	dir, err := os.MkdirTemp(f.dir, "fleet-")
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
	if f.fleet, err = fleet.New(ctx, dir, program, f.cluster); err != nil {
		return err
	}
	for _, dc := range datacentres {
		for n := range instancesPerDC {
			i, err := f.fleet.StartInstance(ctx, fleet.InstanceConfig{Name: fmt.Sprintf("%s-%c", dc, 'a'+n), Datacentre: dc})
			if err != nil {
				return err
			}
			f.instances = append(f.instances, i)
		}
	}
	return nil
}

func (f *field) close(ctx context.Context) error {
	var errs []error
	if f.fleet != nil {
		errs = append(errs, f.fleet.Close())
	}
	if f.cluster != nil {
		errs = append(errs, f.cluster.Stop(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(f.dir))...)
}

// targets are the instances, by datacentre.
func (f *field) targets() [][]load.Target {
	all := make([][]load.Target, len(datacentres))
	for n, dc := range datacentres {
		for _, i := range f.instances {
			if i.Datacentre == dc {
				all[n] = append(all[n], load.Target{Name: i.Name, DC: dc, URL: func() string { return i.CollectionURL("sessions") }, Run: i.Run})
			}
		}
	}
	return all
}

func flat(targets [][]load.Target) []load.Target {
	var all []load.Target
	for _, some := range targets {
		all = append(all, some...)
	}
	return all
}

// kill ends an instance's process for good and keeps what it had logged.
func (f *field) kill(i *fleet.Instance) error {
	run := i.Run()
	if err := i.Kill(); err != nil {
		return err
	}
	f.killed = append(f.killed, killedRun{i, run, i.RequestCounts()})
	return nil
}

// settlePatience bounds the time from a fault's end until everything is as it was. A delete may take 60 s of it.
const settlePatience = 4 * time.Minute

// settle waits until every node sees every other, every instance is ready, no delete is pending, and no node has hints for
// another. A hint may be all that brings a datacentre what another has acknowledged: Cassandra sends a write to one node of a
// remote datacentre, which is to pass it on, and where that one is cut off and not yet held for down, all there miss it.
func (f *field) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	if err := f.cluster.WaitAllUp(ctx); err != nil {
		return err
	}
	for _, i := range f.instances {
		if err := f.await(ctx, i, "is ready", func() bool { return f.ready(ctx, i) }); err != nil {
			return err
		}
	}
	// The gauge is of the last look: there must have been one since.
	since := time.Now()
	for _, i := range f.instances {
		err := f.await(ctx, i, "has carried every delete through", func() bool {
			s, err := f.scrape(ctx, i)
			return err == nil && s.Pending == 0 && time.Since(since) > lookInterval
		})
		if err != nil {
			return err
		}
	}
	for _, n := range f.cluster.Nodes("") {
		if err := f.awaitHints(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// awaitHints waits until n has brought the others what they missed. It has noted that by now: a hint is made when a write has
// timed out (2 s), and seen hints_flush_period (1 s) later, both of which lookInterval exceeds.
func (f *field) awaitHints(ctx context.Context, n *testcluster.Node) error {
	for {
		pending, err := n.PendingHints(ctx)
		if err == nil && pending == "" {
			return nil
		}
		if !sleep(ctx, 500*time.Millisecond) {
			return fmt.Errorf("waiting until node %s has brought all hints: %w; it has some for %q (%v)", n.Name, ctx.Err(), pending, err)
		}
	}
}

// lookInterval is longer than a Carrier's.
const lookInterval = 6500 * time.Millisecond

func (f *field) await(ctx context.Context, i *fleet.Instance, what string, done func() bool) error {
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until instance %s %s: %w; its log ends:\n%s", i.Name, what, ctx.Err(), tail(i.Log()))
		case <-time.After(300 * time.Millisecond):
		}
	}
	return nil
}

func tail(s string) string { return s[max(0, len(s)-3000):] }

func (f *field) ready(ctx context.Context, i *fleet.Instance) bool {
	status, _, err := f.ask(ctx, i, "/readyz")
	return err == nil && status == http.StatusOK
}

// ask makes a request beside the load.
func (f *field) ask(ctx context.Context, i *fleet.Instance, path string) (int, io.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.BaseURL()+path, nil)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+string(f.fleet.Token()))
	answer, err := f.observer().Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	return answer.StatusCode, buffered(answer.Body), nil
}

// environment is what figures depend on.
func (f *field) environment() map[string]string {
	return map[string]string{
		"machine": fmt.Sprintf("%d cores, %s/%s, for all nodes, instances and the drill", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH),
		"go":      runtime.Version(),
		"cluster": fmt.Sprintf("%d datacentres of 3 Cassandra 5.0 nodes, %d instances of the service in each", len(datacentres), instancesPerDC),
	}
}

func say(log *slog.Logger, format string, args ...any) { log.Info(fmt.Sprintf(format, args...)) }
