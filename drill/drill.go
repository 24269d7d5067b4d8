package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"userinfo/drill/history"
	"userinfo/drill/load"
)

// How long the load runs before a fault, and after all has recovered; and the pause in which what it left is let go.
const (
	before = 8 * time.Second
	after  = 2 * time.Second
	rest   = 2 * time.Second
)

// plan says what to hold.
type plan struct {
	name    string
	command string // of drill, that repeats it but for the seed
	seed    uint64
	rate    float64
	faults  []step
	mutant  *mutant
}

// step is a fault and when it ends.
type step struct {
	fault
	length time.Duration
	pause  time.Duration // after it has recovered
}

// drill holds one drill: load, faults one after another, recovery, final reads.
type drill struct {
	*field
	plan     plan
	history  *history.History
	recorder *load.Recorder
	failed   []string // faults that could not be played
}

// hold runs a plan and gives its history. An error means that there is none to be judged.
func (f *field) hold(ctx context.Context, p plan) (*history.History, error) {
	began := time.Now()
	d := &drill{field: f, plan: p, recorder: load.NewRecorder(flat(f.targets()), f.fleet.CAPool(), string(f.fleet.Token()), began)}
	defer d.recorder.Close()
	d.history = &history.History{
		Name: p.name, Seed: p.seed, Began: began, Rate: p.rate, Fence: fence, TouchSlack: touchSlack,
		Datacentres: datacentres, Environment: f.environment(),
	}
	if verb, rest, _ := strings.Cut(p.command, " "); verb != "" {
		d.history.Environment["command"] = fmt.Sprintf("go run ./drill %s -seed %d -rate %g %s", verb, p.seed, p.rate, rest)
	}
	if p.mutant != nil {
		d.history.Mutant = p.mutant.name
	}
	f.killed = nil
	metricsBefore, logsBefore, err := f.tallies(ctx)
	if err != nil {
		return nil, err
	}
	w := f.watch(ctx, d.recorder.Now)
	played := d.play(ctx)
	d.history.Samples = w.end()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if played != nil { // what there is can be judged all the same
		say(d.log, "the drill ends early: %v", played)
		d.history.Environment["ended early"] = played.Error()
	}
	if err := d.conclude(ctx, metricsBefore, logsBefore); err != nil {
		return nil, errors.Join(played, err)
	}
	if len(d.failed) > 0 {
		d.history.Environment["could not be played"] = strings.Join(d.failed, ", ")
	}
	return d.history, nil
}

// What instances are configured with: see internal/fleet, and the defaults.
const (
	fence      = time.Minute
	touchSlack = 0.01
)

// play runs the load and the faults.
func (d *drill) play(ctx context.Context) error {
	stop := make(chan struct{})
	var loaded sync.WaitGroup
	schedule := load.NewSchedule(d.plan.seed, d.plan.rate, len(datacentres), "drill:"+rand.Text()[:8]+":")
	loaded.Go(func() { d.recorder.Run(schedule, d.targets(), stop) })
	err := d.playFaults(ctx)
	close(stop)
	loaded.Wait()
	return err
}

func (d *drill) playFaults(ctx context.Context) error {
	if !sleep(ctx, before) {
		return ctx.Err()
	}
	for _, s := range d.plan.faults {
		if err := d.strike(ctx, s); err != nil {
			return fmt.Errorf("fault %s: %w", s.name, err)
		}
		if !sleep(ctx, s.pause) {
			return ctx.Err()
		}
		d.progress()
	}
	if !sleep(ctx, after) {
		return ctx.Err()
	}
	return nil
}

// strike plays one fault and waits for recovery.
func (d *drill) strike(ctx context.Context, s step) error {
	h := history.Fault{Name: s.name, Expect: s.expect, ClockSkew: s.clockSkew, CassandraSkew: s.cassandraSkew, Datacentre: s.lost, Unrepaired: s.unrepaired}
	h.Begin = d.recorder.Now()
	say(d.log, "%s begins: %s", s.name, s.what)
	err := s.begin(ctx, d)
	if err == nil && s.during != nil {
		err = s.during(ctx, d, s.length)
	} else if err == nil && !sleep(ctx, s.length-(d.recorder.Now()-h.Begin)) {
		err = ctx.Err()
	}
	if s.end != nil {
		err = errors.Join(err, s.end(context.WithoutCancel(ctx), d))
	}
	h.End = d.recorder.Now()
	if err != nil {
		// It was not what it says, but clients saw something of it: it stays in the history.
		say(d.log, "%s could not be played: %v", s.name, err)
		h.Name, h.Expect = h.Name+" (not played)", history.Outage
		d.failed = append(d.failed, s.name)
	}
	say(d.log, "%s has ended; waiting until everything is as it was", s.name)
	if err := d.settle(ctx); err != nil {
		d.history.Faults = append(d.history.Faults, h) // without Recovered: it has not
		return err
	}
	h.Recovered = d.recorder.Now()
	d.history.Faults = append(d.history.Faults, h)
	say(d.log, "recovered %v after the end", (h.Recovered - h.End).Round(100*time.Millisecond))
	return ctx.Err()
}

// progress says how far the drill is.
func (d *drill) progress() {
	if len(d.plan.faults) > 1 {
		say(d.log, "%d of %d faults, %v", len(d.history.Faults), len(d.plan.faults), d.recorder.Now().Round(time.Second))
	}
}

// readers bounds the final reads under way.
const readers = 24

// conclude reads every key in every datacentre and at every replica, and counts.
func (d *drill) conclude(ctx context.Context, metricsBefore, logsBefore tally) error {
	d.history.Operations = d.recorder.Operations()
	keys := keysOf(d.history.Operations)
	say(d.log, "reading %d keys in each datacentre and at each replica", len(keys))
	readAll(d.recorder, d.targets(), keys)
	d.recorder.Close() // what the clients keep open is theirs, not the instances'
	if !sleep(ctx, rest) {
		return ctx.Err()
	}
	d.history.Samples = append(d.history.Samples, d.atRest(ctx)...)
	var err error
	if d.history.Cells, err = d.cells(ctx, keys); err != nil {
		return err
	}
	metrics, logs, err := d.tallies(ctx)
	if err != nil {
		return err
	}
	d.history.Counts = d.counts(d.recorder.Answers(), metrics, logs, metricsBefore, logsBefore)
	d.history.Operations = d.recorder.Operations()
	return nil
}

// atRest samples the instances when they have nothing to do but their own rounds, of which one may be under way at first.
func (d *drill) atRest(ctx context.Context) []history.Sample {
	const looks = 10
	for n := 0; ; n++ {
		w := &watcher{field: d.field, now: d.recorder.Now}
		w.take(ctx)
		quiet := !slices.ContainsFunc(w.samples, func(s history.Sample) bool { return s.InFlight+s.Streams > 0 })
		if quiet || n == looks || !sleep(ctx, 700*time.Millisecond) {
			return w.samples
		}
	}
}

func readAll(r *load.Recorder, targets [][]load.Target, keys []string) {
	work := make(chan string)
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for key := range work {
				for _, some := range targets {
					due := r.Now()
					r.Do(some[int(due)%len(some)], history.Operation{Due: due, Method: history.Get, Key: key, Final: true})
				}
			}
		})
	}
	for _, key := range keys {
		work <- key
	}
	close(work)
	all.Wait()
}

func keysOf(operations []history.Operation) []string {
	seen := make(map[string]bool)
	var keys []string
	for _, o := range operations {
		if !seen[o.Key] && o.Method == history.Set { // keys that nobody has set have nothing to be read
			seen[o.Key] = true
			keys = append(keys, o.Key)
		}
	}
	return keys
}

// warmUp runs a load, which is forgotten, until it is calm: a node's first requests are slow, for its JVM is cold, and
// all nodes share this machine.
func (f *field) warmUp(ctx context.Context, rate float64) error {
	say(f.log, "warming up")
	r := load.NewRecorder(flat(f.targets()), f.fleet.CAPool(), string(f.fleet.Token()), time.Now())
	defer r.Close()
	stop := make(chan struct{})
	var loaded sync.WaitGroup
	loaded.Go(func() {
		r.Run(load.NewSchedule(1, rate, len(datacentres), "warm:"+rand.Text()[:8]+":"), f.targets(), stop)
	})
	defer loaded.Wait()
	defer close(stop)
	const calm, most, usual = 5 * time.Second, 3 * time.Minute, 400 * time.Millisecond
	for {
		if !sleep(ctx, time.Second) {
			return ctx.Err()
		}
		now := r.Now()
		if now > calm+load.Patience && isCalm(r.Operations(), now-calm-load.Patience, now-load.Patience, usual) {
			return nil
		}
		if now > most {
			return fmt.Errorf("the load is not calm after %v: this machine is too slow or busy for %.0f operations/s; give a lower --rate", most, rate)
		}
	}
}

// isCalm tells whether all that was due in a stretch of time was answered, 99 in 100 quickly.
func isCalm(operations []history.Operation, from, to, usual time.Duration) bool {
	all, slow := 0, 0
	for _, o := range operations {
		if o.Due < from || o.Due >= to {
			continue
		}
		all++
		if out := o.Outcome(); out == history.Unknown || o.Status >= 500 {
			return false
		}
		if o.Complete-o.Due > usual {
			slow++
		}
	}
	return all > 0 && slow*100 <= all
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
