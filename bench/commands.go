package main

import (
	"fmt"
	"slices"
	"strings"

	"userinfo/bench/load"
	"userinfo/bench/result"
)

// manyConnections is for how many idle clients the service's memory is told.
const manyConnections = 10_000

// markGroups are the workloads that marks are made of. Those of a group run in turns.
var markGroups = [][]string{
	{result.Get, result.GetToken},
	{result.Latency},
	{result.DesignTarget},
	{result.FreshMTLS, result.FreshMTLSResumed, result.FreshToken, result.FreshTokenResumed, result.FreshSidecar},
	{result.Set, result.Large},
}

// marks measures what the report's marks are made of.
func (b *bench) marks(args []string) error {
	f, o := b.flags("marks")
	large := f.Bool("grow", false, "load 9 GB at the end, and measure gets again: about half an hour more")
	if err := o.parse(f, args); err != nil {
		return err
	}
	return b.groups(o, markGroups, func(s *session) error {
		if s.targets[o.own()] == nil {
			return nil // others are not ours to fill up, and there may be no process to look at
		}
		if err := s.idle(o.own(), manyConnections); err != nil || !*large {
			return err
		}
		get, err := o.workload(result.Get)
		if err != nil {
			return err
		}
		get.targets = []string{o.own()}
		for _, o.data = range []size{o.data, 9e9} {
			if err := s.group(atGrowthRate(get)); err != nil {
				return err
			}
		}
		return s.group(get)
	})
}

// run measures named workloads, one after the other.
func (b *bench) run(args []string) error {
	f, o := b.flags("run")
	names, args := leading(args)
	if err := o.parse(f, args); err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("name the workloads; `go run ./bench list` has them")
	}
	return b.groups(o, alone(names), func(*session) error { return nil })
}

// alone has each of names run by itself.
func alone(names []string) (groups [][]string) {
	for _, name := range names {
		groups = append(groups, []string{name})
	}
	return groups
}

// groups measures groups of named workloads, and then what further does.
func (b *bench) groups(o *options, names [][]string, further func(*session) error) error {
	var all []workload
	groups := make([][]workload, len(names))
	for i, group := range names {
		for _, name := range group {
			w, err := o.workload(name)
			if err != nil {
				return err
			}
			groups[i] = append(groups[i], w)
			all = append(all, w)
		}
	}
	return b.measure(o, all, func(s *session) error {
		for _, group := range groups {
			if err := s.group(group...); err != nil {
				return err
			}
		}
		return further(s)
	})
}

// leading are the arguments before the first flag; rest begins with it.
func leading(args []string) (names, rest []string) {
	n := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if n < 0 {
		n = len(args)
	}
	return args[:n], args[n:]
}

// rates at which saturate looks, in requests/s.
var rates = []float64{500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 12000, 14000, 16000, 20000, 24000}

// saturate looks at rising rates, until a target answers less than nine in ten.
func (b *bench) saturate(args []string) error {
	f, o := b.flags("saturate")
	if err := o.parse(f, args); err != nil {
		return err
	}
	w, err := workloadNamed(result.Get)
	if err != nil {
		return err
	}
	w.mode, w.connections = result.Open, 8*kept
	w.targets = []string{result.UserInfo, result.Driver, result.Redis}
	w = o.adapt(w)
	return b.measure(o, []workload{w}, func(s *session) error {
		for _, w.perSecond = range rates {
			before := len(s.run.Samples)
			if err := s.group(w); err != nil {
				return err
			}
			w.targets = slices.DeleteFunc(w.targets, func(name string) bool {
				return slices.ContainsFunc(s.run.Samples[before:], func(r result.Sample) bool {
					return r.Target == name && r.Throughput() < .9*w.perSecond
				})
			})
			if len(w.targets) == 0 {
				break
			}
		}
		return nil
	})
}

// grow measures gets as one thing grows.
func (b *bench) grow(args []string) error {
	names, args := leading(args)
	what := strings.Join(names, " ")
	grow, known := map[string]func(*options, workload) error{
		"data": b.growData, "connections": b.growConnections, "nodes": b.growNodes,
	}[what]
	f, o := b.flags(strings.TrimSpace("grow " + what))
	without := []string{what}
	if what == "nodes" {
		without = append(without, "url", "memory")
	}
	if err := o.parse(f, args, without...); err != nil { // first, so that -h tells of the flags
		return err
	}
	if !known {
		fmt.Fprintln(b.err, "usage: bench grow data|connections|nodes [flags]")
		return errUsage
	}
	w, err := workloadNamed(result.Get)
	if err != nil {
		return err
	}
	w.targets = []string{result.UserInfo}
	return grow(o, o.adapt(w))
}

// atGrowthRate is w at one rate, however much its requests come to cost, or however many wait for theirs: at its highest
// each would have another, and a request costs the less the more there are.
func atGrowthRate(w workload) workload {
	w.mode, w.perSecond = result.Open, 3000
	return w
}

func (b *bench) growData(o *options, w workload) error {
	w = atGrowthRate(w)
	return b.measure(o, []workload{w}, func(s *session) error {
		for _, o.data = range []size{10e6, 1.4e9, 9e9} {
			if err := s.group(w); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) growConnections(o *options, w workload) error {
	w = atGrowthRate(w)
	return b.measure(o, []workload{w}, func(s *session) error {
		for _, w.connections = range []int{10, 100, 1000, manyConnections} {
			if err := s.group(w); err != nil {
				return err
			}
		}
		return s.idle(w.targets[0], manyConnections)
	})
}

// growNodes asks clusters of one, three and six nodes for what they can do, one after the other.
func (b *bench) growNodes(o *options, w workload) error {
	var samples []result.Sample
	o.heapMB = min(o.heapMB, 1024) // what six nodes can have
	for _, o.nodes = range []int{1, 3, 6} {
		err := b.measure(o, []workload{w}, func(s *session) error {
			s.run.Samples = samples
			err := s.group(w)
			samples = s.run.Samples
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// measuring are the flags that say how to measure, and what.
var measuring = []string{"out", "rounds", "seconds", "warm", "compile", "generators", "connections", "nodes", "heap", "plain", "memory",
	"seed", "against"}

// load sets a data set's values at a store.
func (b *bench) load(args []string) error {
	f, o := b.flags("load")
	if err := o.parse(f, args, measuring...); err != nil {
		return err
	}
	if len(o.stores) != 1 {
		return fmt.Errorf("give one store: -url NAME=URL")
	}
	return loadData(b.ctx, o.stores[0], load.DatasetOf(int64(o.data), valueBytes), o, b.err)
}
