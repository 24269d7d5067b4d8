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

	"github.com/shirou/gopsutil/v4/cpu"

	"userinfo/drill/history"
	"userinfo/drill/load"
	"userinfo/drill/report"
)

const (
	timeAfter = 2 * time.Second // load after the last fault has recovered
	restTime  = 6 * time.Second // pause after the load, in which the service releases its resources; the judge gives it 5 s
)

// run is one drill on an environment: the load, the faults one after another, and the final reads.
type run struct {
	*environment
	plan     plan
	history  *history.History
	recorder *load.Recorder
	skipped  []string // faults that could not be injected
}

// runPlan runs a drill and returns its history. It returns an error if there is no complete history.
func (e *environment) runPlan(ctx context.Context, p plan) (*history.History, error) {
	began := time.Now()
	r := &run{environment: e, plan: p, recorder: e.newRecorder(began)}
	defer r.recorder.Close()
	r.history = &history.History{
		Name: p.name, Seed: p.seed, Began: began, Rate: p.rate, Fence: fence, TouchSlack: touchSlack,
		Datacentres: datacentres, Passwords: p.passwords, Environment: e.describe(),
	}
	r.history.Environment["command"] = p.command()
	if p.mutant != nil {
		r.history.Mutant = p.mutant.name
	}
	e.killedRuns = nil
	before, err := e.countRequests(ctx)
	if err != nil {
		return nil, err
	}
	stopSampler := e.startSampler(ctx, r.recorder.Now)
	stopLoad := r.startLoad(ctx)
	runErr := r.injectAll(ctx)
	stopLoad()
	r.history.Samples = stopSampler()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if runErr != nil { // the history so far can be judged
		logf(r.log, "the drill ends early: %v", runErr)
		r.history.Environment["ended early"] = runErr.Error()
	}
	if err := r.finish(ctx, before); err != nil {
		return nil, errors.Join(runErr, err)
	}
	if len(r.skipped) > 0 {
		r.history.Environment["could not be injected"] = strings.Join(r.skipped, ", ")
	}
	return r.history, nil
}

// startLoad starts the load of the plan. It returns a function that stops the load and waits for its last answers.
func (r *run) startLoad(ctx context.Context) (stop func()) {
	if r.plan.passwords {
		return runPeople(ctx, r)
	}
	return runLoad(ctx, r.recorder, r.plan.seed, r.plan.rate, "drill", r.targets(sessions))
}

// runLoad starts the load of sessions. It returns a function that stops the load and waits for its last answers.
func runLoad(ctx context.Context, r *load.Recorder, seed uint64, rate float64, prefix string, targets [][]load.Target) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	schedule := load.NewSchedule(seed, rate, len(targets), prefix+":"+rand.Text()[:8]+":")
	running.Go(func() { r.Run(ctx, schedule, targets) })
	return func() {
		cancel()
		running.Wait()
	}
}

// injectAll injects the faults of the plan one after another. Each fault begins when the load is calm.
func (r *run) injectAll(ctx context.Context) error {
	idle := idleSince()
	for n, s := range r.plan.steps {
		if s.prepare != nil {
			if err := r.waitUsual(ctx); err != nil { // so that there are samples from before
				return err
			}
			if err := r.change(ctx, "before "+s.name, s.prepare); err != nil {
				return fmt.Errorf("preparing fault %s: %w", s.name, err)
			}
		}
		if err := r.waitUsual(ctx); err != nil {
			return err
		}
		if n == 0 {
			r.history.Environment[report.Idle] = idle()
		}
		if err := r.inject(ctx, s); err != nil {
			return fmt.Errorf("fault %s: %w", s.name, err)
		}
		if s.restore != nil || n == len(r.plan.steps)-1 {
			last := r.history.Faults[len(r.history.Faults)-1]
			if err := sleep(ctx, r.environment.watchTime-(r.recorder.Now()-last.End)); err != nil {
				return err
			}
		}
		if s.restore != nil {
			if err := r.change(ctx, "after "+s.name, s.restore); err != nil {
				return fmt.Errorf("restoring after fault %s: %w", s.name, err)
			}
		}
		if err := sleep(ctx, s.pause); err != nil {
			return err
		}
		if len(r.plan.steps) > 1 {
			logf(r.log, "%d of %d faults, %v", n+1, len(r.plan.steps), r.recorder.Now().Round(time.Second))
		}
	}
	return sleep(ctx, timeAfter)
}

// waitUsual waits until the load is as usual: sessions are calm, or people have passwords.
func (r *run) waitUsual(ctx context.Context) error {
	if r.plan.passwords {
		return sleep(ctx, peopleTime-r.recorder.Now())
	}
	_, err := waitCalm(ctx, r.recorder, r.environment.calmTimeout)
	return err
}

// change runs prepare or restore of a fault, and waits for recovery. In the history it is a fault of its own. So errors during it
// are no violations, and the judge does not attribute them to the fault itself.
func (r *run) change(ctx context.Context, name string, do action) error {
	f := history.Fault{Name: name, Expect: history.Outage, Begin: r.recorder.Now()}
	err := do(ctx, r)
	f.End = r.recorder.Now()
	if err == nil {
		err = r.waitRecovered(ctx)
	}
	if err == nil {
		f.Recovered = r.recorder.Now()
	}
	r.history.Faults = append(r.history.Faults, f)
	return err
}

// idleSince returns a function that returns the share of CPU time that was idle since idleSince was called.
func idleSince() func() string {
	read := func() (idle, all float64) {
		times, err := cpu.Times(false)
		if err != nil || len(times) == 0 {
			return 0, 0
		}
		t := times[0]
		return t.Idle + t.Iowait, t.User + t.Nice + t.System + t.Idle + t.Iowait + t.Irq + t.Softirq + t.Steal
	}
	idle0, all0 := read()
	return func() string {
		idle, all := read()
		return fmt.Sprintf("%.0f %%", 100*(idle-idle0)/(all-all0))
	}
}

// inject injects one fault and waits for recovery. A fault that cannot be injected stays in the history, because clients may
// have seen a part of it.
func (r *run) inject(ctx context.Context, s step) error {
	logf(r.log, "%s begins: %s", s.name, s.description)
	f := history.Fault{
		Name: s.name, Expect: s.expect, Datacentre: s.lostDatacentre, Unrepaired: s.unrepaired,
		ClockSkew: s.clockSkew, CassandraSkew: s.cassandraSkew, Begin: r.recorder.Now(),
	}
	err := r.apply(ctx, s, f.Begin+s.length)
	if s.end != nil {
		err = errors.Join(err, s.end(context.WithoutCancel(ctx), r))
	}
	f.End = r.recorder.Now()
	var endedErr error
	f.Ended, endedErr = r.restartEnded(ctx)
	err = errors.Join(err, endedErr)
	if err != nil {
		logf(r.log, "%s could not be injected: %v", s.name, err)
		f.Name, f.Expect = f.Name+" (not injected)", history.Outage
		r.skipped = append(r.skipped, s.name)
	}
	logf(r.log, "%s has ended; waiting for recovery", s.name)
	err = r.waitRecovered(ctx)
	if err == nil {
		f.Recovered = r.recorder.Now()
		logf(r.log, "recovered %v after the end", (f.Recovered - f.End).Round(100*time.Millisecond))
	}
	r.history.Faults = append(r.history.Faults, f)
	return err
}

// apply starts a fault and lets it last until the time given.
func (r *run) apply(ctx context.Context, s step, until time.Duration) error {
	if s.begin != nil {
		if err := s.begin(ctx, r); err != nil {
			return err
		}
	}
	for s.repeat != nil && r.recorder.Now() < until {
		if err := s.repeat(ctx, r); err != nil {
			return err
		}
	}
	return sleep(ctx, until-r.recorder.Now())
}

// finish reads every key in each datacentre and at each replica, and compares the counts of requests. Of passwords, it tries
// the newest ones of each user in each datacentre.
func (r *run) finish(ctx context.Context, before requestCounts) error {
	keys := r.recorder.Keys()
	if r.plan.passwords {
		logf(r.log, "trying the newest passwords of every user in each datacentre")
		r.recorder.VerifyAll(r.targets(passwords), finalClient)
	} else {
		logf(r.log, "reading %d keys in each datacentre and at each replica", len(keys))
		r.recorder.ReadAll(r.targets(sessions))
	}
	r.recorder.Close() // so that idle connections of the clients do not count as a leak
	if err := sleep(ctx, restTime); err != nil {
		return err
	}
	r.history.Samples = append(r.history.Samples, r.samplesAtRest(ctx)...)
	if r.plan.passwords {
		r.history.Operations = r.recorder.Operations()
		return nil
	}
	var err error
	if r.history.Cells, err = r.readReplicas(ctx, keys); err != nil {
		return err
	}
	after, err := r.countRequests(ctx)
	if err != nil {
		return err
	}
	r.history.Operations = r.recorder.Operations()
	r.history.Counts = r.compareCounts(r.history.Operations, before, after)
	return nil
}

// samplesAtRest samples the instances without load. An instance may run a periodic task, so samplesAtRest repeats until no
// instance has anything in flight, at most maxSamples times.
func (r *run) samplesAtRest(ctx context.Context) []history.Sample {
	const maxSamples, interval = 10, 700 * time.Millisecond
	for n := 1; ; n++ {
		samples := r.sampleAll(ctx, r.recorder.Now, 0)
		busy := slices.ContainsFunc(samples, func(s history.Sample) bool { return s.InFlight+s.Streams > 0 })
		if !busy || n == maxSamples || sleep(ctx, interval) != nil {
			return samples
		}
	}
}
