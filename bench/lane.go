package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"userinfo/bench/cost"
	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/bench/target"
)

// lane is one workload on one target: generators with their connections, and the processes whose cost counts.
type lane struct {
	workload workload
	target   *target.Target
	crew     *load.Crew
}

// group is lanes that run in turns.
type group struct {
	o     *options
	lanes []*lane
}

// asked is t, for this workload's kind of connection.
func (w workload) asked(t *target.Target) (*target.Target, error) {
	if w.token {
		var err error
		if t, err = t.ByToken(); err != nil {
			return nil, err
		}
	}
	if !w.fresh && !w.http2 {
		return t, nil
	}
	if w.fresh && !w.token && !w.sidecar {
		if err := t.ByCertificate(); err != nil {
			return nil, err
		}
	}
	return t.With(func(f *load.HTTPSFiles) { f.Fresh, f.Resume, f.HTTP2 = w.fresh, w.resume, w.http2 })
}

// add makes ready for w on t. Its generators connect.
func (g *group) add(ctx context.Context, w workload, t *target.Target, data load.Dataset) error {
	t, err := w.asked(t)
	if err != nil {
		return err
	}
	spec := load.Spec{
		Kind: t.Kind, Settings: t.Settings, Workload: w.mix, Data: data, Connections: w.connections, Seed: g.o.seed, TTL: g.o.ttl,
	}
	crew, err := load.StartCrew(ctx, g.o.generators, spec, nil)
	if err != nil {
		return fmt.Errorf("%s on %s: %w", w.name, t.Name, err)
	}
	g.lanes = append(g.lanes, &lane{w, t, crew})
	return nil
}

func (g *group) close() error {
	var errs []error
	for _, l := range g.lanes {
		errs = append(errs, l.crew.Close())
	}
	return errors.Join(errs...)
}

// settle is how long, in seconds, a lane runs again before its turn counts: caches and queues were the last lane's.
const settle = 1

// run has all lanes warm up and then run in turns. unsettled is told of every lane that has not settled, each of every sample.
func (g *group) run(ctx context.Context, unsettled func(*lane, float64), each func(result.Sample)) error {
	for _, l := range g.lanes {
		warm := l.round(g.o, 0)
		took, settled, err := load.Warm(ctx, load.WarmUp{Seconds: g.o.warm, Most: 60}, warm, l.crew.Round)
		if err != nil {
			return fmt.Errorf("%s on %s, warming up: %w", l.workload.name, l.target.Name, err)
		}
		if !settled {
			unsettled(l, took)
		}
	}
	order := slices.Clone(g.lanes)
	for i := range g.o.rounds {
		for _, l := range order {
			again := l.round(g.o, i)
			again.Seconds = settle
			if _, err := l.crew.Round(ctx, again); err != nil {
				return fmt.Errorf("%s on %s: %w", l.workload.name, l.target.Name, err)
			}
			s, err := l.measure(ctx, l.round(g.o, i))
			if err != nil {
				return fmt.Errorf("%s on %s: %w", l.workload.name, l.target.Name, err)
			}
			each(s)
		}
		slices.Reverse(order)
	}
	return nil
}

func (l *lane) round(o *options, number int) load.Round {
	return load.Round{Number: number, Mode: l.workload.mode, Rate: l.workload.rate(), Seconds: o.seconds}
}

func (l *lane) generators() (all []cost.Process) {
	for _, pid := range l.crew.Pids() {
		all = append(all, cost.Process{Kind: result.KindGenerator, PID: pid})
	}
	return all
}

// measure is one round and what it cost.
func (l *lane) measure(ctx context.Context, r load.Round) (result.Sample, error) {
	meter, err := cost.Start(ctx, slices.Concat(l.target.Processes, l.generators()))
	if err != nil {
		return result.Sample{}, err
	}
	s, err := l.crew.Round(ctx, r)
	if err != nil {
		return result.Sample{}, err
	}
	if s.Costs, err = meter.Stop(ctx); err != nil {
		return result.Sample{}, err
	}
	s.Target, s.Workload, s.Nodes = l.target.Name, l.workload.name, l.target.Nodes
	return s, nil
}

// loadData sets what a data set lacks at a target.
func loadData(ctx context.Context, t *target.Target, data load.Dataset, o *options, progress io.Writer) error {
	dialer, err := t.Dialer()
	if err != nil {
		return err
	}
	defer dialer.Close()
	l := load.Loading{TTL: o.ttl, Concurrency: 64, Progress: progress, Terminal: isTerminal(progress)}
	if _, err := load.Load(ctx, dialer, data, l); err != nil {
		return fmt.Errorf("loading %s: %w%s", t.Name, err, hint(err))
	}
	return nil
}

// hint says what to change where a store cannot be loaded.
func hint(err error) string {
	var failure load.Failure
	var unknown x509.UnknownAuthorityError
	switch errors.As(err, &failure); {
	case failure == "401":
		return " (give its -url a header=, or certificate= and key=)"
	case failure == "403":
		return " (its client must be allowed get and set there)"
	case failure == "404" || failure == "405":
		return " (is its URL that of the collection, with the / at its end? Does it take PUT, or set=POST?)"
	case errors.As(err, &unknown):
		return " (give its -url a ca=)"
	}
	return ""
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	s, err := f.Stat()
	return err == nil && s.Mode()&os.ModeCharDevice != 0
}
