package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"userinfo/bench/environment"
	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/bench/target"
)

const runFile = "run.json"

// session is a run that is under way: what has been started, and what has been measured.
type session struct {
	*bench
	o       *options
	lab     *target.Lab
	run     *result.Run
	targets map[string]*target.Target
	loaded  map[string]load.Dataset // by target, the last
	cold    bool                    // Cassandra has just been started
}

// measure runs do within a session that has what workloads need, and writes what came of it, though it should have failed.
func (b *bench) measure(o *options, workloads []workload, do func(*session) error) (err error) {
	var names, kinds []string
	for _, w := range workloads {
		names = append(names, w.targets...)
		for _, t := range o.stores {
			if !slices.Contains(w.targets, t.Name) {
				continue
			}
			if _, err := w.asked(t); err != nil { // better now than after an hour
				return fmt.Errorf("%s: %w; or leave that workload out: with run they are named", w.name, err)
			}
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(o.stores, func(t *target.Target) bool { return t.Name == name }) {
			kind, _, _ := strings.Cut(name, ":")
			kinds = append(kinds, kind)
		}
	}
	if err := target.Check(b.ctx, kinds...); err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	lab, err := target.NewLab(target.Options{Floor: []string{self, "floor"}, Log: slog.New(slog.NewTextHandler(b.err, nil))})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	s := &session{bench: b, o: o, lab: lab, targets: make(map[string]*target.Target), loaded: make(map[string]load.Dataset),
		run: &result.Run{Version: result.Version, Began: time.Now().UTC(), Command: b.args, Environment: environment.Read(b.ctx)}}
	if slices.ContainsFunc(kinds, s.needsCassandra) {
		b.say("starting %d node(s) of Cassandra", o.nodes)
		if err := lab.StartCluster(b.ctx, o.cluster()); err != nil {
			return err
		}
		s.run.Environment.Cassandra = lab.Describe(b.ctx)
		s.cold = true
	}
	err = do(s)
	if s.empty() {
		return cmp.Or(err, errors.New("nothing was measured: these workloads can be asked of none of these targets"))
	}
	return errors.Join(err, s.keep(), b.tell(o.dir, s.run), unanswered(s.run))
}

// unanswered is an error where a target has not answered one request of a workload: there is no figure of it.
func unanswered(run *result.Run) error {
	done := make(map[[2]string]int64)
	for _, s := range run.Samples {
		done[[2]string{s.Target, s.Workload}] += s.Done
	}
	for _, s := range run.Samples {
		if done[[2]string{s.Target, s.Workload}] == 0 {
			return fmt.Errorf("%s has answered no request of %s: %v", s.Target, s.Workload, s.Errors)
		}
	}
	return nil
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.err, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

func (s *session) needsCassandra(name string) bool {
	return name == result.Driver || !s.o.memory && (name == result.UserInfo || name == result.Sidecar)
}

func (s *session) empty() bool { return len(s.run.Samples)+len(s.run.Footprints) == 0 }

// keep writes what has been measured until now. Where that is nothing, another run may have the directory.
func (s *session) keep() error {
	if s.empty() {
		return nil
	}
	return s.run.Write(filepath.Join(s.o.dir, runFile))
}

// target starts the one of that name, or gives it again.
func (s *session) target(name string) (*target.Target, error) {
	if t := s.targets[name]; t != nil {
		return t, nil
	}
	t, err := s.start(name)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	if s.inBatches(t) {
		if err := batch(t.Processes); err != nil {
			return nil, err
		}
		s.run.Environment.Settings["scheduling"] = "SCHED_BATCH of what is started here"
	}
	s.targets[name] = t
	return t, nil
}

// inBatches tells whether all that a target is made of, and its generators, are scheduled so: what the benchmark starts.
func (s *session) inBatches(t *target.Target) bool {
	return !s.o.plain && !slices.Contains(s.o.stores, t)
}

// variant is how the name of an instance with an environment of its own begins: userinfo:GOMAXPROCS=1+GOGC=200.
const variant = result.UserInfo + ":"

func (s *session) start(name string) (*target.Target, error) {
	for _, store := range s.o.stores {
		if store.Name == name {
			return store, nil
		}
	}
	if env, ok := strings.CutPrefix(name, variant); ok {
		service := target.Service{Name: name, Env: strings.Split(env, "+")}
		if s.o.memory {
			return s.lab.Memory(s.ctx, service)
		}
		return s.lab.UserInfo(s.ctx, service)
	}
	switch name {
	case result.UserInfo:
		if s.o.memory {
			return s.lab.Memory(s.ctx, target.Service{Name: name})
		}
		return s.lab.UserInfo(s.ctx, target.Service{Name: name, Program: s.o.program, Env: s.o.env})
	case result.Memory:
		return s.lab.Memory(s.ctx, target.Service{Name: name, Program: s.o.program, Env: s.o.env})
	case result.Handler:
		return s.lab.Handler(s.ctx, name)
	case result.Loop:
		return s.lab.Loop(s.ctx, name)
	case result.Driver:
		return s.lab.Driver(s.ctx, name)
	case result.Sidecar:
		of, err := s.target(result.UserInfo)
		if err != nil {
			return nil, err
		}
		return s.lab.Sidecar(s.ctx, name, of)
	case result.Redis:
		return s.lab.Redis(s.ctx, name)
	}
	return nil, fmt.Errorf("there is no target %q", name)
}

// prepare loads a data set at a target that keeps one.
func (s *session) prepare(t *target.Target, data load.Dataset) error {
	if t.Name == result.Handler || t.Name == result.Loop || s.loaded[t.Name] == data {
		return nil
	}
	if err := loadData(s.ctx, t, data, s.o, s.err); err != nil {
		return err
	}
	s.loaded[t.Name] = data
	if t.Nodes == 0 || s.lab.Cluster() == nil {
		return nil
	}
	return s.compacted()
}

// compacted waits until no node has anything to compact: what was loaded would be charged to the gets.
func (s *session) compacted() error {
	for _, n := range s.lab.Cluster().Nodes("") {
		for said := false; ; said = true {
			tasks, err := n.BackgroundTasks(s.ctx)
			if err != nil {
				return fmt.Errorf("asking node %s what it compacts: %w", n.Name, err)
			}
			if tasks == "" {
				break
			}
			if !said {
				s.say("waiting until node %s has compacted what was loaded", n.Name)
			}
			select {
			case <-time.After(time.Second):
			case <-s.ctx.Done():
				return s.ctx.Err()
			}
		}
	}
	return nil
}

// group measures workloads in turns with each other, each on its targets.
func (s *session) group(all ...workload) error {
	g := &group{o: s.o}
	var names []string
	if !slices.ContainsFunc(all, func(w workload) bool { return len(w.targets) > 0 }) {
		s.say("%s: asked of none of these targets", all[0].name)
		return nil
	}
	err := func() error {
		for _, w := range all {
			if err := s.addAll(g, w); err != nil {
				return err
			}
			names = append(names, w.name)
		}
		if err := s.compile(g); err != nil {
			return err
		}
		s.say("%s: %d lanes, %d rounds of %g s", strings.Join(names, ", "), len(g.lanes), s.o.rounds, s.o.seconds)
		unsettled := func(l *lane, took float64) {
			s.say("  %s on %s has not settled within %.0f s: a longer -warm, or -compile, may show less noise", l.workload.name, l.target.Name, took)
		}
		return g.run(s.ctx, unsettled, func(sample result.Sample) {
			s.run.Samples = append(s.run.Samples, sample)
			s.say("  %s", line(&sample))
		})
	}()
	return errors.Join(err, g.close(), s.keep())
}

// compile gives Cassandra's compiler something to do, once: it halves the cost of a read within a minute or two.
func (s *session) compile(g *group) error {
	i := slices.IndexFunc(g.lanes, func(l *lane) bool { return l.target.Nodes > 0 })
	if !s.cold || i < 0 {
		return nil
	}
	s.cold = false
	l := g.lanes[i]
	s.say("warming Cassandra up: %s for %g s", l.workload.name, s.o.compile)
	r := l.round(s.o, 0)
	r.Seconds = s.o.compile
	_, err := l.crew.Round(s.ctx, r)
	return err
}

func (s *session) addAll(g *group, w workload) error {
	for _, name := range w.targets {
		t, err := s.target(name)
		if err != nil {
			return err
		}
		data := s.o.set(w)
		if err := s.prepare(t, data); err != nil {
			return err
		}
		if err := g.add(s.ctx, w, t, data); err != nil {
			return err
		}
		if s.inBatches(t) {
			if err := batch(g.lanes[len(g.lanes)-1].generators()); err != nil {
				return err
			}
		}
	}
	return nil
}

// line is a sample for the terminal.
func line(s *result.Sample) string {
	text := fmt.Sprintf("%-24s %-9s round %d: %7.0f/s  p50 %.2f ms  p99 %.2f ms", s.Workload, s.Target, s.Round, s.Throughput(),
		s.Latency.At(.5).Seconds()*1e3, s.Latency.At(.99).Seconds()*1e3)
	for _, kind := range []string{result.KindService, result.KindFloor, result.KindSidecar, result.KindRedis, result.KindCassandra, result.KindGenerator} {
		if each := s.CPU(kind); each > 0 {
			text += fmt.Sprintf("  %s %.0f µs", kind, each.Seconds()*1e6)
		}
	}
	if n := s.Errored(); n > 0 {
		text += fmt.Sprintf("  ERRORS %d %v", n, s.Errors)
	}
	return text
}

// idle measures a target's memory with so many connections.
func (s *session) idle(name string, connections int) error {
	t, err := s.target(name)
	if err != nil {
		return err
	}
	f, err := footprint(s.ctx, t, connections)
	if err != nil {
		return err
	}
	s.run.Footprints = append(s.run.Footprints, f)
	s.say("  %s with %d idle connections: %d MB, %d MB without", t.Name, f.Connections, f.RSS>>20, f.Rest>>20)
	return s.keep()
}
