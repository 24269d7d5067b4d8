package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"userinfo/bench/load"
	"userinfo/bench/result"
	"userinfo/bench/target"
)

// trial is one workload on one target.
type trial struct {
	workload  workload
	target    *target.Target
	nodes     int // of Cassandra in the run
	generator *load.Generator
}

// newTrial starts the target if necessary, loads the data set and makes the generator.
func (m *measuring) newTrial(w workload, name string) (*trial, error) {
	t, err := m.target(name)
	if err != nil {
		return nil, err
	}
	data := m.o.dataset(w)
	if err := m.load(t, data); err != nil {
		return nil, err
	}
	if w.sidecar {
		if t, err = m.sidecar(t); err != nil {
			return nil, err
		}
	}
	connected, err := w.connect(t)
	if err != nil {
		return nil, err
	}
	d, err := connected.Dialer()
	if err != nil {
		return nil, err
	}
	g, err := load.NewGenerator(d, load.Config{Mix: w.mix, Data: data, Connections: w.connections, Fresh: w.fresh, Seed: m.o.seed, TTL: m.o.ttl})
	if err != nil {
		return nil, err
	}
	result := &trial{workload: w, target: t, generator: g}
	if c := m.testbed.Cluster(); c != nil {
		result.nodes = len(c.Nodes(""))
	}
	return result, nil
}

func (t *trial) onCassandra() bool {
	return slices.ContainsFunc(t.target.Processes, func(p target.Process) bool { return p.Kind == result.KindCassandra })
}

// round sends load for some seconds.
func (t *trial) round(ctx context.Context, seconds float64) (result.Sample, error) {
	s, err := t.generator.Round(ctx, load.Round{Mode: t.workload.mode, Rate: t.workload.rate, Seconds: seconds})
	if err != nil {
		return s, fmt.Errorf("%s on %s: %w", t.workload.name, t.target.Name, err)
	}
	s.Workload, s.Target, s.Nodes = t.workload.name, t.target.Name, t.nodes
	return s, nil
}

// measure is round, with costs.
func (t *trial) measure(ctx context.Context, seconds float64) (result.Sample, error) {
	processes := append(slices.Clone(t.target.Processes), target.Process{Kind: result.KindGenerator, PID: os.Getpid()})
	meter, err := target.StartMeter(processes)
	if err != nil {
		return result.Sample{}, err
	}
	s, err := t.round(ctx, seconds)
	if err != nil {
		return s, err
	}
	s.Costs, err = meter.Stop()
	return s, err
}

// settleSeconds is how long a trial runs before its turn counts: caches and queues hold the previous trial's data.
const settleSeconds = 1

// runTrials warms trials up and runs them in turns. It reverses their order after each round.
func (m *measuring) runTrials(trials []*trial) error {
	for _, t := range trials {
		stable, err := m.warmUp(t)
		if err != nil {
			return err
		}
		if !stable {
			m.say("  %s on %s is not stable yet: a longer -warm or -compile may reduce the noise", t.workload.name, t.target.Name)
		}
	}
	order := slices.Clone(trials)
	for round := range m.o.rounds {
		for _, t := range order {
			if _, err := t.round(m.ctx, settleSeconds); err != nil {
				return err
			}
			s, err := t.measure(m.ctx, m.o.seconds)
			if err != nil {
				return err
			}
			s.Round = round
			m.result.Samples = append(m.result.Samples, s)
			m.say("  %s", line(&s))
		}
		slices.Reverse(order)
	}
	return nil
}

// line describes a sample for the terminal.
func line(s *result.Sample) string {
	ms := func(q float64) float64 { return s.Latency.At(q).Seconds() * 1e3 }
	text := fmt.Sprintf("round %d  %-22s %-16s %7.0f/s  p50 %.2f ms  p99 %.2f ms", s.Round+1, s.Workload, s.Target, s.Throughput(), ms(.5), ms(.99))
	for _, kind := range result.Kinds {
		if each := s.CPU(kind); each > 0 {
			text += fmt.Sprintf("  %s %.0f µs", kind, each.Seconds()*1e6)
		}
	}
	if s.ErrorCount() > 0 {
		text += fmt.Sprintf("  ERRORS %v", s.Errors)
	}
	return text
}

// Warm-up ends when the figure of the last five seconds is within 5 % of the figure of the five seconds before, and there are
// no more errors than then.
const (
	warmSeconds   = 5
	warmTolerance = 0.05
	warmLimit     = 60 // seconds
)

// warmUp sends load that does not count. It returns whether the figures became stable.
func (m *measuring) warmUp(t *trial) (stable bool, err error) {
	if m.o.warm > 0 {
		_, err := t.round(m.ctx, m.o.warm)
		return true, err
	}
	var before result.Sample
	for seconds := 0; seconds < warmLimit && !stable; seconds += warmSeconds {
		s, err := t.round(m.ctx, warmSeconds)
		if err != nil {
			return false, fmt.Errorf("warming up: %w", err)
		}
		stable = isStable(&before, &s)
		before = s
	}
	return stable, nil
}

// isStable compares throughput in a closed loop, and p50 in an open loop.
func isStable(before, after *result.Sample) bool {
	a, b := float64(before.Done), float64(after.Done)
	if after.Mode == result.Open {
		a, b = float64(before.Latency.At(.5)), float64(after.Latency.At(.5))
	}
	return before.Done > 0 && after.Done > 0 && after.ErrorCount() <= before.ErrorCount() && max(a, b)-min(a, b) <= warmTolerance*max(a, b)
}
