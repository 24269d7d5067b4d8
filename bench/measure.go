package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/bench/target"
)

// measuring is a run in progress.
type measuring struct {
	*bench
	o       *options
	testbed *target.Testbed
	result  *result.Run
	targets map[string]*target.Target
	loaded  map[string]load.Dataset // the newest data set of each target
	cold    bool                    // Cassandra has just been started
}

// start starts what workloads need, calls do, and writes run.json and the report, even if do fails.
func (b *bench) start(o *options, all []workload, do func(*measuring) error) (err error) {
	kinds, err := o.checkTargets(all)
	if err != nil {
		return err
	}
	onCluster := func(kind string) bool {
		return kind == result.UserInfo || kind == result.Driver || kind == result.Sidecar && !o.memory
	}
	cluster := slices.ContainsFunc(kinds, onCluster)
	if err := target.Check(b.ctx, kinds, cluster); err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	testbed, err := target.New(self)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, testbed.Close()) }()
	m := &measuring{bench: b, o: o, testbed: testbed, targets: map[string]*target.Target{}, loaded: map[string]load.Dataset{},
		result: result.New(b.args, environment(b.ctx))}
	if cluster {
		b.say("starting %d Cassandra node(s)", o.nodes)
		options := o.cluster()
		options.Log = slog.New(slog.NewTextHandler(b.err, nil))
		if err := testbed.StartCluster(b.ctx, options); err != nil {
			return err
		}
		m.result.Environment["Cassandra"] = testbed.Describe(b.ctx)
		m.cold = true
	}
	if !o.plain && len(kinds) > 0 {
		m.result.Environment["scheduling"] = "SCHED_BATCH for all processes that the benchmark started"
		if err := target.ScheduleInBatches([]target.Process{{Kind: result.KindGenerator, PID: os.Getpid()}}); err != nil {
			return err
		}
	}
	err = do(m)
	if len(m.result.Samples) == 0 {
		return cmp.Or(err, errors.New("nothing was measured: the workloads do not apply to these targets"))
	}
	return errors.Join(err, m.result.Write(o.dir), b.writeReport(o.dir, m.result), unanswered(m.result.Samples))
}

// checkTargets returns the kinds of targets that the benchmark must start for workloads. It returns an error if a name is
// unknown, or a store lacks a credential: better now than after an hour.
func (o *options) checkTargets(all []workload) (kinds []string, err error) {
	for _, w := range all {
		for _, name := range w.targets {
			if store := o.stores.named(name); store != nil {
				if _, err := w.connect(store); err != nil {
					return nil, fmt.Errorf("workload %s: %w; or run only other workloads", w.name, err)
				}
				continue
			}
			i, err := target.ParseName(name)
			if err != nil {
				return nil, err
			}
			kinds = append(kinds, i.Kind)
			if w.sidecar {
				kinds = append(kinds, result.Sidecar)
			}
		}
	}
	return kinds, nil
}

// unanswered returns an error if a target has answered no request of a workload correctly.
func unanswered(samples []result.Sample) error {
	done := make(map[[2]string]int64)
	for _, s := range samples {
		done[[2]string{s.Target, s.Workload}] += s.Done
	}
	for _, s := range samples {
		if done[[2]string{s.Target, s.Workload}] == 0 {
			return fmt.Errorf("%s has answered no request of %s correctly: %v", s.Target, s.Workload, s.Errors)
		}
	}
	return nil
}

// target returns a target, and starts it if it does not run yet.
func (m *measuring) target(name string) (*target.Target, error) {
	if store := m.o.stores.named(name); store != nil {
		m.targets[name] = store
	}
	return m.startOnce(name, func() (*target.Target, error) { return m.testbed.Start(m.ctx, name) })
}

// sidecar returns the sidecar, and starts it before a target if it does not run yet.
func (m *measuring) sidecar(of *target.Target) (*target.Target, error) {
	return m.startOnce(result.Sidecar, func() (*target.Target, error) { return m.testbed.StartSidecar(m.ctx, of) })
}

func (m *measuring) startOnce(name string, start func() (*target.Target, error)) (*target.Target, error) {
	if t := m.targets[name]; t != nil {
		return t, nil
	}
	m.say("starting %s", name)
	t, err := start()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	m.targets[name] = t
	if m.o.plain {
		return t, nil
	}
	return t, target.ScheduleInBatches(t.Processes)
}

// load loads the data set of a workload into a target, and waits until Cassandra has compacted it.
func (m *measuring) load(t *target.Target, data load.Dataset) error {
	if t.Name == result.Handler || t.Name == result.Loop || m.loaded[t.Name] == data {
		return nil
	}
	if err := m.loadData(t, data, m.o.ttl); err != nil {
		return err
	}
	m.loaded[t.Name] = data
	if m.testbed.Cluster() == nil {
		return nil
	}
	for _, n := range m.testbed.Cluster().Nodes("") {
		for waited := false; ; waited = true {
			tasks, err := n.BackgroundTasks(m.ctx)
			if err != nil {
				return fmt.Errorf("asking node %s for its compactions: %w", n.Name, err)
			}
			if tasks == "" {
				break
			}
			if !waited {
				m.say("waiting until node %s has compacted the data", n.Name)
			}
			select {
			case <-time.After(time.Second):
			case <-m.ctx.Done():
				return m.ctx.Err()
			}
		}
	}
	return nil
}

// loadData loads a data set into a target.
func (b *bench) loadData(t *target.Target, data load.Dataset, ttl int) error {
	d, err := t.Dialer()
	if err != nil {
		return err
	}
	defer d.Close()
	began, told := time.Now(), time.Now()
	l := load.Loader{TTL: ttl, Connections: 64, Progress: func(done, total int) {
		if time.Since(told) > 10*time.Second || done == total {
			told = time.Now()
			b.say("%s: %d of %d values are loaded (%.0f s)", t.Name, done, total, time.Since(began).Seconds())
		}
	}}
	set, err := l.Load(b.ctx, d, data)
	if err != nil {
		return fmt.Errorf("loading %s: %w%s", t.Name, err, remedy(err))
	}
	if set == 0 {
		b.say("%s: all %d values are there already", t.Name, data.Values)
	}
	return nil
}

// remedy tells what to change if a store cannot be loaded.
func remedy(err error) string {
	var failure load.Failure
	var unknown x509.UnknownAuthorityError
	switch errors.As(err, &failure); {
	case failure == "401":
		return " (add header=, or certificate= and key=, to its -url)"
	case failure == "403":
		return " (allow its client get and set)"
	case failure == "404" || failure == "405":
		return " (does its -url name the collection, with a slash at the end? does it need set=POST?)"
	case errors.As(err, &unknown):
		return " (add ca= to its -url)"
	}
	return ""
}

// measure measures workloads in turns, each on its targets, and keeps the samples.
func (m *measuring) measure(all ...workload) (err error) {
	var trials []*trial
	defer func() {
		for _, t := range trials {
			err = errors.Join(err, t.generator.Close())
		}
		if len(m.result.Samples) > 0 {
			err = errors.Join(err, m.result.Write(m.o.dir))
		}
	}()
	var names []string
	for _, w := range all {
		names = append(names, w.name)
		for _, name := range w.targets {
			t, err := m.newTrial(w, name)
			if err != nil {
				return fmt.Errorf("%s on %s: %w", w.name, name, err)
			}
			trials = append(trials, t)
		}
	}
	if len(trials) == 0 {
		return nil
	}
	if m.cold {
		m.cold = false
		m.say("%g s of load for Cassandra's compiler", m.o.compile)
		for _, t := range trials {
			if t.onCassandra() {
				if _, err := t.round(m.ctx, m.o.compile); err != nil {
					return err
				}
				break
			}
		}
	}
	m.say("%s: %d targets, %d rounds of %g s", strings.Join(names, ", "), len(trials), m.o.rounds, m.o.seconds)
	return m.runTrials(trials)
}
